"""The directions of a recipe: which language is translated into which, and which utterances have which direction."""

from __future__ import annotations

import json
import pickle

import pytest

from factory.recipe.directions import Direction, Directions
from factory.recipe.loading import load
from factory.recipe.recipe import STAGES, Recipe

RECIPE = "recipes/phrasebook.yaml"
THREE = ["languages=[fr, en, de]", "vocoder.de=any"]
MANY_TO_ONE = [*THREE, "directions=[de-en, fr-en]"]


def content(recipe: Recipe, stage: str) -> dict[str, object]:
    return recipe.content(stage, dict.fromkeys(recipe.inputs(stage), "digest"))


def test_a_direction_is_its_name() -> None:
    direction = Direction.between("fr", "deu")
    assert (direction, direction.source, direction.target, direction.reverse) == ("fr-deu", "fr", "deu", "deu-fr")
    assert Direction.of_row({"src_lang": "fr", "tgt_lang": "deu", "utt_id": "a"}) == direction
    assert json.loads(json.dumps({direction: direction})) == {"fr-deu": "fr-deu"}


def test_all_directions_are_the_default_in_the_order_of_the_languages() -> None:
    assert load(RECIPE).used_directions == load(RECIPE).taught_directions == ("fr-en", "en-fr")
    assert load(RECIPE, THREE).used_directions == ("fr-en", "fr-de", "en-fr", "en-de", "de-fr", "de-en")


def test_the_opposite_of_every_direction_is_learned_for_back_translations() -> None:
    recipe = load(RECIPE, MANY_TO_ONE)
    assert recipe.used_directions == ("fr-en", "de-en")
    assert recipe.taught_directions == ("fr-en", "en-fr", "en-de", "de-en")
    used = recipe.used_directions
    assert (used.sources, used.targets, used.branches, recipe.more_id_columns) == (["fr", "de"], ["en"], False, ())
    assert used.from_language("fr") == ("fr-en",) and used.from_language("en") == ()
    assert load(RECIPE, THREE).more_id_columns == ("tgt_lang",) and load(RECIPE).more_id_columns == ()


@pytest.mark.parametrize(
    ("utt_id", "lang", "directions", "owners"),
    [
        ("a", "fr", ("fr-en", "fr-de"), ()),
        ("a/fr", "fr", ("fr-en", "fr-de"), ()),
        ("a/fr-de", "fr", ("fr-de",), ("fr-de",)),
        ("a/de-fr", "fr", ("fr-en", "fr-de"), ()),
        ("fr-de", "fr", ("fr-en", "fr-de"), ()),
        ("a/fr-de", "de", ("de-en",), ("de-en",)),
        ("a/fr", "en", (), ()),
    ],
)
def test_an_id_can_say_into_which_language_an_utterance_is_translated(
    utt_id: str, lang: str, directions: tuple[str, ...], owners: tuple[str, ...]
) -> None:
    used = Directions.choose(["fr", "en", "de"], ["fr-en", "fr-de", "de-en"])
    for one in (used, pickle.loads(pickle.dumps(used))):
        found = one.of_utterance(utt_id, lang)
        assert found == directions
        assert tuple(direction for direction in found if one.owns_reference(utt_id, direction)) == owners


def test_directions_are_in_the_fingerprint_only_if_they_are_not_all() -> None:
    assert all("directions" not in content(load(RECIPE, THREE), stage) for stage in STAGES)
    named = ["directions=[en-fr, fr-en]"]
    assert all(content(load(RECIPE, named), stage) == content(load(RECIPE), stage) for stage in STAGES)
    changed = {stage: content(load(RECIPE, MANY_TO_ONE), stage).get("directions") for stage in STAGES}
    named_in = ("spoken_sequences", "produce", "evaluate", "toplines")
    assert changed == dict.fromkeys(STAGES) | dict.fromkeys(named_in, ("fr-en", "de-en"))
    other_order = load(RECIPE, [*THREE, "directions=[fr-en, de-en]"])
    assert content(other_order, "produce") == content(load(RECIPE, MANY_TO_ONE), "produce")
