"""The section of a training in stages: each limit, from both sides."""

from __future__ import annotations

from typing import Any

import pytest

from factory.recipe.part import PartConfig, StageConfig, StageTraining
from factory.recipe.typed import RecipeError

STAGE: dict[str, Any] = {"name": "a", "train": ("adapter.*",)}
WHERE = "part.stages, stage a"


@pytest.mark.parametrize(
    "change",
    [
        {"lr": 1e-9, "epochs": 1, "steps": 1, "lora": 1},
        {"train": (), "lora": 8},
        {"tasks": {"asr": 0.0, "s2t": 0.5, "mt": 1.0}},
    ],
)
def test_a_stage_at_a_limit_is_valid(change: dict[str, Any]) -> None:
    StageConfig(**STAGE | change)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"name": ""}, "part.stages: a stage needs a name without a slash; got "),
        ({"name": "a/b"}, "part.stages: a stage needs a name without a slash; got a/b"),
        ({"train": ()}, f"{WHERE}: train must hold a pattern, or lora a rank; got neither"),
        ({"tasks": {"tts": 1.0}}, f"{WHERE}: a task is 'tts', which is unknown"),
        ({"tasks": {"asr": 1.0, "mt": -0.5}}, f"{WHERE}: the weight of mt must not be negative; got -0.5"),
        ({"tasks": {"asr": 0.0}}, f"{WHERE}: tasks must hold a task with a weight above 0; got {{'asr': 0.0}}"),
        ({"tasks": {}}, f"{WHERE}: tasks must hold a task with a weight above 0; got {{}}"),
        ({"lr": 0.0}, f"{WHERE}: lr must be above 0; got 0.0"),
        ({"epochs": 0}, f"{WHERE}: epochs must be 1 or more; got 0"),
        ({"steps": 0}, f"{WHERE}: steps must be 1 or more, or null; got 0"),
        ({"lora": 0}, f"{WHERE}: lora must be a rank of 1 or more, or null; got 0"),
    ],
)
def test_a_stage_beyond_a_limit_is_refused(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(RecipeError) as error:
        StageConfig(**STAGE | change)
    assert str(error.value).startswith(sentence)


@pytest.mark.parametrize("name", ["layers", "stride", "tokens", "save_every", "log_every"])
def test_counts_of_the_section_are_one_or_more(name: str) -> None:
    PartConfig(**{name: 1})
    with pytest.raises(RecipeError) as error:
        PartConfig(**{name: 0})
    assert str(error.value).startswith(f"part.{name} must be 1 or more; got 0")


def test_stages_have_different_names() -> None:
    one, other = StageConfig(**STAGE), StageConfig(name="b", train=("llm.*",))
    assert PartConfig(stages=(one, other)).stages == (one, other)
    with pytest.raises(RecipeError) as error:
        PartConfig(stages=(one, other, one))
    assert str(error.value).startswith("part.stages must have different names; got a, b, a")


def test_a_stage_depends_on_its_own_settings_and_on_those_of_the_section() -> None:
    stage = StageConfig(**STAGE)
    part = PartConfig(stages=(stage,), tokens=7, warmup=0.5, weight_decay=0.25, save_every=3, log_every=2, threads=5)
    training = StageTraining.of(part, stage)
    assert training.stage is stage and training.precision == "auto"
    assert (training.tokens, training.warmup, training.weight_decay) == (7, 0.5, 0.25)
    assert (training.save_every, training.log_every, training.threads) == (3, 2, 5)
