"""The sections of a recipe: each limit, from both sides."""

from __future__ import annotations

from typing import Any

import pytest

from factory.models.device import resolve_dtype
from factory.recipe.recipe import Recipe
from factory.recipe.resources import PoolConfig, ResourcesConfig
from factory.recipe.sections import (
    CorpusConfig,
    EvaluateConfig,
    FiltersConfig,
    PolicyConfig,
    ScorerConfig,
    SelectConfig,
    TranslatorConfig,
)
from factory.recipe.training import (
    SCHEDULES,
    InterleaveConfig,
    Loss,
    PreferenceConfig,
    SftConfig,
    SpanConfig,
    resolve_precision,
)
from factory.recipe.typed import RecipeError
from schemas.sequences import Variant


@pytest.mark.parametrize(
    ("section", "value"),
    [
        (CorpusConfig, {"limit": 1}),
        (TranslatorConfig, {"n": 1, "top_p": 1.0, "temperature": 0.0, "unit_temperature": 0.0}),
        (TranslatorConfig, {"back_translation_temperature": 0.0, "top_p": 1e-9}),
        (ScorerConfig, {"metrics": ("mcd", "bleu")}),
        (FiltersConfig, {"min_length_ratio": 0.0, "max_length_ratio": 0.01}),
        (FiltersConfig, {"max_repetition": 0.0, "max_copy": 1.0, "max_wrong_language": 1.0}),
        (FiltersConfig, {"max_repetition": 1.0, "max_copy": 0.0, "max_wrong_language": 0.0}),
        (SelectConfig, {"delta": 0.0, "quantile": 1.0, "pairs": 1}),
        (SelectConfig, {"delta": "auto", "quantile": 0.51}),
        (SelectConfig, {"metric": "judge:a"}),
        (SelectConfig, {"metric": "judge:comet-wmt22-cometkiwi-da-2.0--1"}),
        (EvaluateConfig, {"s2t_utterances": 1, "asr_utterances": 1, "resamples": 1}),
        (PolicyConfig, {"tasks": {"com": 1.0, "asr": 0.0}}),
        (PolicyConfig, {"variant": Variant.COT, "tasks": {"cot": 0.1}}),
        (
            PolicyConfig,
            {"variant": Variant.VANILLA, "text_variant": Variant.S2T, "tasks": {"vanilla": 0.1, "s2t": 1.0}},
        ),
        (ResourcesConfig, {"trainer": PoolConfig(num_gpus=1, actors=1, max_actors=1)}),
        (ResourcesConfig, {"encoder": PoolConfig(num_gpus=0.1, accelerator="L4")}),
        (SftConfig, {"epochs": 1, "tokens": 1, "save_every": 1, "log_every": 1, "rank": 1, "weights": {"com": 0.0}}),
        (SftConfig, {"sharded": True}),
        (InterleaveConfig, {"start": 1.0, "step": 0.0, "every": 1, "end": 1.0, "span": SpanConfig(poisson=1e-9)}),
        (InterleaveConfig, {"start": 0.0, "step": 1.0, "end": 0.0}),
        (PreferenceConfig, {"batch": 1, "rank": 1, "save_every": 1, "micro_batch": 1, "held_out": 0.0}),
        (PreferenceConfig, {"loss": Loss.SIMPO, "sft_weight": 0.0}),
        (PreferenceConfig, {"unit_weight": 0.0, "unit_kl": 0.1, "unit_kl_share": 1.0}),
        (PreferenceConfig, {"unit_kl_share": 1e-9, "patience": 1, "held_out": 1e-9}),
        (SpanConfig, {"poisson": 1e-9}),
    ],
)
def test_values_at_a_limit_are_valid(section: type, value: dict[str, Any]) -> None:
    section(**value)


PLAIN = "select.metric: judge:NAME must have a name that `roundtrip judge` prints, such as judge:chrf"


@pytest.mark.parametrize(
    ("section", "value", "sentence"),
    [
        (CorpusConfig, {"limit": 0}, "corpus.limit must be 1 or more, or null for all; got 0"),
        (TranslatorConfig, {"n": 0}, "translator.n must be 1 or more; got 0"),
        (TranslatorConfig, {"top_p": 0.0}, "translator.top_p must lie in (0, 1]; got 0.0"),
        (TranslatorConfig, {"top_p": 1.01}, "translator.top_p must lie in (0, 1]; got 1.01"),
        (TranslatorConfig, {"temperature": -1.0}, "translator.temperature must not be negative; got -1.0"),
        (TranslatorConfig, {"unit_temperature": -0.1}, "translator.unit_temperature must not be negative; got -0.1"),
        (
            TranslatorConfig,
            {"back_translation_temperature": -0.1},
            "translator.back_translation_temperature must not be negative; got -0.1",
        ),
        (
            ScorerConfig,
            {"metrics": ("bleu", "mteor")},
            "scorer.metrics is 'mteor', which is unknown: did you mean meteor?",
        ),
        (
            FiltersConfig,
            {"min_length_ratio": 1.0, "max_length_ratio": 1.0},
            "select.filters.min_length_ratio must be 0 or more and below max_length_ratio; got 1.0 and 1.0",
        ),
        (FiltersConfig, {"min_length_ratio": -0.1}, "select.filters.min_length_ratio must be 0 or more"),
        (FiltersConfig, {"max_repetition": 1.1}, "select.filters.max_repetition must lie in [0, 1]; got 1.1"),
        (FiltersConfig, {"max_copy": -0.1}, "select.filters.max_copy must lie in [0, 1]; got -0.1"),
        (FiltersConfig, {"max_wrong_language": 2.0}, "select.filters.max_wrong_language must lie in [0, 1]; got 2.0"),
        (SelectConfig, {"metric": "comet"}, "select.metric is 'comet', which is unknown"),
        (SelectConfig, {"metric": "judge:"}, "select.metric: judge:NAME must have a name"),
        (SelectConfig, {"metric": "judge:../x"}, f"{PLAIN}; got 'judge:../x'"),
        (SelectConfig, {"metric": "judge:chrf "}, f"{PLAIN}; got 'judge:chrf '"),
        (SelectConfig, {"metric": "judge:chrf."}, f"{PLAIN}; got 'judge:chrf.'"),
        (SelectConfig, {"delta": -0.1}, "select.delta must not be negative; got -0.1"),
        (SelectConfig, {"quantile": 0.5}, "select.quantile must lie in (0.5, 1]; got 0.5"),
        (SelectConfig, {"quantile": 1.1}, "select.quantile must lie in (0.5, 1]; got 1.1"),
        (SelectConfig, {"pairs": 0}, "select.pairs must be 1 or more, or null for all; got 0"),
        (EvaluateConfig, {"s2t_utterances": 0}, "evaluate.s2t_utterances must be 1 or more; got 0"),
        (EvaluateConfig, {"asr_utterances": 0}, "evaluate.asr_utterances must be 1 or more; got 0"),
        (EvaluateConfig, {"resamples": 0}, "evaluate.resamples must be 1 or more; got 0"),
        (PolicyConfig, {"tasks": {"com": 1.0, "cmo": 1.0}}, "a task of policy.tasks is 'cmo', which is unknown"),
        (PolicyConfig, {"tasks": {"com": 1.1}}, "policy.tasks.com must be a share from 0 to 1; got 1.1"),
        (PolicyConfig, {"tasks": {"com": -0.1}}, "policy.tasks.com must be a share from 0 to 1; got -0.1"),
        (
            PolicyConfig,
            {"tasks": {"com": 0.0}},
            "policy.tasks must have com, the policy.variant, with a share above 0: otherwise round 0 does not teach "
            "what the rounds use; got {'com': 0.0}",
        ),
        (PolicyConfig, {"variant": Variant.ASR}, "policy.variant must be a way to translate speech; got asr"),
        (
            PolicyConfig,
            {"text_variant": Variant.S2T},
            "policy.text_variant is for a policy.variant without text (vanilla); got com",
        ),
        (
            PolicyConfig,
            {"variant": Variant.VANILLA, "text_variant": Variant.COM, "tasks": {"vanilla": 1.0, "com": 1.0}},
            "policy.text_variant must be s2t; got com",
        ),
        (
            PolicyConfig,
            {"variant": Variant.VANILLA, "text_variant": Variant.S2T, "tasks": {"vanilla": 1.0}},
            "policy.tasks must have s2t, the policy.text_variant, with a share above 0",
        ),
        (ResourcesConfig, {"vocoder": PoolConfig(actors=0)}, "resources.vocoder.actors must be 1 or more; got 0"),
        (
            ResourcesConfig,
            {"encoder": PoolConfig(actors=3, max_actors=2)},
            "resources.encoder.max_actors must be resources.encoder.actors (3) or more, or null; got 2",
        ),
        (
            ResourcesConfig,
            {"scorer": PoolConfig(accelerator="L4")},
            "resources.scorer.accelerator is a type of GPU and needs resources.scorer.num_gpus; got 0.0",
        ),
        (
            ResourcesConfig,
            {"trainer": PoolConfig(num_gpus=2)},
            "resources.trainer.num_gpus must be 0 or 1, because a worker trains on one GPU: for more GPUs raise "
            "resources.trainer.actors; got 2",
        ),
        (SftConfig, {"epochs": 0}, "sft.epochs must be 1 or more; got 0"),
        (SftConfig, {"tokens": 0}, "sft.tokens must be 1 or more; got 0"),
        (SftConfig, {"save_every": 0}, "sft.save_every must be 1 or more; got 0"),
        (SftConfig, {"log_every": 0}, "sft.log_every must be 1 or more; got 0"),
        (SftConfig, {"lr": 0.0}, "sft.lr must be above 0; got 0.0"),
        (SftConfig, {"lr": float("nan")}, "sft.lr must be above 0; got nan"),
        (SftConfig, {"lr": float("inf")}, "sft.lr must be above 0; got inf"),
        (SftConfig, {"rank": 0}, "sft.rank must be 1 or more, or null to train all weights; got 0"),
        (SpanConfig, {"poisson": 0.0}, "sft.interleave.span.poisson must be above 0, in words; got 0.0"),
        (SpanConfig, {"poisson": -1.0}, "sft.interleave.span.poisson must be above 0, in words; got -1.0"),
        (SpanConfig, {"poisson": float("nan")}, "sft.interleave.span.poisson must be above 0, in words; got nan"),
        (SpanConfig, {"poisson": float("inf")}, "sft.interleave.span.poisson must be above 0, in words; got inf"),
        (InterleaveConfig, {"start": 1.1}, "sft.interleave.start must be a share from 0 to 1; got 1.1"),
        (InterleaveConfig, {"start": float("nan")}, "sft.interleave.start must be a share from 0 to 1; got nan"),
        (InterleaveConfig, {"step": -0.1}, "sft.interleave.step must be a share from 0 to 1; got -0.1"),
        (InterleaveConfig, {"end": -0.1}, "sft.interleave.end must be a share from 0 to 1; got -0.1"),
        (
            InterleaveConfig,
            {"start": 0.2, "end": 0.3},
            "sft.interleave.end must not be above start, because the share falls; got 0.3 and 0.2",
        ),
        (
            InterleaveConfig,
            {"every": 0},
            "sft.interleave.every must be 1 step or more; step: 0 keeps the share; got 0",
        ),
        (SftConfig, {"weights": {"com": -1.0}}, "sft.weights.com must not be negative; got -1.0"),
        (
            SftConfig,
            {"sharded": True, "rank": 4},
            "sft.sharded is for training all weights: leave out sft.rank (now 4), or sft.sharded; got both",
        ),
        (PreferenceConfig, {"batch": 0}, "preference.batch must be 1 or more; got 0"),
        (PreferenceConfig, {"rank": 0}, "preference.rank must be 1 or more; got 0"),
        (PreferenceConfig, {"save_every": 0}, "preference.save_every must be 1 or more; got 0"),
        (PreferenceConfig, {"lr": -1.0}, "preference.lr must be above 0; got -1.0"),
        (PreferenceConfig, {"schedule": "warmup_stable_decay"}, "preference.schedule is 'warmup_stable_decay', which"),
        (PreferenceConfig, {"epochs": 0.0}, "preference.epochs must be above 0; got 0.0"),
        (PreferenceConfig, {"beta": 0.0}, "preference.beta must be above 0; got 0.0"),
        (PreferenceConfig, {"unit_weight": -1.0}, "preference.unit_weight must not be negative; got -1.0"),
        (PreferenceConfig, {"unit_kl": -1.0}, "preference.unit_kl must not be negative; got -1.0"),
        (PreferenceConfig, {"sft_weight": -3.0}, "preference.sft_weight must not be negative; got -3.0"),
        (
            PreferenceConfig,
            {"loss": Loss.SIMPO, "unit_weight": 0.5},
            "preference.unit_weight needs loss: dpo; got simpo",
        ),
        (PreferenceConfig, {"loss": Loss.SIMPO, "unit_kl": 0.5}, "preference.unit_kl needs loss: dpo; got simpo"),
        (PreferenceConfig, {"micro_batch": 0}, "preference.micro_batch must be 1 or more, or null; got 0"),
        (PreferenceConfig, {"held_out": 1.0}, "preference.held_out must lie in [0, 1); got 1.0"),
        (PreferenceConfig, {"held_out": -0.1}, "preference.held_out must lie in [0, 1); got -0.1"),
        (
            PreferenceConfig,
            {"unit_kl_share": 0.0},
            "preference.unit_kl_share must lie in (0, 1]; unit_kl: 0 computes no speech; got 0.0",
        ),
        (PreferenceConfig, {"unit_kl_share": 1.5}, "preference.unit_kl_share must lie in (0, 1]; unit_kl: 0"),
        (
            PreferenceConfig,
            {"patience": -1},
            "preference.patience must be 0 or more; 0 trains all epochs; got -1",
        ),
        (
            PreferenceConfig,
            {"patience": 2, "held_out": 0.0},
            "preference.patience needs held-out pairs: set preference.held_out above 0, or patience: 0; got 2",
        ),
    ],
)
def test_a_value_beyond_a_limit_is_refused(section: type, value: dict[str, Any], sentence: str) -> None:
    with pytest.raises(RecipeError) as error:
        section(**value)
    assert str(error.value).startswith(sentence)


def test_a_pool_names_its_resources_as_ray_does() -> None:
    plain = PoolConfig(num_cpus=2, num_gpus=0.5, memory_gib=3)
    assert plain.needs == {"CPU": 2, "GPU": 0.5, "memory": 3 * 2**30}
    typed = PoolConfig(num_gpus=1, accelerator="H100")
    assert typed.needs == {"CPU": 1.0, "GPU": 1, "memory": 0.0, "accelerator_type:H100": 0.001}


def test_the_defaults_are_the_embedded_world() -> None:
    recipe = Recipe()
    assert recipe.languages == ("fr", "en") and recipe.policy.variant is Variant.COM
    assert recipe.vocoder == {"fr": "assets/phrasebook/vocoder-fr", "en": "assets/phrasebook/vocoder-en"}
    assert (recipe.translator.n, recipe.translator.temperature, recipe.translator.top_p) == (2, 1.0, 0.95)
    assert (recipe.translator.max_tokens, recipe.translator.back_translate) == (320, "speech")
    assert (recipe.select.metric, recipe.select.rule, recipe.select.delta) == ("bleu", "best_worst", 0.1)
    assert recipe.scorer.metrics == ("bleu", "chrf", "meteor", "wer", "mcd")
    assert (recipe.preference.loss, recipe.preference.beta, recipe.preference.rank) == (Loss.DPO, 0.1, 8)
    assert (recipe.resources.translator.batch_size, recipe.resources.recognizer.batch_size) == (256, 16)
    assert recipe.policy.tasks == {"com": 1.0, "asr": 0.5}


def test_a_loss_knows_what_it_needs() -> None:
    assert Loss.DPO.needs_reference_model and not Loss.SIMPO.needs_reference_model
    assert Loss.SIMPO.is_average_loss and not Loss.DPO.is_average_loss


def test_the_precision_of_a_training_is_settled_on_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve_precision(SftConfig(precision="fp32"), on_gpu=True).precision == "fp32"
    assert resolve_precision(PreferenceConfig(precision="bf16"), on_gpu=False).precision == "bf16"
    dtype = resolve_dtype("auto", on_gpu=False)
    expected = {"bfloat16": "bf16", "float32": "fp32"}
    assert resolve_precision(SftConfig(), on_gpu=False) == SftConfig(precision=expected[dtype])  # type: ignore[arg-type]
    formats = {("auto", True): "bfloat16", ("auto", False): "float32"}
    monkeypatch.setattr("factory.recipe.training.resolve_dtype", lambda dtype, *, on_gpu: formats[dtype, on_gpu])
    assert resolve_precision(SftConfig(epochs=3), on_gpu=True) == SftConfig(epochs=3, precision="bf16")
    assert resolve_precision(PreferenceConfig(), on_gpu=False) == PreferenceConfig(precision="fp32")


def test_the_schedules_are_those_of_transformers_that_need_no_numbers() -> None:
    import torch
    from transformers import get_scheduler
    from transformers.trainer_utils import SchedulerType

    for name in SCHEDULES:
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1e-3)
        get_scheduler(name, optimizer, num_warmup_steps=1, num_training_steps=9)
    assert {one.value for one in SchedulerType} > set(SCHEDULES)


def test_the_share_of_text_falls_with_the_steps_as_in_the_paper() -> None:
    """0.9, and 0.1 less every 300 steps, down to 0 at step 2,700 (arXiv 2506.10299)."""
    config = InterleaveConfig()
    for step in (0, 299, 300, 599, 600, 2_399, 2_400, 2_699):
        assert config.share(step) == (9 - step // 300) / 10
    assert {config.share(step) for step in (2_700, 2_701, 3_000, 10**9)} == {0.0}
    assert [InterleaveConfig(step=0.0, every=1).share(step) for step in (0, 1, 10**6)] == [0.9, 0.9, 0.9]
    low = InterleaveConfig(start=0.5, step=0.3, every=2, end=0.1)
    assert [low.share(step) for step in range(6)] == [0.5, 0.5, 0.2, 0.2, 0.1, 0.1]
