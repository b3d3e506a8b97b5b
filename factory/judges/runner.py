"""Runs a judge inside of its environment: `python -I runner.py SCRIPT FOLDER MODEL`. It imports nothing of ours.

Every `N.in.parquet` of the folder (`id`, `source`, `candidate`, `reference`) is answered by `N.out.parquet` (`id`,
`score`, `reason`), which appears whole or not at all.
"""

from __future__ import annotations

import ctypes
import math
import os
import runpy
import signal
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

_PR_SET_PDEATHSIG = 1
WRONG = "wrong"
"""The file with a sentence that says why the judge was ended."""


class WrongJudge(Exception):
    """A judge, or an environment, that does not do what docs/how-to/judge.md says."""


def split_result(result: object) -> tuple[float | None, str | None]:
    """Return what a judge returned for a row as a score or a reason, never as both."""
    if isinstance(result, str):
        return None, result if result.strip() else "unjudged: the judge gave an empty text as its reason"
    if result is None:
        return None, "unjudged: the judge gave no score"
    try:
        score = float(result)  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        raise WrongJudge(
            f"the judge returned {result!r:.80} for a row: expected a number, or a reason as text"
        ) from error
    return (score, None) if math.isfinite(score) else (None, f"not_finite: the judge gave {score}")


def _load(script: str, model: str) -> Callable[[list[dict[str, Any]]], object]:
    """Return the function that scores rows, by the function `load` of a script."""
    load = runpy.run_path(script).get("load")
    if not callable(load):
        raise WrongJudge(f"{script} has no function load: expected def load(model), which returns a function")
    score: Callable[[list[dict[str, Any]]], object] = load(model)
    if not callable(score):
        returned = f"load of {script} returned {type(score).__name__}"
        raise WrongJudge(f"{returned}: expected a function that gets rows and returns a number or a reason for each")
    return score


def _check_list(results: object, script: str) -> Iterable[object]:
    """Return the results of a judge; a dict would be read as its keys, and a text as its letters."""
    if isinstance(results, (str, bytes, Mapping, set)) or not isinstance(results, Iterable):
        expected = "expected a list with a number or a reason for each row"
        raise WrongJudge(f"the function of {script} returned {type(results).__name__}: {expected}")
    return results


def _answer_files(script: str, folder: Path, model: str) -> None:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        install = f"{sys.executable} -m pip install pyarrow"
        raise WrongJudge(f"the environment of {sys.executable} has no pyarrow ({error}): {install}") from error
    score = _load(script, model)
    for path in sorted(folder.glob("*.in.parquet")):
        rows = pq.read_table(path).to_pylist()
        results = [split_result(result) for result in _check_list(score(rows), script)]
        if len(results) != len(rows):
            each = "it must return one for each"
            raise WrongJudge(f"{script} returned {len(results)} results for {len(rows)} rows: {each}")
        columns = [[row["id"] for row in rows], *([result[part] for result in results] for part in (0, 1))]
        types = (pa.string(), pa.float64(), pa.string())
        arrays = [pa.array(column, kind) for column, kind in zip(columns, types)]
        temporary = path.with_suffix(".tmp")
        pq.write_table(pa.table(arrays, ["id", "score", "reason"]), temporary)
        os.replace(temporary, path.with_name(path.name.replace(".in.", ".out.")))


def main() -> None:
    """Load the judge once, then answer every file; the process ends with its parent."""
    script, folder, model = sys.argv[1:]
    with suppress(AttributeError, OSError):  # only Linux has prctl
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    try:
        _answer_files(script, Path(folder), model)
    except WrongJudge as error:
        Path(folder, WRONG).write_text(str(error), "utf-8")
        sys.exit(1)


if __name__ == "__main__":
    main()
