"""Checks between the sections of a recipe. A section checks its own keys when it is made."""

from __future__ import annotations

import re

from factory.metrics import METRICS
from factory.metrics.judge import is_judge
from factory.models.instructions import has_name
from factory.recipe.directions import Direction, Directions
from factory.recipe.part import TASKS
from factory.recipe.recipe import Recipe
from factory.recipe.training import UNEVEN
from factory.recipe.typed import RecipeError, choose, require
from schemas.sequences import Variant


def check(recipe: Recipe) -> None:
    """Raise RecipeError where the values of two sections do not fit."""
    _check_languages(recipe)
    _check_directions(recipe)
    _check_hearing(recipe)
    _check_tasks(recipe)
    _check_translator(recipe)
    _check_scores(recipe)
    _check_recognizer(recipe)
    _check_sft(recipe)
    _check_preference(recipe)


def _check_languages(recipe: Recipe) -> None:
    langs = recipe.languages
    for lang in langs:
        require(re.fullmatch("[a-z]{2,3}", lang), "languages must hold ISO 639 codes such as fr or deu", repr(lang))
        is_task = f"languages must not hold {lang}: the token <|{lang}|> is that of a task; use another code of it"
        require(lang not in list(Variant), is_task, list(langs))
    require(len(langs) == len(set(langs)) >= 2, "languages must hold two or more different codes", list(langs))
    for lang in recipe.vocoder:
        choose(lang, langs, "a language of vocoder")
    for lang in recipe.evaluate.cascade or {}:
        choose(lang, langs, "a language of evaluate.cascade")


def _check_directions(recipe: Recipe) -> None:
    used = recipe.used_directions
    for name in recipe.directions or ():
        choose(name, Directions.choose(recipe.languages, None), "a direction of directions")
    twice = [name for name in used if (recipe.directions or used).count(name) > 1]
    require(not twice and used, "directions must name each direction once, and at least one", recipe.directions)
    unused = [lang for lang in recipe.languages if lang not in (*used.sources, *used.targets)]
    require(not unused, f"directions must use every one of languages; none has {', '.join(unused)}", list(used))
    for direction in used if recipe.writes_speech else ():
        _check_vocoder(direction, direction.target, recipe)
        if recipe.speaks_back_translations or not recipe.writes_text:
            _check_vocoder(direction, direction.source, recipe)


def _check_vocoder(direction: Direction, lang: str, recipe: Recipe) -> None:
    """Raise RecipeError if a direction needs speech in a language without a vocoder."""
    if lang not in recipe.vocoder:
        what = "its translations" if lang == direction.target else "its back-translations"
        raise RecipeError(
            f"the direction {direction} has no vocoder that speaks {what}: give vocoder.{lang} (a folder or a name on "
            f"the Hugging Face Hub), or leave {direction} out of directions"
        )


def _check_hearing(recipe: Recipe) -> None:
    """Raise RecipeError where a policy that reads speech would need units."""
    if not recipe.hears_speech:
        return
    key, corpus = f"policy.kind: {recipe.policy.kind}", recipe.corpus
    require(recipe.policy.variant is Variant.S2T, f"{key} writes text: set policy.variant: s2t", recipe.policy.variant)
    text = f"{key} needs translator.back_translate: text, because there are no units to translate back"
    require(recipe.translator.back_translate == "text", text, recipe.translator.back_translate)
    require(corpus.source == "mono", f"{key} makes pairs from corpus.mono: set corpus.source: mono", corpus.source)
    written = recipe.scorer.score_text
    require(written == "policy", f"{key} has no speech to transcribe: set scorer.score_text: policy", written)
    delta = f"{key} needs a number as select.delta, because the audit that chooses one reads units"
    require(recipe.select.delta != "auto", delta, recipe.select.delta)
    preference = recipe.preference
    require(preference.loss.needs_reference_model, f"{key} is trained with preference.loss: dpo", preference.loss)
    no_units = f"{key} has no units to keep as they are: set preference.unit_kl: 0"
    require(not preference.unit_kl, no_units, preference.unit_kl)
    require(not recipe.evaluate.cascade, f"{key} has no cascade baseline: leave out evaluate.cascade", "one")
    measures = recipe.evaluate.speech_measures
    require(not measures, f"{key} has no speech to measure: leave out evaluate.speech_measures", list(measures))
    if recipe.chats:
        _check_audio_llm(recipe)
    else:
        _check_continuous(recipe)


def _check_continuous(recipe: Recipe) -> None:
    """Raise RecipeError if no speech language model can be made, or a stage learns what is not there."""
    key = "policy.kind: continuous"
    for task in recipe.policy.tasks:
        choose(task, TASKS, f"a task of policy.tasks with {key}")
    for stage in recipe.part.stages:
        for task in stage.tasks:
            known = f"part.stages, stage {stage.name}: tasks must name tasks of policy.tasks"
            require(task in recipe.policy.tasks, known, task)
    has_policy = f"{key} needs policy.start, or policy.base (a language model) and part.stages"
    require(recipe.policy.start or (recipe.policy.base and recipe.part.stages), has_policy, recipe.policy.base)


def _check_audio_llm(recipe: Recipe) -> None:
    """Raise RecipeError where an audio LLM cannot be asked."""
    key = "policy.kind: audio_llm"
    named = f"{key} needs policy.start, the name or folder of an audio LLM such as Qwen/Qwen2-Audio-7B-Instruct"
    require(recipe.policy.start, named, recipe.policy.start)
    for lang in recipe.languages:
        asked = (
            f"{key} has no instruction for {lang}, because it has no English name for this code: use one that Whisper"
        )
        require(has_name(lang), f"{asked} knows (de, and not deu), or leave the language out", lang)
    for name in recipe.scorer.metrics:
        scores = f"{key} scores no candidates itself: leave {name} out of scorer.metrics"
        require(not METRICS[name].by_policy, scores, name)


def _check_tasks(recipe: Recipe) -> None:
    text = recipe.corpus.text
    require(text or not recipe.policy.tasks.get("mt"), "policy.tasks has mt, which needs corpus.text", text)


def _check_translator(recipe: Recipe) -> None:
    translator, variant, key = recipe.translator, recipe.policy.variant, "translator.back_translate"
    if translator.unit_temperature is not None:
        both = "translator.unit_temperature needs a policy.variant with text and units"
        require(variant.has_text and variant.has_units, both, variant)
    if translator.back_translate == "speech":
        require(variant.has_units, f"{key}: speech needs a policy.variant with units", variant)
        return
    require(variant.has_text, f"{key}: text needs a policy.variant with text", variant)
    tasks = recipe.policy.tasks
    known = tasks.get("mt") or recipe.chats
    require(known, f"{key}: text needs the task mt, so policy.tasks with mt", tasks)
    metrics = recipe.scorer.metrics
    require(not recipe.speaks_back_translations, f"{key}: text has no speech, so scorer.metrics without mcd", metrics)


def _check_scores(recipe: Recipe) -> None:
    metric, metrics = recipe.select.metric, recipe.scorer.metrics
    known = f"select.metric must be one of scorer.metrics ({', '.join(metrics)})"
    require(metric in metrics or is_judge(metric), known, metric)
    number = "select.metric: judge:NAME needs a number as select.delta, because no judge has scored corpus.dev"
    require(not is_judge(metric) or recipe.select.delta != "auto", number, recipe.select.delta)
    by_policy = f"select.metric: {metric} needs a policy that writes text (a policy.variant with text, or text_variant)"
    require(not METRICS[metric].by_policy or recipe.writes_text, by_policy, recipe.policy.variant)
    has_text = recipe.writes_text or recipe.scorer.score_text == "asr" or metric == "mcd"
    needs = "a policy.variant without text needs scorer.score_text: asr (or policy.text_variant, or select.metric: mcd)"
    require(has_text, needs, recipe.scorer.score_text)


def _check_recognizer(recipe: Recipe) -> None:
    pools = {"recognizer": recipe.resources.recognizer}
    if recipe.scorer.score_text == "asr":
        pools["scorer"] = recipe.resources.scorer
    for name, pool in pools.items():
        key = f"resources.{name}.num_gpus"
        why = " (scorer.score_text: asr transcribes there)" if name == "scorer" else ""
        needs = f"recognizer.compute_type: float16 runs on GPUs only: give {key} a share of one{why}, or use int8"
        require(recipe.recognizer.compute_type != "float16" or pool.num_gpus > 0, needs, pool.num_gpus)


def _check_sft(recipe: Recipe) -> None:
    sft, pool = recipe.sft, recipe.resources.trainer
    for task in sft.weights:
        known = f"sft.weights must name tasks of policy.tasks, one of {', '.join(recipe.policy.tasks)}"
        require(task in recipe.policy.tasks, known, task)
    enough = (
        "sft.batches must be resources.trainer.max_actors or more, so that a step is the same for any number of workers"
    )
    most = pool.max_actors
    require(most is None or (sft.batches or 0) >= most, enough, f"{sft.batches} and {most}")
    sizes = range(pool.actors, (most or pool.actors) + 1)
    even = not sft.sharded or all((sft.batches or size) % size == 0 for size in sizes)
    require(even, UNEVEN, f"{sft.batches} and {' or '.join(map(str, sizes))}")


def _check_preference(recipe: Recipe) -> None:
    preference, variant, workers = recipe.preference, recipe.policy.variant, recipe.resources.trainer.actors
    speech_only = f"preference.unit_weight must be above 0 for policy.variant {variant}, which writes speech only"
    require(variant.has_text or preference.unit_weight > 0, speech_only, preference.unit_weight)
    equal = (
        "preference.batch must be a multiple of resources.trainer.actors, so that workers have equal shares of a step"
    )
    require(preference.batch % workers == 0, equal, f"{preference.batch} and {workers}")
