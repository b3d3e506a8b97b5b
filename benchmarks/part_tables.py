"""Table I of a reproduction: a policy that hears continuous speech, trained in the stages of PART or not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow.parquet as pq

from benchmarks.part_grid import REPEATED, ROWS
from benchmarks.part_measures import Measure
from benchmarks.reproduce_cells import PART
from benchmarks.reproduce_changes import DIRECTIONS, describe_agreement, signed
from factory.metrics import bootstrap
from schemas.datasets import Row

OUTPUTS = "spoken"
"""The folder next to the records with what policies write for recordings (`benchmarks/speech_to_text.py`)."""
UNITS = f"{PART}-units"
"""The record of the shipped policy of units."""
CONDITIONS = ("clean", "telephone")
SAYS = (
    "- The paper (its 2B model, other speech): PART is 1.7 and 1.8 points of WER below two stages, and 1.4 BLEU above. "
    "Without the step from recognition to translation it loses 0.4 points of WER and 0.3 BLEU, also without LoRA 1.6 "
    "and 1.1, also without progressive unfreezing 1.6 and 1.4."
)


MEASURES = [Measure(name, condition, to) for condition in CONDITIONS for name in ("wer", "bleu") for to in DIRECTIONS]


def table_i(folder: Path, seeds: Sequence[int]) -> list[str]:
    """Return the table of the stages, as lines of Markdown.

    Args:
        folder: the folder of what policies write for recordings.
        seeds: the seeds of the grid.
    """
    lines = [
        f"| round 0 | {' | '.join(measure.words for measure in MEASURES)} |",
        "|---" * (len(MEASURES) + 1) + "|",
        *(_line(ROWS[row].words, read(folder, row, seeds)) for row in ROWS),
        _line("the shipped policy of units", _read_files([folder / f"{UNITS}.parquet"])),
    ]
    return ["## Table I: continuous speech, in stages", "", *lines, "", *_verdicts(folder, seeds), SAYS]


def read(folder: Path, row: str, seeds: Sequence[int]) -> list[list[Row]]:
    """Return the outputs of the finished cells of a row, one list per seed."""
    names = [f"{PART}-{row}-s{seed}.parquet" for seed in (seeds if row in REPEATED else seeds[:1])]
    return _read_files([folder / name for name in names])


def _read_files(paths: Sequence[Path]) -> list[list[Row]]:
    return [pq.read_table(path).to_pylist() for path in paths if path.exists()]


def _line(words: str, cells: list[list[Row]]) -> str:
    several = f" ({len(cells)} seeds)" if len(cells) > 1 else ""
    if not cells:
        return f"| {words} |" + " - |" * len(MEASURES)
    return f"| {words}{several} | {' | '.join(_score(measure, cells) for measure in MEASURES)} |"


def _score(measure: Measure, cells: list[list[Row]]) -> str:
    found = bootstrap.estimate(bootstrap.average([measure.sample(cell) for cell in cells]))
    digits = 3 if measure.name == "wer" else 2
    return "{:.{d}f} [{:.{d}f}, {:.{d}f}]".format(*found, d=digits)


def _verdicts(folder: Path, seeds: Sequence[int]) -> Iterator[str]:
    """Yield what each row changes against PART, and whether the paper found the same."""
    staged = read(folder, "staged", seeds)
    for row in ROWS:
        cells = read(folder, row, seeds)
        if row == "staged" or not cells or not staged:
            continue
        words = [_difference(measure, cells, staged[: len(cells)]) for measure in MEASURES]
        yield f"- {ROWS[row].words}, minus PART: {'; '.join(words)}."


def _difference(measure: Measure, cells: list[list[Row]], staged: list[list[Row]]) -> str:
    """Return the difference of a row from PART in words; in the paper each row is worse."""
    ones, twos = (bootstrap.average([measure.sample(cell) for cell in side]) for side in (cells, staged))
    found = bootstrap.compare(ones, twos).difference
    return f"{measure.words} {signed(*found)}, which {describe_agreement(found, -measure.better)}"
