"""produce: translate every utterance n times, translate back, resynthesise and score, in one streaming plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial, reduce
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from factory.actors.base import ActorFactory
from factory.actors.round_trip import TranslationJob
from factory.corpora.opening import open_corpus
from factory.models.engine import EngineConfig
from factory.passes.choose import choose_ids, group_ids
from factory.passes.errors import PassError
from factory.passes.execute import map_actor, run_plan
from factory.passes.progress import Clock
from factory.passes.references import with_own_references
from factory.passes.weights import actor_recognizer, actor_vocoders, actor_weights, compute_digests
from factory.recipe.recipe import Recipe
from factory.runtime.light_tasks import light_task
from factory.storage.dataset import BLOCK, DatasetDir

if TYPE_CHECKING:
    import ray.data

Pools = Mapping[str, ActorFactory]
"""The actors that a row passes, in this order, by the names of their pools in `resources`."""
GPU_SHARE = 0.9
"""The share of a whole GPU's memory that vLLM takes, vLLM's own default."""


def produce(
    sources: Sequence[DatasetDir], policy: str, number: int, recipe: Recipe, out: DatasetDir, clock: Clock
) -> None:
    """Write a row of SCORED for every utterance of a round; an utterance without units passes through with its reason.

    A policy that hears reads the recordings of `corpus.mono` again.

    Args:
        sources: the datasets of UNITS that utterances are taken from, the same number from each.
        policy: the policy that translates.
        number: the number of the round.
        recipe: the experiment.
        out: the dataset to write.
        clock: measures and shows progress.

    Raises:
        PassError: two sources share an id.
    """
    names = recipe.judge_weights | {"policy": policy}
    digests = compute_digests({name: names[name] for name in recipe.inputs("produce") if name in names})
    fingerprints = " ".join(units.manifest().fingerprint for units in sources)
    if not out.start(recipe.content("produce", digests | {"units": fingerprints, "round": str(number)})):
        return
    ids, pools = choose_utterances(sources, number, recipe), build_pools(recipe, policy)
    utterances = pa.concat_tables([units.rows(["utt_id", "lang"]) for units in sources])
    expected = out.list_ids(add_targets(utterances, ids, recipe))
    rows = build_plan(sources, ids, recipe, out, pools)
    run_plan(rows, out, expected, clock, "produce", recipe.resources, list(pools))


def build_pools(recipe: Recipe, policy: str) -> Pools:
    """Return the pools of produce; the vocoder is left out if nothing listens to back-translations."""
    from factory.actors.scorer import Scorer
    from factory.actors.translator import Translator
    from factory.actors.vocoder import Vocoder

    resources = recipe.resources
    translator = partial(
        Translator, actor_weights(policy), recipe.translator, build_job(recipe), build_engine_config(recipe)
    )
    pools: dict[str, ActorFactory] = {"translator": translator}
    if recipe.speaks_back_translations:
        pools["vocoder"] = partial(Vocoder, actor_vocoders(recipe), resources.vocoder.threads)
    pools["scorer"] = partial(Scorer, recipe.scorer, actor_recognizer(recipe), resources.scorer.threads)
    return pools


def build_plan(
    sources: Sequence[DatasetDir], ids: pa.Array, recipe: Recipe, out: DatasetDir, pools: Pools
) -> ray.data.Dataset:
    """Return the plan that maps the pools over the unfinished rows of `out`; nothing runs yet.

    Args:
        sources: the datasets of UNITS.
        ids: the utterances of the round.
        recipe: the experiment.
        out: the dataset that the plan will write.
        pools: the actors.
    """
    import ray.data

    targets = partial(add_targets, ids=ids, recipe=recipe)
    if recipe.hears_speech:
        utterances = open_corpus(recipe.corpus.mono).load_speech().rows
    else:
        utterances = reduce(ray.data.Dataset.union, [source.dataset() for source in sources])
    rows = out.unfinished(utterances.map_batches(targets, batch_format="pyarrow", **light_task()))
    for name, actor in pools.items():
        pool = getattr(recipe.resources, name)
        rows = map_actor(rows, actor, pool)
        if pool.batch_size > BLOCK:  # the next pool need not wait for a whole batch
            rows = rows.repartition(target_num_rows_per_block=BLOCK, strict=True)
    return rows


def choose_utterances(sources: Sequence[DatasetDir], number: int, recipe: Recipe) -> pa.Array:
    """Return the ids of a round's utterances: `corpus.limit` per direction, the same number from each source.

    With `rounds.fresh` every round takes other utterances until none are left.

    Args:
        sources: the datasets of UNITS.
        number: the number of the round.
        recipe: the experiment.

    Raises:
        PassError: two sources share an id.
    """
    tables = [units.rows(["utt_id", "lang"]) for units in sources]
    ids = sorted(
        utt_id for table in tables for utt_id in choose_ids(_group(table, recipe), number, recipe, len(sources))
    )
    if shared := {first for first, second in zip(ids, ids[1:], strict=False) if first == second}:
        raise PassError(
            f"{len(shared)} ids occur in two sources of pairs ({min(shared)}): give the corpora different utt_ids"
        )
    return pa.array(ids, pa.string())


def _group(table: pa.Table, recipe: Recipe) -> dict[str, list[str]]:
    return group_ids(zip(table["utt_id"].to_pylist(), table["lang"].to_pylist(), strict=True), recipe)


def add_targets(table: pa.Table, ids: pa.Array, recipe: Recipe) -> pa.Table:
    """Return a row for each direction of the utterances with these ids, with `src_lang` and `tgt_lang`.

    The reference of an utterance is kept in the direction that it belongs to, and null in others.
    """
    kept = table.filter(pc.is_in(table["utt_id"], value_set=ids))
    utterances = zip(kept["utt_id"].to_pylist(), kept["lang"].to_pylist(), strict=True)
    directions = [recipe.used_directions.of_utterance(*utterance) for utterance in utterances]
    rows = kept.take(pa.array([index for index, group in enumerate(directions) for _ in group], pa.int64()))
    each = [direction for group in directions for direction in group]
    if "reference" in rows.schema.names:
        rows = with_own_references(rows, each, recipe)
    targets = pa.array([direction.target for direction in each], pa.string())
    return rows.append_column("src_lang", rows["lang"]).append_column("tgt_lang", targets)


def build_job(recipe: Recipe) -> TranslationJob:
    """Return what the translator of produce writes."""
    return TranslationJob(
        variant=recipe.policy.variant,
        back_variants=tuple(recipe.back_translation_variants),
        text_variant=None,
        speak_by=recipe.scorer.metrics,
        seed=recipe.seed,
        writes_back=recipe.writes_back_translations,
        reconstructs="reconstruction" in recipe.scorer.metrics,
        recordings=recipe.encoder if recipe.hears_speech else None,
        chats=recipe.chats,
    )


def build_engine_config(recipe: Recipe) -> EngineConfig:
    """Return how a translator of this recipe computes."""
    pool = recipe.resources.translator
    return EngineConfig(
        dtype=recipe.resources.dtype,
        threads=pool.threads,
        kv_cache_gib=recipe.resources.kv_cache_gib,
        gpu_memory_utilization=GPU_SHARE * min(1.0, pool.num_gpus or 1.0),  # other actors have the rest of the GPU
        # the context of a model by name may be endless
        max_model_len=recipe.policy.max_length if recipe.policy.base or recipe.chats else None,
    )
