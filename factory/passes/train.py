"""train: the first policy from paired speech, the next one from pairs. The weights are made in `trainers`; here is what they are given."""

from __future__ import annotations

import random
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from factory.passes.sequences import paired, sequences
from factory.passes.weights import actor_weights, count_units, local_weights
from factory.planning.usable_speech import WITH_RECOGNIZER
from factory.recipe.paths import locate
from factory.recipe.recipe import Recipe
from factory.storage.dataset import DatasetDir
from factory.storage.files import filesystem, retry
from factory.storage.transfer import remove, upload
from schemas.datasets import SEQUENCE, Row

WATCHED = 1_000
"""Most pairs of `corpus.dev` that a training watches: every worker reads them at every checkpoint."""


def train_first(data: DatasetDir, recipe: Recipe, out: str) -> None:
    """Make a policy that is still to learn (fresh, or a language model with units) and train it on the sequences of round 0."""
    from trainers.launch import Workers
    from trainers.sft import train_sft

    with _given(out) as folder:
        start = _untrained(recipe, folder)
        train = _written(data.rows(), f"{folder}/train.parquet")
        dev = _written(_held_out(recipe), f"{folder}/dev.parquet")
        longest = recipe.policy.max_length if recipe.policy.base else 0
        config = replace(
            recipe.sft,
            threads=recipe.sft.threads or recipe.resources.trainer.threads,
            max_length=recipe.sft.max_length or longest,
        )
        workers = Workers(recipe.resources.trainer, recipe.resources.stall_s)
        train_sft(train, start, out, config, dev=dev, seed=recipe.seed, workers=workers)


@contextmanager
def _given(out: str) -> Iterator[str]:
    """Yield a folder for what a training is given, which goes with it: beside the policy, where the workers of other nodes see it too."""
    folder = f"{out}.given"
    if "://" not in folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        folder = str(Path(folder).absolute())
    try:
        yield folder
    finally:
        remove(folder)


def _untrained(recipe: Recipe, folder: str) -> str:
    """Write the policy that round 0 begins with into `folder` and return where it is."""
    from trainers.remote import POLICY_LAST

    if "://" not in folder:
        return str(_new(recipe, Path(folder, "start")))
    with tempfile.TemporaryDirectory() as scratch:
        upload(_new(recipe, Path(scratch, "start")), f"{folder}/start", POLICY_LAST)
    return f"{folder}/start"


def _new(recipe: Recipe, out: Path) -> Path:
    """Write a policy that is still to learn: `policy.base` with the tokens of the templates, or random weights and a new tokenizer."""
    from trainers.policy import PolicyShape, create_policy, extend_policy

    shape, units = recipe.policy, count_units(recipe)
    if shape.base:
        return extend_policy(local_weights(shape.base), out, num_units=units, langs=recipe.languages)
    return create_policy(
        out,
        texts=sorted({text for row in paired(recipe) for text in (row["src_text"], row["tgt_text"])}),
        num_units=units,
        langs=recipe.languages,
        shape=PolicyShape(shape.hidden, shape.layers, shape.heads, shape.max_length),
        seed=recipe.seed,
    )


def train_next(pairs: DatasetDir, previous: str, recipe: Recipe, out: str) -> None:
    """Train the policy that made the candidates on the pairs that came of them."""
    from trainers.launch import Workers
    from trainers.preference import train_preference

    chosen = training_pairs(pairs.rows(status="ok").to_pylist(), recipe)
    if not chosen:
        raise ValueError(_no_pair(pairs, recipe))
    with _given(out) as folder:
        data = _written(pa.Table.from_pylist(chosen), f"{folder}/pairs.parquet")
        config = replace(recipe.preference, threads=recipe.preference.threads or recipe.resources.trainer.threads)
        pool = replace(recipe.resources.trainer, max_actors=None)  # only round 0 grows
        workers = Workers(pool, recipe.resources.stall_s)
        train_preference(data, actor_weights(previous), out, config, seed=recipe.seed, workers=workers)


def _no_pair(pairs: DatasetDir, recipe: Recipe) -> str:
    lost = pairs.manifest().by_reason
    counts = ", ".join(f"{reason} {count}" for reason, count in lost.items())
    advice = dict.fromkeys(_advice(reason, recipe) for reason in lost)  # the most frequent reason's first
    return f"{pairs.uri} holds no pair to train on, by reason: {counts}; {', or '.join(list(advice)[:2])}"


def _advice(reason: str, recipe: Recipe) -> str:
    """Return what helps where utterances gave no pair for this reason (a slug of `select`)."""
    if reason == "unscored" and recipe.compares_texts:
        return f"the utterances have no text to compare with: give transcripts, or let the recognizer hear them: {WITH_RECOGNIZER}"
    asked = recipe.translator
    return {
        "below_delta": f"lower select.delta (now {recipe.select.delta})",
        "tie": "give more utterances, or another select.metric",
        "duplicate": f"raise translator.temperature (now {asked.temperature:g}) or translator.n (now {asked.n})",
        "one_candidate": f"raise translator.n (now {asked.n})",
    }.get(reason, "give more utterances, or a policy that has learned more")


def training_pairs(rows: list[Row], recipe: Recipe) -> list[Row]:
    """Return at most `select.pairs` pairs of each direction, shuffled by the recipe's seed; their order does not depend on the files'."""
    kept: list[Row] = []
    for lang in recipe.languages:
        some = sorted((row for row in rows if row["src_lang"] == lang), key=lambda row: row["pair_id"])
        random.Random(recipe.seed).shuffle(some)
        kept += some[: recipe.select.pairs]
    random.Random(recipe.seed).shuffle(kept)
    return [{key: row[key] for key in ("pair_id", "prompt", "chosen", "rejected", "margin")} for row in kept]


def _held_out(recipe: Recipe) -> pa.Table:
    held_out = DatasetDir(locate(recipe.corpus.dev)).rows().to_pylist()
    held_out = sorted(held_out, key=lambda row: zlib.crc32(row["pair_id"].encode()))[:WATCHED]
    rows = [
        sequence
        for row in held_out
        for sequence in sequences(row, dict.fromkeys(recipe.back_translation_variants, 1.0))
    ]
    return pa.Table.from_pylist(rows, schema=SEQUENCE)


def _written(table: pa.Table, place: str) -> str:
    fs, path = filesystem(place)
    retry(fs, path, "written", lambda: pq.write_table(table, path, filesystem=fs))
    return place
