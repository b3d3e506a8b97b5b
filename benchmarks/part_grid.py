"""The cells of table I: a policy that hears continuous speech, trained in the stages of PART (arXiv 2509.19745) or not.

All cells learn from the same recordings and texts, about as often: a recording is transcribed 6.75 times in all, and
translated 1.5 times. What the paper's baseline does in its two stages is not known to us: here encoder and adapter
learn both tasks, and then the language model learns them too.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from benchmarks.reproduce_cells import PART, Cell, Sizes

Tasks = Mapping[str, float]
ADAPTER, ALL = ["adapter.*"], ["adapter.*", "encoder.*"]
TOP = [*ADAPTER, "encoder.layer_2/*", "encoder.layer_3/*"]
ASR, MIXED = {"asr": 1.0}, {"asr": 0.9, "s2t": 0.2}
STAGED = [ASR, ASR, ASR, {"asr": 0.5, "s2t": 1.0}, {"asr": 0.25, "s2t": 0.5, "mt": 0.25}]
UNSTAGED = [MIXED, MIXED, MIXED, MIXED, {"asr": 0.45, "s2t": 0.1, "mt": 0.25}]
PROGRESSIVE = [ADAPTER, TOP, ALL, ALL, ALL]
NAMES, EPOCHS = ["adapter", "top", "encoder", "llm", "text"], [4, 1, 1, 1, 1]
RATES = [1e-3, 2e-4, 1e-4, 3e-4, 1e-4]
GENTLE = [3e-4, 2e-4, 1e-4, 3e-4, 1e-4]
"""Learning rates where the encoder learns from the first step."""
RANK = 16
FIRST_PART = f"{PART}-staged-s1"
"""The first cell: all learn from its speech."""


class Row(NamedTuple):
    """A row of table I: in words, and its stages as the value of `part.stages`."""

    words: str
    stages: str


def _write(parts: Sequence[list[str]], tasks: Sequence[Tasks], rates: Sequence[float], lora: bool) -> str:
    """Return stages: what each trains, its tasks, its learning rate, and whether the last two have LoRA."""
    names, epochs = (NAMES, EPOCHS) if len(parts) > 2 else (["align", "llm"], [6, 2])
    stages = [
        {"name": name, "train": part, "tasks": dict(task), "lr": rate, "epochs": count}
        for name, part, task, rate, count in zip(names, parts, tasks, rates, epochs, strict=True)
    ]
    for stage in stages:
        if lora and stage["name"] in ("llm", "text"):
            stage["lora"] = RANK
    return json.dumps(stages)


ROWS = {
    "staged": Row("PART", _write(PROGRESSIVE, STAGED, RATES, lora=True)),
    "two-stage": Row(
        "two stages",
        _write([ALL, ALL], [MIXED, {"asr": 0.675, "s2t": 0.15, "mt": 0.125}], [GENTLE[0], GENTLE[3]], lora=True),
    ),
    "unstaged": Row("PART with both tasks from the start", _write(PROGRESSIVE, UNSTAGED, RATES, lora=True)),
    "no-lora": Row("also without LoRA", _write(PROGRESSIVE, UNSTAGED, RATES, lora=False)),
    "no-unfreezing": Row("also all unfrozen from the start", _write([ALL] * 5, UNSTAGED, GENTLE, lora=False)),
}
"""The rows of table I. Each of the last three keeps what the one before it changes, as in the paper."""
REPEATED = ("staged", "two-stage")
"""The rows with all seeds; the others have the first one."""


def make_part_cells(sizes: Sizes) -> Iterator[Cell]:
    """Yield the cells of table I in an order in which they can run: what decides the most comes first."""
    for seed in sizes.seeds:
        yield from (_make_cell(row, seed) for row in REPEATED)
    yield from (_make_cell(row, sizes.seeds[0]) for row in ROWS if row not in REPEATED)


def _make_cell(row: str, seed: int) -> Cell:
    return Cell(f"{PART}-{row}-s{seed}", PART, seed, (f"part.stages={ROWS[row].stages}",), rounds="0")
