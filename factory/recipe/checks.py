"""What a recipe must hold to make sense: each value that no part knows, or that does not fit another, is one sentence."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from factory.recipe.sections import PoolConfig
from factory.recipe.training import UNEVEN, PreferenceConfig, SftConfig
from factory.recipe.typed import build, chosen, need
from schemas.datasets import SCORES
from schemas.sequences import Variant

if TYPE_CHECKING:
    from factory.recipe.recipe import Recipe

METRICS = tuple(SCORES.field(place).name for place in range(SCORES.num_fields))


def check(recipe: Recipe) -> None:
    """Raise RecipeError for values that no part knows, or that do not fit each other."""
    _check_languages(recipe)
    _check_policy(recipe)
    _check_scores(recipe)
    _check_select(recipe)
    need(
        recipe.corpus.limit is None or recipe.corpus.limit > 0,
        "corpus.limit must be 1 or more, or null for all",
        recipe.corpus.limit,
    )
    _check_pools(recipe)
    _check_recognizer(recipe)
    _check_translator(recipe)
    _check_evaluate(recipe)
    _check_trainings(recipe)


def _check_languages(recipe: Recipe) -> None:
    langs = recipe.languages
    for lang in langs:
        need(re.fullmatch("[a-z]{2,3}", lang), "languages must hold ISO 639 codes such as fr or deu", repr(lang))
    need(len(langs) == len(set(langs)) == 2, "languages must hold two different codes", list(langs))
    for lang in recipe.vocoder:
        chosen(lang, langs, "a language of vocoder")
    for lang in recipe.evaluate.cascade or {}:
        chosen(lang, langs, "a language of evaluate.cascade")


def _check_policy(recipe: Recipe) -> None:
    policy, text = recipe.policy, recipe.corpus.text
    for task, share in policy.tasks.items():
        chosen(task, map(str, Variant), "a task of policy.tasks")
        need(0 <= share <= 1, f"policy.tasks.{task} must be a share from 0 to 1", share)
    need(policy.variant.translates, "policy.variant must be a way to translate speech", policy.variant)
    lost = "policy.variant cot is for policy.tasks alone: a candidate keeps no source text, which its pair would begin with; take com"
    need(policy.variant is not Variant.COT, lost, policy.variant)
    need(text or not policy.tasks.get("mt"), "policy.tasks has mt, which needs corpus.text", text)
    if policy.text_variant is not None:
        need(
            not policy.variant.has_text,
            "policy.text_variant is for a policy.variant without text (vanilla)",
            policy.variant,
        )
        need(policy.text_variant is Variant.S2T, "policy.text_variant must be s2t", policy.text_variant)
    for key, asked in (("variant", policy.variant), ("text_variant", policy.text_variant)):
        learns = f"policy.tasks must have {asked}, the policy.{key}, with a share above 0, or round 0 does not teach what rounds ask for"
        need(asked is None or policy.tasks.get(asked), learns, policy.tasks)


def _check_translator(recipe: Recipe) -> None:
    translator = recipe.translator
    need(translator.n >= 1, "translator.n must be 1 or more", translator.n)
    need(0 < translator.top_p <= 1, "translator.top_p must lie in (0, 1]", translator.top_p)
    need(translator.temperature >= 0, "translator.temperature must not be negative", translator.temperature)
    if translator.unit_temperature is not None:
        variant = recipe.policy.variant
        need(
            translator.unit_temperature >= 0,
            "translator.unit_temperature must not be negative",
            translator.unit_temperature,
        )
        need(
            variant.has_text and variant.has_units,
            "translator.unit_temperature needs a policy.variant with text and units",
            variant,
        )
    if translator.back_translate == "speech":
        need(
            recipe.policy.variant.has_units,
            "translator.back_translate: speech needs a policy.variant that speaks",
            recipe.policy.variant,
        )
    if translator.back_translate == "text":
        need(
            recipe.policy.variant.has_text,
            "translator.back_translate: text needs a policy.variant that writes a text",
            recipe.policy.variant,
        )
        tasks = recipe.policy.tasks
        need(
            tasks.get("mt"),
            "translator.back_translate: text needs a policy that learns the task mt, so policy.tasks with mt",
            tasks,
        )
        need(
            not recipe.listens,
            "translator.back_translate: text brings no speech back, so scorer.metrics without mcd",
            recipe.scorer.metrics,
        )


def _check_scores(recipe: Recipe) -> None:
    scorer, metric = recipe.scorer, recipe.select.metric
    for name in scorer.metrics:
        chosen(name, METRICS, "scorer.metrics")
    chosen(metric, METRICS, "select.metric")
    need(metric in scorer.metrics, f"select.metric must be among scorer.metrics ({', '.join(scorer.metrics)})", metric)
    legible = recipe.writes_text or scorer.score_text == "asr" or metric == "mcd"
    need(
        legible,
        "a policy.variant without text needs scorer.score_text: asr (or policy.text_variant, or select.metric: mcd)",
        "policy",
    )


def _check_pools(recipe: Recipe) -> None:
    for name, pool in vars(recipe.resources).items():
        if isinstance(pool, PoolConfig):
            most, key = pool.max_actors, f"resources.{name}"
            need(pool.actors >= 1, f"{key}.actors must be 1 or more", pool.actors)
            need(
                most is None or most >= pool.actors,
                f"{key}.max_actors must be {key}.actors ({pool.actors}) or more, or null",
                most,
            )
            need(
                not pool.accelerator or pool.num_gpus > 0,
                f"{key}.accelerator is a type of GPU and needs {key}.num_gpus",
                pool.num_gpus,
            )
    whole = "resources.trainer.num_gpus must be 0 or 1, for a worker trains on one GPU; more GPUs are more resources.trainer.actors"
    need(recipe.resources.trainer.num_gpus in (0, 1), whole, recipe.resources.trainer.num_gpus)


def _check_recognizer(recipe: Recipe) -> None:
    pools, kind = recipe.resources, recipe.recognizer.compute_type
    hearing = {"recognizer": pools.recognizer} | ({"scorer": pools.scorer} if recipe.scorer.score_text == "asr" else {})
    for name, pool in hearing.items():
        key = f"resources.{name}.num_gpus"
        why = " (scorer.score_text: asr hears there)" if name == "scorer" else ""
        told = f"recognizer.compute_type: float16 runs on GPUs alone: give {key} a share of one{why}, or take int8"
        need(kind != "float16" or pool.num_gpus > 0, told, pool.num_gpus)


def _check_select(recipe: Recipe) -> None:
    select, filters = recipe.select, recipe.select.filters
    need(select.delta == "auto" or select.delta >= 0, "select.delta must not be negative", select.delta)
    need(0.5 < select.quantile <= 1, "select.quantile must lie in (0.5, 1]", select.quantile)
    need(select.pairs is None or select.pairs > 0, "select.pairs must be 1 or more, or null for all", select.pairs)
    low, high = filters.min_length_ratio, filters.max_length_ratio
    need(0 <= low < high, "select.filters.min_length_ratio must be below max_length_ratio", f"{low} and {high}")
    for name in ("max_repetition", "max_copy", "max_wrong_language"):
        need(0 <= getattr(filters, name) <= 1, f"select.filters.{name} must lie in [0, 1]", getattr(filters, name))


def _check_evaluate(recipe: Recipe) -> None:
    for name in ("s2t_utterances", "asr_utterances", "resamples"):
        need(getattr(recipe.evaluate, name) >= 1, f"evaluate.{name} must be 1 or more", getattr(recipe.evaluate, name))


def _check_trainings(recipe: Recipe) -> None:
    sft, most = build(SftConfig, recipe.sft, "sft"), recipe.resources.trainer.max_actors
    sft.check()
    for task in sft.weights:
        written = f"sft.weights must name tasks that policy.tasks writes, of {', '.join(recipe.policy.tasks)}"
        need(task in recipe.policy.tasks, written, task)
    enough = "sft.batches must be resources.trainer.max_actors or more, so that a step learns the same however many workers there are"
    need(most is None or (sft.batches or 0) >= most, enough, f"{sft.batches} and {most}")
    preference, workers = build(PreferenceConfig, recipe.preference, "preference"), recipe.resources.trainer.actors
    many = range(workers, (most or workers) + 1)
    even = not sft.sharded or all((sft.batches or number) % number == 0 for number in many)
    need(even, UNEVEN, f"{sft.batches} and {' or '.join(map(str, many))}")
    preference.check()
    teaches = recipe.policy.variant.has_text or preference.unit_weight > 0
    need(
        teaches,
        f"preference.unit_weight must be above 0 for policy.variant {recipe.policy.variant}, which writes speech alone",
        0,
    )
    alike = "preference.batch must be a multiple of resources.trainer.actors, so that each worker has as many of a step's pairs"
    need(preference.batch % workers == 0, alike, f"{preference.batch} and {workers}")
