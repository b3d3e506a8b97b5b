"""train: the first policy learns from paired speech, the next one from pairs; `trainers` makes the weights."""

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

from factory.corpora.opening import open_corpus
from factory.passes.errors import PassError
from factory.passes.paired import is_in
from factory.passes.sequences import build_sequences, read_paired
from factory.passes.weights import actor_encoder, actor_weights, count_units, local_weights
from factory.planning.usable_speech import WITH_RECOGNIZER
from factory.recipe.directions import Direction
from factory.recipe.recipe import Recipe
from factory.storage.dataset import DatasetDir
from factory.storage.files import filesystem, retry
from factory.storage.transfer import remove, upload
from schemas.datasets import SEQUENCE, UTTERANCE, Row

MAX_DEV_PAIRS = 1_000
"""Most pairs of `corpus.dev` for the held-out loss: every worker computes it at every checkpoint."""


def train_first(data: DatasetDir, recipe: Recipe, out: str) -> None:
    """Make an untrained policy (new, or a language model with units) and train it on the sequences of round 0.

    A policy of continuous speech is trained in stages.

    Args:
        data: the dataset of SEQUENCE, or of SPOKEN_SEQUENCE.
        recipe: the experiment.
        out: where the policy is published, a URI.
    """
    from trainers.launch import Workers
    from trainers.sft import train_sft

    with training_folder(out) as folder:
        start = _write_untrained(recipe, folder)
        train = write_parquet(data.rows(), f"{folder}/train.parquet")
        workers = Workers(recipe.resources.trainer, recipe.resources.stall_s)
        if recipe.hears_speech:
            from trainers.part import train_part

            part = replace(recipe.part, threads=recipe.part.threads or recipe.resources.trainer.threads)
            train_part(train, start, out, part, seed=recipe.seed, workers=workers)
            return
        dev = write_parquet(_read_held_out(recipe), f"{folder}/dev.parquet")
        longest = recipe.policy.max_length if recipe.policy.base else 0
        config = replace(
            recipe.sft,
            threads=recipe.sft.threads or recipe.resources.trainer.threads,
            max_length=recipe.sft.max_length or longest,
        )
        train_sft(train, start, out, config, dev=dev, seed=recipe.seed, workers=workers)


@contextmanager
def training_folder(out: str) -> Iterator[str]:
    """Yield a folder for the inputs of a training, and delete it afterwards.

    It is next to the policy `out`, because the workers on other nodes read it too.
    """
    folder = f"{out}.inputs"
    if "://" not in folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        folder = str(Path(folder).absolute())
    try:
        yield folder
    finally:
        remove(folder)


def _write_untrained(recipe: Recipe, folder: str) -> str:
    """Write the policy that round 0 begins with into `folder`, and return its path."""
    from trainers.remote import POLICY_LAST

    if "://" not in folder:
        return str(_create_policy(recipe, Path(folder, "start")))
    with tempfile.TemporaryDirectory() as scratch:
        upload(_create_policy(recipe, Path(scratch, "start")), f"{folder}/start", POLICY_LAST)
    return f"{folder}/start"


def _create_policy(recipe: Recipe, out: Path) -> Path:
    """Write an untrained policy: `policy.base` with new tokens, or random weights and a new tokenizer."""
    from trainers.policy import PolicyShape, create_policy, extend_policy

    if recipe.hears_speech:
        from trainers.speech_policy import create_speech_policy

        base, encoder = local_weights(recipe.policy.base or ""), actor_encoder(recipe)
        langs, part, seed = recipe.languages, recipe.part, recipe.seed
        return create_speech_policy(base, out, encoder=encoder, part=part, langs=langs, seed=seed)
    shape, units, langs, tasks = recipe.policy, count_units(recipe), recipe.languages, recipe.policy.tasks
    if shape.base:
        return extend_policy(local_weights(shape.base), out, num_units=units, langs=langs, tasks=tasks)
    return create_policy(
        out,
        texts=sorted({text for row in read_paired(recipe) for text in (row["src_text"], row["tgt_text"])}),
        num_units=units,
        langs=langs,
        tasks=tasks,
        shape=PolicyShape(shape.hidden, shape.layers, shape.heads, shape.max_length),
        seed=recipe.seed,
    )


def train_next(pairs: DatasetDir, previous: str, recipe: Recipe, out: str) -> None:
    """Train the policy that wrote the candidates on the pairs of its candidates.

    Args:
        pairs: the dataset of PAIR.
        previous: the policy.
        recipe: the experiment.
        out: where the next policy is published, a URI.

    Raises:
        PassError: there is no pair.
    """
    rows = choose_training_pairs(pairs.rows(status="ok").to_pylist(), recipe)
    if not rows:
        raise PassError(explain_missing_pairs(pairs, recipe))
    from trainers.launch import Workers
    from trainers.preference import train_preference

    with training_folder(out) as folder:
        data = write_parquet(_write_pairs(rows, recipe), f"{folder}/pairs.parquet")
        config = replace(recipe.preference, threads=recipe.preference.threads or recipe.resources.trainer.threads)
        pool = replace(recipe.resources.trainer, max_actors=None)  # only round 0 grows
        workers = Workers(pool, recipe.resources.stall_s)
        train_preference(data, actor_weights(previous), out, config, seed=recipe.seed, workers=workers)


def _write_pairs(rows: list[Row], recipe: Recipe) -> pa.Table:
    """Return pairs as the training reads them: with their recordings, for a policy of continuous speech."""
    table = pa.Table.from_pylist(rows)
    if not recipe.hears_speech:
        return table
    audio = open_corpus(recipe.corpus.mono).find_audio(set(table["utt_id"].to_pylist()))
    column = pa.array([audio.get(utt_id) for utt_id in table["utt_id"].to_pylist()], UTTERANCE.field("audio").type)
    return table.append_column("audio", column)


def explain_missing_pairs(pairs: DatasetDir, recipe: Recipe) -> str:
    """Return why a dataset of PAIR holds no pair, and what to change: the advice for its two most frequent reasons."""
    reasons = pairs.manifest().by_reason
    counts = ", ".join(f"{reason} {count}" for reason, count in reasons.items())
    advice = dict.fromkeys(_advise(reason, recipe) for reason in reasons)  # the most frequent reason comes first
    return f"{pairs.uri} holds no pair to train on, by reason: {counts}; {', or '.join(list(advice)[:2])}"


def _advise(reason: str, recipe: Recipe) -> str:
    """Return what to change if utterances gave no pair for this reason (a slug of `select`)."""
    if reason == "unscored" and recipe.compares_texts:
        return (
            "the utterances have no text to compare with: give transcripts, or let the recognizer transcribe them: "
            f"{WITH_RECOGNIZER}"
        )
    translator = recipe.translator
    return {
        "below_delta": f"lower select.delta (now {recipe.select.delta})",
        "tie": "give more utterances, or another select.metric",
        "duplicate": f"raise translator.temperature (now {translator.temperature:g}) or translator.n "
        f"(now {translator.n})",
        "one_candidate": f"raise translator.n (now {translator.n})",
    }.get(reason, "give more utterances, or a policy that has learned more")


def choose_training_pairs(rows: list[Row], recipe: Recipe) -> list[Row]:
    """Return at most `select.pairs` pairs of each direction, shuffled by the recipe's seed.

    Their order does not depend on the order of the rows.
    """
    chosen: list[Row] = []
    for direction in recipe.used_directions:
        own = sorted((row for row in rows if Direction.of_row(row) == direction), key=lambda row: row["pair_id"])
        random.Random(recipe.seed).shuffle(own)
        chosen += own[: recipe.select.pairs]
    random.Random(recipe.seed).shuffle(chosen)
    names = ("pair_id", "prompt", "chosen", "rejected", "margin", *(("utt_id",) if recipe.hears_speech else ()))
    return [{key: row[key] for key in names} for row in chosen]


def _read_held_out(recipe: Recipe) -> pa.Table:
    """Return the sequences of the held-out pairs, for every variant that a round requests."""
    pairs = [row for row in DatasetDir(recipe.corpus.dev).rows().to_pylist() if is_in(row, recipe.taught_directions)]
    pairs = sorted(pairs, key=lambda row: zlib.crc32(row["pair_id"].encode()))[:MAX_DEV_PAIRS]
    tasks: dict[str, float] = dict.fromkeys(map(str, recipe.back_translation_variants), 1.0)
    return pa.Table.from_pylist([row for pair in pairs for row in build_sequences(pair, tasks)], schema=SEQUENCE)


def write_parquet(table: pa.Table, uri: str) -> str:
    """Write a table to `uri`, and return `uri`."""
    fs, path = filesystem(uri)
    retry(fs, path, "written", lambda: pq.write_table(table, path, filesystem=fs))
    return uri
