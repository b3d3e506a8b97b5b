"""A policy or a folder that a round cannot use is refused before the round begins."""

from __future__ import annotations

from pathlib import Path

import pytest

from factory.planning.ready import check_policy, check_vocoders
from factory.recipe.loading import load
from schemas.errors import RoundtripError
from tests.toys import tiny_policy

RECIPE = "recipes/phrasebook.yaml"


def test_the_shipped_policy_is_ready() -> None:
    recipe = load(RECIPE)
    assert recipe.policy.start
    check_policy(recipe.policy.start, recipe)
    check_policy(recipe.policy.start, load(RECIPE, ["preference.targets=[q_proj, down_proj]"]))


def test_a_policy_of_another_codebook_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        RoundtripError,
        match=r"no token <\|u100\|>, <\|u101\|>, <\|u102\|> and 97 more: its vocabulary was made for another",
    ):
        check_policy(str(tiny_policy(tmp_path, num_units=100)), load(RECIPE))


def test_a_policy_of_other_languages_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RoundtripError, match=r"has no token <\|fr\|>"):
        check_policy(str(tiny_policy(tmp_path, num_units=200, langs=("de", "en"))), load(RECIPE))


def test_lora_targets_that_do_not_exist_are_named() -> None:
    recipe = load(RECIPE, ["preference.targets=[q_proj, c_attn]"])
    with pytest.raises(RoundtripError, match=r"names c_attn, which .* does not have; its linear layers are down_proj"):
        check_policy(str(recipe.policy.start), recipe)


def test_a_folder_without_a_tokenizer_is_no_policy(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(RoundtripError, match=r"has no tokenizer\.json"):
        check_policy(str(tmp_path), load(RECIPE))


def test_a_vocoder_takes_the_units_of_the_encoder(tmp_path: Path) -> None:
    recipe = load(RECIPE)
    check_vocoders(recipe)
    with pytest.raises(RoundtripError, match=r"vocoder\.fr .* predicts durations, and encoder\.deduplicate is false"):
        check_vocoders(load(RECIPE, ["encoder.deduplicate=false"]))
    (tmp_path / "config.json").write_text("{}")
    per_frame = [f"vocoder={{fr: {tmp_path}, en: {tmp_path}}}"]
    check_vocoders(load(RECIPE, [*per_frame, "encoder.deduplicate=false"]))
    with pytest.raises(RoundtripError, match=r"takes one unit per frame, and encoder\.deduplicate is true"):
        check_vocoders(load(RECIPE, per_frame))
    (tmp_path / "config.json").unlink()
    check_vocoders(load(RECIPE, per_frame))  # the actor that loads it says what is missing
