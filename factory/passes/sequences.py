"""sequences: paired speech, written as the training sequences of round 0 (PROST-LLM, section 2)."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from factory.recipe import Recipe, locate
from factory.store import DatasetDir
from schemas.datasets import SEQUENCE
from schemas.sequences import Variant, completion, prompt

Row = dict[str, Any]


def write_sequences(recipe: Recipe, out: DatasetDir) -> None:
    """Write the paired corpus (rows of PAIRED at `corpus.paired`) for the tasks that `policy.tasks` names, each with its share (0..1)."""
    paired = DatasetDir(locate(recipe.corpus.paired)).rows()
    if not out.start(recipe.content("sft", {"units": str(paired.num_rows)})):
        return
    written = [sequence for row in paired.to_pylist() for sequence in sequences(row, recipe.policy.tasks)]
    out.append(pa.Table.from_pylist(written, schema=SEQUENCE))
    out.publish()


def sequences(row: Row, tasks: dict[str, float]) -> Iterator[Row]:
    """Yield one pair's sequences; which pairs a task with a share below 1 gets depends on the pair's id alone."""
    for task, share in tasks.items():
        if zlib.crc32(f"{task} {row['pair_id']}".encode()) / 2**32 < share:
            yield sequence(Variant(task), row)


def sequence(variant: Variant, row: Row) -> Row:
    """Write one pair for one task; ASR keeps the pair's direction tags but asks for the source's text."""
    text = row["src_text"] if variant is Variant.ASR else row["tgt_text"]
    target = row["src_lang"] if variant is Variant.ASR else row["tgt_lang"]
    return {
        "task": str(variant),
        "prompt": prompt(variant, row["src_lang"], target, row["src_units"]),
        "completion": completion(variant, text, row["tgt_units"], source_text=row["src_text"]),
    }
