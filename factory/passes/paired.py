"""paired: speech with its spoken translation, as units for round 0 and as utterances that pairs can be made of."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from factory.corpora.corpus import Speech
from factory.passes.progress import Clock
from factory.passes.tokenize import list_speech, tokenize
from factory.recipe.paths import locate
from factory.recipe.recipe import Recipe
from factory.storage.dataset import DatasetDir
from schemas.datasets import OK, PAIRED, UNITS, Row
from schemas.fingerprint import json_digest


def pair_units(corpus: str, speech: Speech, recipe: Recipe, units: DatasetDir, out: DatasetDir, clock: Clock) -> None:
    """Turn paired speech, as it is listed, into rows of PAIRED, one for each direction; its units are kept in `units`.

    The two sides of a pair are utterances `NAME/LANG`. A pair of which a side is missing or has no units is left out and counted.
    """
    tokenize(corpus, speech, recipe, units, clock)
    if not out.start({"stage": "pair_units", "inputs": {"units": units.manifest().fingerprint}}):
        return
    table = units.rows(status=OK)
    first, second = recipe.languages
    for src, tgt in ((first, second), (second, first)):
        out.append(joined(table, src, tgt))
    manifest = out.publish()
    print(f"  {manifest.rows:,} rows of paired units from {units.manifest().rows:,} utterances of {corpus}", flush=True)


def joined(table: pa.Table, src: str, tgt: str) -> pa.Table:
    """Return rows of PAIRED for the utterances of `src` that have a partner in `tgt`, in the order of their names."""
    ours, theirs = (_by_name(table, lang) for lang in (src, tgt))
    names = sorted(set(ours) & set(theirs))
    if not names:
        example = (
            f"one is {table['utt_id'][0].as_py()}" if table.num_rows else "none of the utterances could be tokenized"
        )
        raise ValueError(
            f"no utterance has a partner: the two sides of a pair are called NAME/{src} and NAME/{tgt}; {example}"
        )
    sides = [table.take(pa.array([where[name] for name in names], pa.int64())) for where in (ours, theirs)]
    columns: list[Any] = [pa.array([f"{name}/{src}-{tgt}" for name in names], pa.string())]
    columns += [pa.array([lang] * len(names), pa.string()) for lang in (src, tgt)]
    columns += [side[column] for side in sides for column in ("text", "units")]
    return pa.table(columns, schema=PAIRED)


def _by_name(table: pa.Table, lang: str) -> dict[str, int]:
    """Return the places of a language's utterances by their names."""
    mine = pc.equal(table["lang"], lang).to_pylist()
    ids = table["utt_id"].to_pylist()
    return {
        ids[place].removesuffix(f"/{lang}"): place
        for place in range(len(ids))
        if mine[place] and ids[place].endswith(f"/{lang}")
    }


def as_units(corpus: str, split: str, recipe: Recipe, out: DatasetDir, clock: Clock) -> None:
    """Write a corpus as rows of UNITS: speech is tokenized, and of PAIRED rows every one becomes an utterance."""
    write_units(corpus, list_speech(corpus), split, recipe, out, clock)


def write_units(corpus: str, speech: Speech | None, split: str, recipe: Recipe, out: DatasetDir, clock: Clock) -> None:
    """Write a corpus that is listed (`list_speech`: None for PAIRED rows) as rows of UNITS."""
    if speech is None:
        write_utterances(corpus, split, out)
    else:
        tokenize(corpus, speech, recipe, out, clock)


def write_utterances(corpus: str, split: str, out: DatasetDir) -> None:
    """Write the PAIRED rows of `corpus` as rows of UNITS whose reference is their translation; their ids are the pairs'."""
    rows = DatasetDir(locate(corpus)).rows().to_pylist()
    if out.start({"stage": f"{split}_units", "inputs": {split: json_digest(rows)}}):
        out.append(pa.Table.from_pylist([_utterance(row, split) for row in rows if row["src_units"]], schema=UNITS))
        out.publish()


def _utterance(row: Row, split: str) -> Row:
    told = {"utt_id": row["pair_id"], "lang": row["src_lang"], "text": row["src_text"], "reference": row["tgt_text"]}
    return told | {"units": row["src_units"], "split": split, "status": OK}
