"""The process of a judge: Parquet in, Parquet out, and its last lines if it fails."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from factory.judges.environment import HERE, JudgeError, read_end
from factory.judges.runner import WRONG

RUNNER = HERE / "runner.py"
ASKED = pa.schema([(name, pa.string()) for name in ("id", "source", "candidate", "reference")])
"""What a judge reads: the id of a candidate and three texts; `reference` is null if the judge gets none."""
LOOK_EVERY_S = 0.2

Answers = dict[str, tuple[float | None, str | None]]
"""Id of a candidate -> its score, or the reason why it has none."""


def stream_answers(python: Path, script: Path, model: str, parts: Sequence[pa.Table]) -> Iterator[Answers]:
    """Run a judge once, and yield its answers to each part as soon as they are there.

    Args:
        python: the Python of the judge's environment.
        script: the script of the judge.
        model: what its function `load` gets.
        parts: tables of ASKED.

    Raises:
        JudgeError: the process cannot be started, or ended before its last answer; the message says what is wrong with
            the judge, or has its last lines.
    """
    with tempfile.TemporaryDirectory(prefix="roundtrip-judge-") as scratch:
        folder = Path(scratch)
        for number, part in enumerate(parts):
            pq.write_table(part, folder / f"{number:06d}.in.parquet")
        log = folder / "log"
        command = [str(python), "-I", str(RUNNER), str(script), str(folder), model]
        process = _start(command, log)
        try:
            for number, part in enumerate(parts):
                yield _await_answers(folder / f"{number:06d}.out.parquet", part, process, log)
        finally:
            process.kill()
            process.wait()


def _start(command: list[str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as output:
        try:
            return subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, cwd=log.parent
            )
        except OSError as error:
            needs = "--python needs the Python of an environment, such as ENV/bin/python"
            raise JudgeError(f"{command[0]} cannot be run ({error.strerror}): {needs}") from error


def _await_answers(path: Path, part: pa.Table, process: subprocess.Popen[bytes], log: Path) -> Answers:
    while not path.exists():
        ended = process.poll()
        if ended is not None and not path.exists():  # the last answer may have come between the two looks
            if (wrong := log.with_name(WRONG)).exists():
                raise JudgeError(wrong.read_text("utf-8"))
            how = f"was killed by signal {-ended}" if ended < 0 else f"ended with exit code {ended}"
            raise JudgeError(f"the judge {how} before it had scored all rows; its last lines:\n{read_end(log)}")
        time.sleep(LOOK_EVERY_S)
    answers = {row["id"]: (row["score"], row["reason"]) for row in pq.read_table(path).to_pylist()}
    if answers.keys() != set(part["id"].to_pylist()):
        raise JudgeError("the judge answered other ids than it was asked: each id must come back once")
    return answers
