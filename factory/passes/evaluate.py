"""evaluate: greedy translations of test utterances with references, and their speech judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from factory.actors.evaluated import read_texts
from factory.actors.greedy import POLICY, RECORDING, SPOKEN
from factory.corpora.opening import open_corpus
from factory.passes.execute import fit_pool, map_actor, run_plan
from factory.passes.produce import build_engine_config, build_job
from factory.passes.progress import Clock
from factory.passes.references import with_references
from factory.passes.weights import actor_recognizer, actor_vocoders, actor_weights, compute_digests
from factory.recipe.directions import Direction
from factory.recipe.recipe import Recipe
from factory.recipe.resources import PoolConfig
from factory.runtime.light_tasks import light_task
from factory.storage.dataset import DatasetDir
from factory.storage.group import DatasetGroup
from schemas.datasets import OK, UTTERANCE

if TYPE_CHECKING:
    import ray.data

MIN_BLOCK = 16
"""Rows of a block of translations, at least: Ray takes 20 ms for a block, a text alone takes 10."""


def evaluate(units: DatasetDir, policies: Sequence[tuple[str, DatasetDir]], recipe: Recipe, clock: Clock) -> None:
    """Translate test utterances greedily there and back, and judge the translations.

    Each dataset gets a row of EVALUATED for the first `recipe.test_utterances` test utterances of each direction. The
    first `evaluate.asr_utterances` of them are translated as text and units, and their speech is judged. The others are
    translated as text alone, as are all of a policy that writes no speech. Their text is translated back if
    `translator.back_translate` is text; a back-translation of speech would need units.

    Args:
        units: the dataset of UNITS of the test corpus.
        policies: the policies to evaluate, each with the dataset to write; finished ones are skipped. One plan runs
            all of them, so that every model is loaded once.
        recipe: the experiment.
        clock: measures and shows progress.
    """
    started = {
        str(number): (policy, out)
        for number, (policy, out) in enumerate(policies)
        if _start(units, policy, recipe, out)
    }
    if not started:
        return
    import ray.data

    weights = {name: policy for name, (policy, _) in started.items()}
    group = DatasetGroup({name: out for name, (_, out) in started.items()}, POLICY)
    table = select_test_rows(units, recipe)
    ids = next(iter(group.datasets.values())).list_ids(table)
    unfinished = group.unfinished(_spoken_first(table))
    if not recipe.writes_speech:
        rows = _translate(ray.data.from_arrow(add_recordings(unfinished, recipe)), weights, recipe)
        rows = rows.map_batches(read_texts, batch_format="pyarrow", **light_task())
        run_plan(rows, group, ids, clock, "evaluate", recipe.resources, ["translator"])
        return
    judged = fit_pool(recipe.resources.recognizer, pc.sum(unfinished[SPOKEN]).as_py() or 0)
    if "speaker_similarity" in recipe.evaluate.speech_measures:
        unfinished = add_recordings(unfinished, recipe)
    rows = _translate(ray.data.from_arrow(unfinished), weights, recipe)
    block = max(MIN_BLOCK, judged.batch_size)  # so small that every judge gets rows
    rows = rows.repartition(target_num_rows_per_block=block, strict=True)
    rows = _judge(rows, recipe, judged)
    resources = replace(recipe.resources, recognizer=judged)
    run_plan(rows, group, ids, clock, "evaluate", resources, ["translator", "recognizer"])


def add_recordings(rows: pa.Table, recipe: Recipe) -> pa.Table:
    """Return rows of the test corpus with their recordings: all for a policy that hears, else those that are spoken.

    A corpus of units has none.
    """
    ids, corpus = rows["utt_id"].to_pylist(), open_corpus(recipe.corpus.test)
    wanted = ids if recipe.hears_speech else rows.filter(rows[SPOKEN])["utt_id"].to_pylist()
    audio = {} if corpus.holds_units else corpus.find_audio(set(wanted))
    column = pa.array([audio.get(utt_id) for utt_id in ids], UTTERANCE.field(RECORDING).type)
    return rows.append_column(RECORDING, column)


def _start(units: DatasetDir, policy: str, recipe: Recipe, out: DatasetDir) -> bool:
    """Start to write the evaluation of a policy; return False if it is finished."""
    names = recipe.judge_weights | {"policy": policy} | recipe.cascade_weights | recipe.measure_weights
    inputs = compute_digests(names) | {"units": units.manifest().fingerprint}
    return out.start(recipe.content("evaluate", inputs))


def _spoken_first(table: pa.Table) -> pa.Table:
    """Return the rows that are spoken before the others: the judges, who take longest, then begin at once."""
    return pa.concat_tables([table.filter(table[SPOKEN]), table.filter(pc.invert(table[SPOKEN]))])


def _translate(rows: ray.data.Dataset, weights: Mapping[str, str], recipe: Recipe) -> ray.data.Dataset:
    """Add one greedy candidate and its greedy back-translation."""
    from factory.actors.greedy import GreedyTranslator

    job = replace(build_job(recipe), text_variant=recipe.policy.text_variant)
    policies = {name: actor_weights(policy) for name, policy in weights.items()}
    actor = partial(GreedyTranslator, policies, recipe.translator, job, build_engine_config(recipe))
    return map_actor(rows, actor, recipe.resources.translator)


def _judge(rows: ray.data.Dataset, recipe: Recipe, pool: PoolConfig) -> ray.data.Dataset:
    from factory.actors.judge import Judge

    actor = partial(
        Judge,
        actor_vocoders(recipe),
        actor_recognizer(recipe),
        writes_text=recipe.writes_text,
        translates_texts_back=recipe.translator.back_translate == "text",
        cascade={lang: actor_weights(voice) for lang, voice in (recipe.evaluate.cascade or {}).items()},
        measures=recipe.evaluate.speech_measures,
        threads=pool.threads,
    )
    return map_actor(rows, actor, pool)


def select_test_rows(units: DatasetDir, recipe: Recipe) -> pa.Table:
    """Return the test utterances with units and a reference, by direction and then by id, with two further columns.

    `tgt_lang` is the language to translate into; `spoken` marks the utterances whose speech is judged.
    """
    table = units.rows(status=OK).sort_by("utt_id")
    return pa.concat_tables([_select_direction(table, direction, recipe) for direction in recipe.used_directions])


def _select_direction(table: pa.Table, direction: Direction, recipe: Recipe) -> pa.Table:
    used, texts = recipe.used_directions, zip(table["utt_id"].to_pylist(), table["text"].to_pylist(), strict=True)
    rows = table.filter(pc.equal(table["lang"], direction.source))
    kept = [direction in used.of_utterance(utt_id, direction.source) for utt_id in rows["utt_id"].to_pylist()]
    rows = with_references(rows.filter(pa.array(kept, pa.bool_())), direction, dict(texts), recipe)
    rows = rows.filter(pc.fill_null(pc.greater(pc.utf8_length(rows["reference"]), 0), False))
    rows = rows.slice(0, recipe.test_utterances)
    most = recipe.evaluate.asr_utterances if recipe.writes_speech else 0
    spoken = pa.array([index < most for index in range(rows.num_rows)], pa.bool_())
    targets = pa.array([direction.target] * rows.num_rows, pa.string())
    return rows.append_column("tgt_lang", targets).append_column("spoken", spoken)


def list_topline_ids(units: DatasetDir, recipe: Recipe) -> list[str]:
    """Return the ids of the test utterances that show what perfect speech would score, for each target language.

    They are the utterances whose translations are spoken; in a language that nothing is translated from, they are the
    first `evaluate.asr_utterances` of the test set.
    """
    used, rows = recipe.used_directions, select_test_rows(units, recipe)
    spoken = rows.filter(pc.and_(rows["spoken"], pc.is_in(rows["lang"], value_set=pa.array(used.targets))))
    ids = list(dict.fromkeys(spoken["utt_id"].to_pylist()))
    table = units.rows(["utt_id", "lang"], status=OK).sort_by("utt_id")
    for lang in used.targets:
        if lang not in used.sources:
            in_lang = table.filter(pc.equal(table["lang"], lang)).slice(0, recipe.evaluate.asr_utterances)
            ids += in_lang["utt_id"].to_pylist()
    return ids
