"""Progress: the time and memory of stages are kept over attempts, and lines are printed without a terminal."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
import termios
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from factory.passes import progress
from factory.passes.progress import WAITING, Clock, Lines, describe_rate
from tests.limits import HANG_S


def test_the_time_of_a_stage_is_the_sum_of_its_attempts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock(str(tmp_path))
    with pytest.raises(KeyboardInterrupt), clock.stage("produce"):
        time.sleep(0.2)
        raise KeyboardInterrupt
    first = clock.wall_s["produce"]
    assert first >= 0.2 and clock.peak_rss_mb > 10
    clock = Clock(str(tmp_path))
    with clock.stage("produce"):
        time.sleep(0.2)
    with clock.stage("select"):
        pass
    kept = json.loads((tmp_path / "_stages.json").read_text())
    assert kept == {"wall_s": clock.wall_s, "peak_rss_mb": clock.peak_rss_mb}
    assert kept["wall_s"]["produce"] >= first + 0.2 and list(kept["wall_s"]) == ["produce", "select"]
    assert capsys.readouterr().out == "● produce\n● produce\n● select\n"


def test_the_peak_of_the_memory_is_kept(tmp_path: Path) -> None:
    (tmp_path / "_stages.json").write_text(json.dumps({"wall_s": {"tokenize": 3.0}, "peak_rss_mb": 1e9}))
    clock = Clock(str(tmp_path))
    clock.note_memory()
    assert (clock.wall_s, clock.peak_rss_mb) == ({"tokenize": 3.0}, 1e9)


def test_progress_is_lines_without_a_terminal_also_while_no_row_is_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "LINE_EVERY_S", 0.05)
    bar = Clock(str(tmp_path)).bar("produce", 1000, 200)
    assert isinstance(bar, Lines)
    lines: list[str] = []

    def read_until(end: str) -> None:
        deadline = time.monotonic() + HANG_S
        while not any(end in line for line in lines) and time.monotonic() < deadline:
            time.sleep(0.01)
            lines.extend(capsys.readouterr().err.splitlines())

    with bar:
        read_until("200 of 1,000 rows after")
        began = time.monotonic()
        bar.update(100)
        time.sleep(0.2)
        bar.update(100)
        read_until("400 of 1,000 rows")
    ended = time.monotonic()
    assert lines[0] == "  produce: 200 of 1,000 rows"
    assert lines[1].startswith("  produce: 200 of 1,000 rows"), "nothing is done, and a line says so"
    waiting = [line for line in lines if line.startswith("  produce: 200 of")]
    assert waiting[-1] == f"  produce: 200 of 1,000 rows after 1 s{WAITING}"
    assert len(waiting) <= 2 + (began - bar.began) / (3 * progress.LINE_EVERY_S), "few lines while models load"
    [last] = capsys.readouterr().err.splitlines()[-1:]
    middle = next(line for line in lines if "400 of" in line)
    for line in (middle, last):
        assert re.fullmatch(r"  produce: 400 of 1,000 rows after \d+ s, [\d.e+]+ rows/s, about \d+ s to go", line)
    [rate] = (float(text) for text in re.findall(r"s, ([\d.]+) rows/s", last))
    assert 100 / (ended - began) <= rate * 1.01 and rate <= 100 / 0.2 * 1.01, "the first rows do not count, nor earlier"
    assert not [thread for thread in threading.enumerate() if thread.name == "progress of produce"]


def test_the_time_until_the_first_rows_is_not_in_the_rate() -> None:
    """With 2 of 200 rows after 240 s and 8 after 260 s, 192 rows are left."""
    assert describe_rate(8 - 2, 192, 260 - 240, least=2) == ", 0.3 rows/s, about 640 s to go"


def test_the_rate_begins_inside_the_first_batch(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "LINE_EVERY_S", 0.02)
    running, output = [10], ""
    with Lines("produce", 100, count_running=lambda: running[0]):
        deadline = time.monotonic() + HANG_S
        while "to go" not in output and time.monotonic() < deadline:
            output += capsys.readouterr().err
            running[0] = 30 if "10 of 100 rows\n" in output else 10
            time.sleep(0.01)
    assert "30 of 100 rows, " in output and "10 of 100 rows, " not in output


@pytest.mark.parametrize(("total", "done_before", "rows"), [(1000, 0, 10), (1000, 500, 5), (60, 0, 0)])
def test_the_first_rows_give_no_estimate(
    total: int, done_before: int, rows: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """They come when the models are loaded, so that a rate made of them is absurd."""
    with Lines("produce", total, done_before) as bar:
        bar.update(50)
        bar.update(rows)
    assert "to go" not in capsys.readouterr().err.splitlines()[-1]
    with Lines("produce", total, done_before) as bar:
        bar.update(50)
        bar.update(rows + 1)
    assert "to go" in capsys.readouterr().err.splitlines()[-1]


def test_rows_inside_batches_count_until_they_are_written_and_no_row_twice(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "LINE_EVERY_S", 0.02)
    running = [0]
    bar = Lines("produce", 100, 10, lambda: running[0])
    shown: list[int] = []

    def read_until(rows: int) -> None:
        deadline = time.monotonic() + HANG_S
        while rows not in shown and time.monotonic() < deadline:
            time.sleep(0.01)
            shown.extend(int(text) for text in re.findall(r"produce: (\d+) of 100 rows", capsys.readouterr().err))

    with bar:
        running[0] = 30
        read_until(40)
        running[0] = 0  # the batch has ended, and nothing is written yet
        bar.update(20)
        running[0] = 15
        read_until(45)
        running[0] = 5  # a batch that runs again begins at 0
        bar.update(10)
        running[0] = 200
        read_until(100)
    assert shown == sorted(shown), "the number never falls while the stage runs"
    assert set(shown) <= {10, 40, 45, 100}
    assert "produce: 40 of 100 rows" in capsys.readouterr().err.splitlines()[-1], "the last line has what is written"


def test_a_terminal_has_a_bar_that_moves_inside_a_batch(tmp_path: Path) -> None:
    command = [sys.executable, "-c", TERMINAL.format(folder=str(tmp_path))]
    # a training that another test has run in this process has switched bars off
    environment = {name: value for name, value in os.environ.items() if name != "TQDM_DISABLE"}
    controller, terminal = pty.openpty()
    termios.tcsetwinsize(terminal, (24, 120))
    with subprocess.Popen(command, stderr=terminal, cwd=ROOT, env=environment) as process:
        os.close(terminal)
        output = b""
        with suppress(OSError):  # the end of a terminal
            while part := os.read(controller, 1024):
                output += part
    assert process.returncode == 0
    rows = re.findall(r"produce: .* (\d+)/50 \[", output.decode().replace("\r", "\n"))
    assert rows[0] == "10" and "22" in rows and rows[-1] == "50"


ROOT = Path(__file__).resolve().parents[2]
TERMINAL = """
import time
from factory.passes import progress
progress.BAR_EVERY_S = 0.05
looks = []

def count_running():
    looks.append(1)
    return 12

with progress.Clock({folder!r}).bar("produce", 50, 10, count_running) as bar:
    while len(looks) < 2:  # the first is shown before the second
        time.sleep(0.01)
    bar.update(40)
"""
