"""`select.delta: auto`: the round's policy translates the dev set there and back, and the audit of that says which δ to take."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pyarrow as pa

from factory.passes.audit import judged, referenced
from factory.passes.audit_delta import recommended_delta
from factory.passes.produce import produce
from factory.progress import Clock
from factory.recipe import Recipe, digest, locate
from factory.store import DatasetDir
from schemas.datasets import OK, UNITS

Row = dict[str, Any]


def settle_delta(units: DatasetDir, scored: DatasetDir, policy: str, number: int, recipe: Recipe, clock: Clock) -> Recipe:
    """Return the recipe with a number for `select.delta`, unchanged where it has one.

    `units` and `scored` are where the dev set's units and its candidates go. Raises NoDelta where the audit recommends none.
    """
    if recipe.select.delta != "auto":
        return recipe
    write_dev_units(recipe, units)
    everything = replace(recipe, corpus=replace(recipe.corpus, limit=None))
    produce(units, policy, number, everything, scored, clock)
    rows = judged(referenced(scored), recipe.select.guards)
    delta = recommended_delta(rows, recipe.select.metric)
    print(f"  select.delta: auto takes {delta:g} (audit of {len(rows)} utterances of {recipe.corpus.dev})", flush=True)
    return replace(recipe, select=replace(recipe.select, delta=delta))


def write_dev_units(recipe: Recipe, out: DatasetDir) -> None:
    """Write the PAIRED rows of `corpus.dev` as rows of UNITS whose reference is their translation."""
    rows = DatasetDir(locate(recipe.corpus.dev)).rows().to_pylist()
    if out.start({"stage": "dev_units", "inputs": {"dev": digest(rows)}}):
        out.append(pa.Table.from_pylist([_utterance(row) for row in rows if row["src_units"]], schema=UNITS))
        out.publish()


def _utterance(row: Row) -> Row:
    told = {"utt_id": row["pair_id"], "lang": row["src_lang"], "text": row["src_text"], "reference": row["tgt_text"]}
    return told | {"units": row["src_units"], "split": "dev", "status": OK}
