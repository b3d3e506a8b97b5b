"""evaluate: greedy translations of test utterances that have references, spoken and heard; and the toplines to read the scores by."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
import ray.data

from factory.corpora.opening import open_corpus
from factory.passes.execute import act, finish
from factory.passes.produce import limited, recognizer_arguments, translator_arguments, voices
from factory.passes.progress import Clock
from factory.passes.tokenize import encoder_arguments
from factory.passes.weights import actor_weights, digests
from factory.recipe.paths import locate
from factory.recipe.recipe import Recipe
from factory.storage.dataset import DatasetDir


def evaluate(
    units: DatasetDir, policy: str, recipe: Recipe, out: DatasetDir, clock: Clock, name: str = "evaluate"
) -> None:
    """Write a row of EVALUATED for the first `recipe.test_utterances` test utterances of each direction, there and back, greedily.

    The first `evaluate.asr_utterances` of them are spoken, transcribed and rated as well.
    """
    from factory.actors.judge import Judge
    from factory.actors.translator import Translator

    cascade = {f"cascade.{lang}": voice for lang, voice in (recipe.evaluate.cascade or {}).items()}
    used = digests(recipe.judge_weights | {"policy": policy} | cascade) | {"units": units.manifest().fingerprint}
    if not out.start(recipe.content("evaluate", used)):
        return
    table = test_rows(units, recipe)
    rows = out.unfinished(ray.data.from_arrow(table.drop_columns(["spoken"])))
    once = {
        "n": 1,
        "temperature": 0.0,
        "back_translation_temperature": 0.0,
        "unit_temperature": None,
        "text_variant": recipe.policy.text_variant,
    }
    greedy = translator_arguments(recipe, policy) | once
    rows = act(rows, Translator, greedy, recipe.resources.translator)
    rows = rows.repartition(
        target_num_rows_per_block=recipe.resources.recognizer.batch_size, strict=True
    )  # a share for every judge
    speakers = {lang: actor_weights(voice) for lang, voice in (recipe.evaluate.cascade or {}).items()}
    heard = judge_arguments(recipe) | {
        "spoken": heard_ids(table),
        "writes_text": recipe.writes_text,
        "cascade": speakers,
    }
    rows = act(rows, Judge, heard, recipe.resources.recognizer)
    finish(out, rows, table["utt_id"].to_pylist(), clock, name, recipe.resources, "translator", "recognizer")


def toplines(units: DatasetDir, recipe: Recipe, out: DatasetDir, clock: Clock) -> None:
    """Hear the test recordings themselves, where there are some, and their units spoken again, once for all rounds."""
    from factory.actors.judge import ToplineJudge

    if not out.start(
        recipe.content("toplines", digests(recipe.judge_weights) | {"units": units.manifest().fingerprint})
    ):
        return
    ids, corpus = pa.array(heard_ids(test_rows(units, recipe)), pa.string()), open_corpus(locate(recipe.corpus.test))
    silent = corpus.holds_units
    every = units.dataset() if silent else corpus.load_speech().rows
    rows = out.unfinished(limited(every, ids), recipe.resources.recognizer.batch_size)
    arguments = judge_arguments(recipe) | {"encoder": None if silent else encoder_arguments(recipe)}
    rows = act(rows, ToplineJudge, arguments, recipe.resources.recognizer)
    finish(out, rows, ids.to_pylist(), clock, "toplines", recipe.resources, "recognizer")


def test_rows(units: DatasetDir, recipe: Recipe) -> pa.Table:
    """Return the test utterances that have units and a reference, with the columns `tgt_lang` and `spoken`, in the order of their ids."""
    table = units.rows(status="ok").sort_by("utt_id")
    table = table.filter(pc.and_(pc.is_valid(table["reference"]), pc.greater(pc.utf8_length(table["reference"]), 0)))
    first, second = recipe.languages
    sides = [_side(table, first, second, recipe), _side(table, second, first, recipe)]
    return pa.concat_tables(sides)


def _side(table: pa.Table, lang: str, target: str, recipe: Recipe) -> pa.Table:
    rows = table.filter(pc.equal(table["lang"], lang)).slice(0, recipe.test_utterances)
    spoken = pa.array([place < recipe.evaluate.asr_utterances for place in range(rows.num_rows)], pa.bool_())
    return rows.append_column("tgt_lang", pa.array([target] * rows.num_rows, pa.string())).append_column(
        "spoken", spoken
    )


def heard_ids(rows: pa.Table) -> list[str]:
    """Return the ids of the test utterances that are heard."""
    return rows.filter(rows["spoken"])["utt_id"].to_pylist()


def judge_arguments(recipe: Recipe) -> dict[str, object]:
    """Return the Judge's constructor arguments."""
    return {
        "vocoders": voices(recipe),
        "recognizer": recognizer_arguments(recipe),
        "threads": recipe.resources.recognizer.threads,
    }
