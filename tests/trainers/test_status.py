"""The status of a training: one line in a terminal, few lines in a file."""

from __future__ import annotations

import io

from trainers.status import StatusLine, describe_step


class Terminal(io.StringIO):
    """A text stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_terminal_has_one_line_that_changes() -> None:
    stream = Terminal()
    line = StatusLine(stream)
    for status in ("loading", "loading", "", "step 1"):
        line.show(status)
    line.close()
    assert stream.getvalue() == "\r\x1b[K  train: loading\r\x1b[K  train: step 1\n"


def test_a_file_has_the_first_line_and_the_last_one() -> None:
    stream = io.StringIO()
    line = StatusLine(stream, every_s=1e9)
    for status in ("loading", "step 1", "step 2"):
        line.show(status)
    assert stream.getvalue() == "  train: loading\n"
    line.close()
    assert stream.getvalue() == "  train: loading\n  train: step 2\n"


def test_a_file_has_every_line_after_its_time() -> None:
    stream = io.StringIO()
    line = StatusLine(stream, every_s=0.0)
    for status in ("step 1", "step 1", "step 2"):
        line.show(status)
    line.close()
    assert stream.getvalue() == "  train: step 1\n  train: step 2\n"


def test_without_a_status_nothing_is_printed() -> None:
    for stream in (Terminal(), io.StringIO()):
        StatusLine(stream).close()
        assert stream.getvalue() == ""


def test_a_step_is_described() -> None:
    assert describe_step(1, 1_201, 4.25, None, 0.5) == "step 1 of 1,201, loss 4.250, 600 s to go"
    assert describe_step(5, 9, 4.0, -0.1, 2.0) == "step 5 of 9, loss 4.000, held-out margin -0.100, 8 s to go"
