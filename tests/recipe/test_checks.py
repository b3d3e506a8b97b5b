"""Checks between sections: values that are valid alone and do not fit."""

from __future__ import annotations

import re

import pytest

from factory.recipe.loading import load
from factory.recipe.training import UNEVEN
from factory.recipe.typed import RecipeError

VANILLA = ["policy={variant: vanilla, tasks: {vanilla: 1.0}}", "scorer.score_text=asr"]
PAPER = "recipes/prost_llm_3b.yaml"
ENOUGH = (
    "sft.batches must be resources.trainer.max_actors or more, so that a step is the same for any number of workers"
)
TEXT = ["corpus.text=any.parquet", "translator.back_translate=text", "scorer.metrics=[bleu]"]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (["languages=[fr, english]"], "languages must hold ISO 639 codes such as fr or deu; got 'english'"),
        (["languages=[fr, e]"], "languages must hold ISO 639 codes such as fr or deu; got 'e'"),
        (["languages=[fr, fr]"], "languages must hold two or more different codes; got ['fr', 'fr']"),
        (["languages=[fr]"], "languages must hold two or more different codes; got ['fr']"),
        (["languages=[fr, en, fr]"], "languages must hold two or more different codes; got ['fr', 'en', 'fr']"),
        (
            ["languages=[fr, mt]"],
            "languages must not hold mt: the token <|mt|> is that of a task; use another code of it; got ['fr', 'mt']",
        ),
        (
            ["languages=[fr, en, de]"],
            "the direction fr-de has no vocoder that speaks its translations: give vocoder.de",
        ),
        (["directions=[fr-de]"], "a direction of directions is 'fr-de', which is unknown: did you mean fr-en?"),
        (
            ["directions=[fr-en, fr-en]"],
            "directions must name each direction once, and at least one; got ('fr-en', 'fr",
        ),
        (["directions=[]"], "directions must name each direction once, and at least one; got ()"),
        (
            ["languages=[fr, en, de]", "directions=[fr-en]"],
            "directions must use every one of languages; none has de; got ['fr-en']",
        ),
        (
            ["languages=[fr, en, de, es]", "directions=[fr-en]"],
            "directions must use every one of languages; none has de, es; got ['fr-en']",
        ),
        (
            ["languages=[fr, en, de]", "directions=[fr-en, de-en]"],
            "the direction de-en has no vocoder that speaks its back-translations: give vocoder.de",
        ),
        (["vocoder.de=x"], "a language of vocoder is 'de', which is unknown: expected one of fr, en"),
        (["evaluate.cascade={de: x}"], "a language of evaluate.cascade is 'de', which is unknown"),
        (["policy.tasks={com: 1.0, mt: 1.0}"], "policy.tasks has mt, which needs corpus.text; got None"),
        (
            [*VANILLA, "translator.unit_temperature=1"],
            "translator.unit_temperature needs a policy.variant with text and units; got vanilla",
        ),
        (
            ["policy={variant: s2t, tasks: {s2t: 1.0}}"],
            "translator.back_translate: speech needs a policy.variant with units; got s2t",
        ),
        ([*VANILLA, *TEXT], "translator.back_translate: text needs a policy.variant with text; got vanilla"),
        (TEXT, "translator.back_translate: text needs the task mt, so policy.tasks with mt; got {"),
        (
            [*TEXT, "policy.tasks={com: 1.0, mt: 1.0}", "scorer.metrics=[bleu, mcd]"],
            "translator.back_translate: text has no speech, so scorer.metrics without mcd; got ('bleu', 'mcd')",
        ),
        (
            [*TEXT, "policy.tasks={com: 1.0, mt: 1.0}", "scorer.score_text=asr"],
            "translator.back_translate: text has no speech, so scorer.metrics without mcd; got ('bleu',)",
        ),
        (["scorer.metrics=[wer]"], "select.metric must be one of scorer.metrics (wer); got bleu"),
        (
            VANILLA[:1],
            "a policy.variant without text needs scorer.score_text: asr (or policy.text_variant, or select.metric: "
            "mcd); got policy",
        ),
        (
            ["select.metric=meteor", "scorer.metrics=[wer, chrf]"],
            "select.metric must be one of scorer.metrics (wer, chrf); got meteor",
        ),
        (
            [*VANILLA, "scorer.metrics=[reconstruction]", "select.metric=reconstruction"],
            "select.metric: reconstruction needs a policy that writes text (a policy.variant with text, or "
            "text_variant); got vanilla",
        ),
        (["sft.weights={mt: 1.0}"], "sft.weights must name tasks of policy.tasks, one of com, asr; got mt"),
        (["resources.trainer.max_actors=1"], f"{ENOUGH}; got None and 1"),
        (
            ["resources.trainer.max_actors=3", "sft.batches=2"],
            f"{ENOUGH}; got 2 and 3",
        ),
        (
            ["sft={sharded: true, batches: 8}", "preference.batch=24", "resources.trainer.actors=3"],
            f"{UNEVEN}; got 8 and 3",
        ),
        (
            ["sft={sharded: true, batches: 8}", "resources.trainer={actors: 2, max_actors: 3}"],
            f"{UNEVEN}; got 8 and 2 or 3",
        ),
        (
            ["resources.trainer.actors=3", "preference.batch=8"],
            "preference.batch must be a multiple of resources.trainer.actors, so that workers have equal shares of a "
            "step; got 8 and 3",
        ),
        (
            [*VANILLA, "preference.unit_weight=0"],
            "preference.unit_weight must be above 0 for policy.variant vanilla, which writes speech only; got 0.0",
        ),
    ],
)
def test_sections_that_do_not_fit_are_refused(changes: list[str], sentence: str) -> None:
    with pytest.raises(RecipeError, match=f"^{re.escape(sentence)}"):
        load(None, changes)


@pytest.mark.parametrize(
    "changes",
    [
        ["languages=[deu, en]", "vocoder={deu: x, en: y}"],
        [*VANILLA],
        ["policy={variant: vanilla, tasks: {vanilla: 1.0}}", "select.metric=mcd"],
        [*TEXT, "policy.tasks={com: 1.0, mt: 1.0}"],
        [*TEXT, "policy.tasks={com: 1.0, mt: 1.0}", "scorer.metrics=[reconstruction]", "select.metric=reconstruction"],
        ["scorer={metrics: [reconstruction], score_text: asr}", "select.metric=reconstruction"],
        ["translator.unit_temperature=0.5"],
        ["resources.trainer.max_actors=2", "sft.batches=2"],
        ["sft={sharded: true, batches: 8}", "preference.batch=24", "resources.trainer.actors=4"],
        ["sft={sharded: true, batches: 6}", "resources.trainer={actors: 2, max_actors: 3}"],
        ["sft.sharded=true", "resources.trainer.actors=4"],
        ["preference.unit_weight=0"],
        ["evaluate.cascade={fr: x}"],
    ],
)
def test_sections_that_fit_are_valid(changes: list[str]) -> None:
    load(None, changes)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            ["scorer.score_text=asr"],
            "give resources.scorer.num_gpus a share of one (scorer.score_text: asr transcribes there), or use int8; "
            "got 0",
        ),
        (["resources.recognizer.num_gpus=0"], "give resources.recognizer.num_gpus a share of one, or use int8; got 0"),
    ],
)
def test_a_recognizer_in_half_precision_needs_a_gpu(changes: list[str], sentence: str) -> None:
    with pytest.raises(RecipeError) as error:
        load(PAPER, changes)
    assert str(error.value).startswith(f"recognizer.compute_type: float16 runs on GPUs only: {sentence}")
    load(PAPER, [*changes, "recognizer.compute_type=int8"])
    load(PAPER, ["scorer.score_text=asr", "resources.scorer.num_gpus=0.1"])


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("policy.variant=com", "policy.kind: continuous writes text: set policy.variant: s2t; got com"),
        ("translator.back_translate=speech", "policy.kind: continuous needs translator.back_translate: text"),
        ("policy.tasks={s2t: 1, mt: 1, com: 1}", "a task of policy.tasks with policy.kind: continuous is 'com'"),
        ("policy.tasks={s2t: 1, mt: 1}", "part.stages, stage adapter: tasks must name tasks of policy.tasks; got asr"),
        ("corpus.source=both", "policy.kind: continuous makes pairs from corpus.mono: set corpus.source: mono"),
        ("scorer.score_text=asr", "policy.kind: continuous has no speech to transcribe"),
        ("select.delta=auto", "policy.kind: continuous needs a number as select.delta"),
        ("policy.base=null", "policy.kind: continuous needs policy.start, or policy.base (a language model)"),
        ("part.stages=[]", "policy.kind: continuous needs policy.start, or policy.base (a language model) and part.st"),
        ("preference={loss: simpo, unit_weight: 1.0}", "policy.kind: continuous is trained with preference.loss: dpo"),
        ("preference.unit_kl=1", "policy.kind: continuous has no units to keep as they are"),
        ("evaluate.cascade={fr: x}", "policy.kind: continuous has no cascade baseline"),
        ("evaluate.speech_measures=[dnsmos]", "policy.kind: continuous has no speech to measure"),
    ],
)
def test_a_policy_of_continuous_speech_has_no_units(change: str, sentence: str) -> None:
    tasks = ["policy.tasks={s2t: 1, mt: 1, com: 1}"] if change.endswith("=com") else []
    with pytest.raises(RecipeError, match=re.escape(sentence)):
        load("recipes/phrasebook_part.yaml", [*tasks, change])


def test_a_policy_of_continuous_speech_needs_no_vocoder() -> None:
    recipe = load("recipes/part_2b.yaml")
    assert recipe.hears_speech and not recipe.writes_speech and recipe.vocoder == {}
    assert recipe.inputs("evaluate") == ["units", "policy"]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("policy.variant=com", "policy.kind: audio_llm writes text: set policy.variant: s2t; got com"),
        ("translator.back_translate=speech", "policy.kind: audio_llm needs translator.back_translate: text"),
        ("corpus.source=both", "policy.kind: audio_llm makes pairs from corpus.mono: set corpus.source: mono"),
        ("policy.start=null", "policy.kind: audio_llm needs policy.start, the name or folder of an audio LLM such as"),
        (
            "languages=[fr, en, deu]",
            "policy.kind: audio_llm has no instruction for deu, because it has no English name",
        ),
        ("scorer.metrics=[bleu, reconstruction]", "policy.kind: audio_llm scores no candidates itself: leave recon"),
        ("preference.loss=simpo", "policy.kind: audio_llm is trained with preference.loss: dpo; got simpo"),
    ],
)
def test_an_audio_llm_is_asked_for_texts(change: str, sentence: str) -> None:
    more = ["directions=null"] if "deu" in change else []
    with pytest.raises(RecipeError, match=re.escape(sentence)):
        load("recipes/audio_llm.yaml", [*more, change])


def test_the_instruction_counts_in_fingerprints_of_an_audio_llm_alone() -> None:
    contents = {
        name: load(f"recipes/{name}.yaml").content("evaluate", dict.fromkeys(["units", "policy"], "1"))
        for name in ("audio_llm", "part_2b")
    }
    assert "Answer with the translation only." in contents["audio_llm"]["instructions"][0]
    assert "instructions" not in contents["part_2b"]
