"""produce: translate every utterance n times, translate back, speak and score, in one streaming plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import partial, reduce
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import ray.data

from factory.actors.base import RowActor
from factory.passes.execute import act, finish
from factory.passes.progress import Clock
from factory.passes.weights import actor_weights, digests
from factory.recipe.recipe import Recipe
from factory.runtime.light_tasks import light_task
from factory.storage.dataset import BLOCK, DatasetDir

Pools = dict[str, tuple[type[RowActor], dict[str, Any]]]
"""The actor of each pool that a row passes, in this order, with its constructor arguments; the names are those of `resources`."""


def produce(
    sources: Sequence[DatasetDir], policy: str, number: int, recipe: Recipe, out: DatasetDir, clock: Clock
) -> None:
    """Write a row of SCORED for every utterance of round `number`; one that has no units travels through with its reason.

    `sources` are the datasets of UNITS that utterances are taken from, the same number from each. Raises ValueError where two of them
    share an id.
    """
    named = recipe.judge_weights | {"policy": policy}
    used = digests({name: named[name] for name in recipe.inputs("produce") if name in named})
    read = " ".join(units.manifest().fingerprint for units in sources)
    if not out.start(recipe.content("produce", used | {"units": read, "round": str(number)})):
        return
    ids, pools = utterances_of(sources, number, recipe), pools_of(recipe, policy)
    rows = planned(sources, ids, recipe, out, pools)
    finish(out, rows, ids.to_pylist(), clock, "produce", recipe.resources, *pools)


def pools_of(recipe: Recipe, policy: str) -> Pools:
    """Return the pools of a recipe."""
    from factory.actors.scorer import Scorer
    from factory.actors.translator import Translator
    from factory.actors.vocoder import Vocoder

    spoken = {"vocoder": (Vocoder, vocoder_arguments(recipe))} if recipe.speaks_back_translations else {}
    return {
        "translator": (Translator, translator_arguments(recipe, policy)),
        **spoken,
        "scorer": (Scorer, scorer_arguments(recipe)),
    }


def planned(
    sources: Sequence[DatasetDir], ids: pa.Array, recipe: Recipe, out: DatasetDir, pools: Pools
) -> ray.data.Dataset:
    """Return the plan that takes the rows with these ids, but for those that `out` has, through the pools; nothing runs yet."""
    target = partial(with_target, ids=ids, langs=recipe.languages)
    every = reduce(ray.data.Dataset.union, [units.dataset() for units in sources])
    rows = out.unfinished(every.map_batches(target, batch_format="pyarrow", **light_task()))
    for name, (actor, arguments) in pools.items():
        pool = getattr(recipe.resources, name)
        rows = act(rows, actor, arguments, pool)
        if pool.batch_size > BLOCK:
            rows = rows.repartition(
                target_num_rows_per_block=BLOCK, strict=True
            )  # who follows need not wait for a whole batch
    return rows


def utterances_of(sources: Sequence[DatasetDir], number: int, recipe: Recipe) -> pa.Array:
    """Return the ids of a round's utterances: `corpus.limit` of each language, shared out among the sources.

    With `rounds.fresh` they are other ones every round as long as they last.
    """
    limit, turn = recipe.corpus.limit, number if recipe.rounds.fresh else 1
    tables = [units.rows(["utt_id", "lang"]) for units in sources]
    each = None if limit is None else max(1, limit // len(sources))
    ids = sorted(utt_id for table in tables for lang in recipe.languages for utt_id in _turn(table, lang, turn, each))
    if shared := {one for one, other in zip(ids, ids[1:], strict=False) if one == other}:
        raise ValueError(
            f"{len(shared)} ids occur in two sources of pairs ({min(shared)}): give the corpora different utt_ids"
        )
    return pa.array(ids, pa.string())


def _turn(table: pa.Table, lang: str, number: int, limit: int | None) -> list[str]:
    ids = sorted(table.filter(pc.equal(table["lang"], lang))["utt_id"].to_pylist())
    if limit is None or limit >= len(ids):
        return ids
    start = (number - 1) * limit % len(ids)
    return (ids + ids)[start : start + limit]


def with_target(table: pa.Table, ids: pa.Array, langs: tuple[str, ...]) -> pa.Table:
    """Keep the rows of these ids and name the language that each goes to, the other one of the two."""
    kept = table.filter(pc.is_in(table["utt_id"], value_set=ids))
    targets = [langs[1] if lang == langs[0] else langs[0] for lang in kept["lang"].to_pylist()]
    return kept.append_column("src_lang", kept["lang"]).append_column("tgt_lang", pa.array(targets, pa.string()))


def translator_arguments(recipe: Recipe, policy: str) -> dict[str, object]:
    """Return the Translator's constructor arguments for sampling candidates."""
    return {
        "policy": actor_weights(policy),
        "variant": str(recipe.policy.variant),
        "seed": recipe.seed,
        "threads": recipe.resources.translator.threads,
        "kv_cache_gib": recipe.resources.kv_cache_gib,
        "dtype": recipe.resources.dtype,
        "gpu_memory_utilization": 0.9
        * min(1.0, recipe.resources.translator.num_gpus or 1.0),  # the rest of a GPU is other actors'
        "back_variant": recipe.back_translation_variants,
        "max_model_len": recipe.policy.max_length
        if recipe.policy.base
        else None,  # a language model's own context may be endless
        "speak_by": list(recipe.scorer.metrics),
        **asdict(recipe.translator),
    }


def vocoder_arguments(recipe: Recipe) -> dict[str, object]:
    """Return the Vocoder's constructor arguments: the ways back are spoken, which MCD and the recognizer listen to."""
    return {"checkpoints": voices(recipe), "threads": recipe.resources.vocoder.threads}


def scorer_arguments(recipe: Recipe) -> dict[str, object]:
    """Return the Scorer's constructor arguments."""
    scorer = recipe.scorer
    return {
        "metrics": list(scorer.metrics),
        "score_text": scorer.score_text,
        "recognizer": recognizer_arguments(recipe),
        "threads": recipe.resources.scorer.threads,
    }


def recognizer_arguments(recipe: Recipe) -> dict[str, Any]:
    """Return the Recognizer's constructor arguments, its weights by the name that an actor finds them by."""
    return asdict(recipe.recognizer) | {"model": actor_weights(recipe.recognizer.model)}


def voices(recipe: Recipe) -> dict[str, str]:
    """Return where an actor finds each language's vocoder."""
    return {lang: actor_weights(path) for lang, path in recipe.vocoder.items()}


def limited(rows: ray.data.Dataset, ids: pa.Array) -> ray.data.Dataset:
    """Keep the rows with these ids."""
    return rows.map_batches(
        lambda table: table.filter(pc.is_in(table["utt_id"], value_set=ids)), batch_format="pyarrow"
    )
