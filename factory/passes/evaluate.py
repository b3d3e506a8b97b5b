"""evaluate: greedy translations of test utterances with references, spoken and judged; and toplines to compare with."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import cast

import pyarrow as pa
import pyarrow.compute as pc
import ray.data

from factory.corpora.opening import open_corpus
from factory.passes.execute import map_actor, run_plan
from factory.passes.produce import build_engine_config, build_job
from factory.passes.progress import Clock
from factory.passes.weights import actor_encoder, actor_recognizer, actor_vocoders, actor_weights, compute_digests
from factory.recipe.recipe import Recipe
from factory.storage.dataset import DatasetDir


def evaluate(units: DatasetDir, policy: str, recipe: Recipe, out: DatasetDir, clock: Clock, name: str) -> None:
    """Translate test utterances greedily there and back, and judge the translations.

    The dataset gets a row of EVALUATED for the first `recipe.test_utterances` test utterances of each direction. The
    speech of the first `evaluate.asr_utterances` of them is judged as well.

    Args:
        units: the dataset of UNITS of the test corpus.
        policy: the policy to evaluate.
        recipe: the experiment.
        out: the dataset to write.
        clock: measures and shows progress.
        name: of the stage, for people.
    """
    cascade = recipe.evaluate.cascade or {}
    names = recipe.judge_weights | {"policy": policy} | {f"cascade.{lang}": voice for lang, voice in cascade.items()}
    inputs = compute_digests(names) | {"units": units.manifest().fingerprint}
    if not out.start(recipe.content("evaluate", inputs)):
        return
    table = select_test_rows(units, recipe)
    rows = out.unfinished(ray.data.from_arrow(table.drop_columns(["spoken"])))
    rows = _translate(rows, policy, recipe)
    pool = recipe.resources.recognizer
    rows = rows.repartition(target_num_rows_per_block=pool.batch_size, strict=True)  # so that every judge gets rows
    rows = _judge(rows, list_spoken_ids(table), recipe)
    ids = table["utt_id"].to_pylist()
    run_plan(rows, out, ids, clock, name, recipe.resources, ["translator", "recognizer"])


def _translate(rows: ray.data.Dataset, policy: str, recipe: Recipe) -> ray.data.Dataset:
    """Add one greedy candidate and its greedy back-translation."""
    from factory.actors.translator import Translator

    greedy = replace(recipe.translator, n=1, temperature=0.0, back_translation_temperature=0.0, unit_temperature=None)
    job = replace(build_job(recipe), text_variant=recipe.policy.text_variant)
    actor = partial(Translator, actor_weights(policy), greedy, job, build_engine_config(recipe))
    return map_actor(rows, actor, recipe.resources.translator)


def _judge(rows: ray.data.Dataset, spoken: list[str], recipe: Recipe) -> ray.data.Dataset:
    from factory.actors.judge import Judge

    pool = recipe.resources.recognizer
    actor = partial(
        Judge,
        actor_vocoders(recipe),
        actor_recognizer(recipe),
        spoken,
        writes_text=recipe.writes_text,
        cascade={lang: actor_weights(voice) for lang, voice in (recipe.evaluate.cascade or {}).items()},
        threads=pool.threads,
    )
    return map_actor(rows, actor, pool)


def judge_toplines(units: DatasetDir, recipe: Recipe, out: DatasetDir, clock: Clock) -> None:
    """Write a row of TOPLINE for each spoken test utterance: its recording, and its units resynthesised.

    Args:
        units: the dataset of UNITS of the test corpus.
        recipe: the experiment.
        out: the dataset to write.
        clock: measures and shows progress.
    """
    from factory.actors.judge import ToplineJudge

    inputs = compute_digests(recipe.judge_weights) | {"units": units.manifest().fingerprint}
    if not out.start(recipe.content("toplines", inputs)):
        return
    ids = list_spoken_ids(select_test_rows(units, recipe))
    corpus, pool = open_corpus(recipe.corpus.test), recipe.resources.recognizer
    rows = units.dataset() if corpus.holds_units else corpus.load_speech().rows
    encoder = None if corpus.holds_units else actor_encoder(recipe)
    actor = partial(
        ToplineJudge, actor_vocoders(recipe), actor_recognizer(recipe), encoder, recipe.languages, pool.threads
    )
    rows = map_actor(out.unfinished(_keep_ids(rows, ids), pool.batch_size), actor, pool)
    run_plan(rows, out, ids, clock, "toplines", recipe.resources, ["recognizer"])


def _keep_ids(rows: ray.data.Dataset, ids: list[str]) -> ray.data.Dataset:
    wanted = pa.array(ids, pa.string())
    return rows.map_batches(
        lambda table: table.filter(pc.is_in(table["utt_id"], value_set=wanted)), batch_format="pyarrow"
    )


def select_test_rows(units: DatasetDir, recipe: Recipe) -> pa.Table:
    """Return the test utterances with units and a reference, by direction and then by id, with two further columns.

    `tgt_lang` is the language to translate into; `spoken` marks the utterances whose speech is judged.
    """
    table = units.rows(status="ok").sort_by("utt_id")
    table = table.filter(pc.and_(pc.is_valid(table["reference"]), pc.greater(pc.utf8_length(table["reference"]), 0)))
    first, second = recipe.languages
    return pa.concat_tables([_select_direction(table, *langs, recipe) for langs in ((first, second), (second, first))])


def _select_direction(table: pa.Table, lang: str, target: str, recipe: Recipe) -> pa.Table:
    rows = table.filter(pc.equal(table["lang"], lang)).slice(0, recipe.test_utterances)
    spoken = pa.array([index < recipe.evaluate.asr_utterances for index in range(rows.num_rows)], pa.bool_())
    targets = pa.array([target] * rows.num_rows, pa.string())
    return rows.append_column("tgt_lang", targets).append_column("spoken", spoken)


def list_spoken_ids(rows: pa.Table) -> list[str]:
    """Return the ids of the test utterances whose speech is judged."""
    return cast(list[str], rows.filter(rows["spoken"])["utt_id"].to_pylist())
