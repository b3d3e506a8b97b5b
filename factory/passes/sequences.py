"""sequences: paired speech, written as the training sequences of round 0 (PROST-LLM, section 2)."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import pyarrow as pa

from factory.recipe.paths import locate
from factory.recipe.recipe import Recipe
from factory.storage.dataset import DatasetDir
from schemas.datasets import SEQUENCE, Row
from schemas.fingerprint import json_digest
from schemas.sequences import Variant, completion, prompt, text_prompt


def write_sequences(recipe: Recipe, out: DatasetDir) -> None:
    """Write the paired corpus and the parallel text (rows of PAIRED at `corpus.paired` and `corpus.text`) for the tasks that
    `policy.tasks` names, each with its share (0..1).
    """
    rows = paired(recipe)
    if not out.start(recipe.content("sequences", {"units": json_digest(rows)})):
        return
    written = [sequence for row in rows for sequence in sequences(row, recipe.policy.tasks)]
    if not written:
        held = f"corpus.paired ({recipe.corpus.paired}) and corpus.text hold {len(rows)} rows"
        raise ValueError(f"round 0 has nothing to learn from: {held}, and none gives a sequence for policy.tasks")
    out.append(pa.Table.from_pylist(written, schema=SEQUENCE))
    out.publish()


def paired(recipe: Recipe) -> list[Row]:
    """Return the rows of the paired corpus and, where the recipe names one, of the parallel text."""
    places = [recipe.corpus.paired, *([recipe.corpus.text] if recipe.corpus.text else [])]
    return [row for place in places for row in DatasetDir(locate(place)).rows().to_pylist()]


def sequences(row: Row, tasks: dict[str, float]) -> Iterator[Row]:
    """Yield one pair's sequences, of parallel text only translations of text.

    Which pairs a task with a share below 1 gets depends on the pair's id alone.
    """
    for task, share in tasks.items():
        possible = task == Variant.MT or row["src_units"] is not None
        if possible and zlib.crc32(f"{task} {row['pair_id']}".encode()) / 2**32 < share:
            yield sequence(Variant(task), row)


def sequence(variant: Variant, row: Row) -> Row:
    """Write one pair for one task; ASR keeps the pair's direction tags but asks for the source's text."""
    text = row["src_text"] if variant is Variant.ASR else row["tgt_text"]
    target = row["src_lang"] if variant is Variant.ASR else row["tgt_lang"]
    textual = variant is Variant.MT
    asked = (
        text_prompt(row["src_lang"], target, row["src_text"])
        if textual
        else prompt(variant, row["src_lang"], target, row["src_units"])
    )
    return {
        "sequence_id": f"{variant}-{row['pair_id']}",
        "task": str(variant),
        "prompt": asked,
        "completion": completion(variant, text, row["tgt_units"], source_text=row["src_text"]),
    }
