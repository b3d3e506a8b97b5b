"""Loading a recipe: files, the file that they extend, overrides."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from benchmarks.reproduce_grid import Sizes, make_command, make_grid
from factory.recipe.loading import from_values, load
from factory.recipe.paths import ROOT, resolve_paths
from factory.recipe.recipe import Recipe
from factory.recipe.typed import RecipeError


def test_defaults_make_a_complete_recipe() -> None:
    assert load() == resolve_paths(Recipe()) == from_values({})


def test_a_file_is_read_and_overrides_win(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "name: mine\ntranslator: {n: 4, temperature: 1}\nscorer: {metrics: [bleu, wer]}\nsft: {lr: 1e-4}\nselect:\n"
    )
    changes = ["translator.n=3", "translator.n=5", "select.filters.max_repetition=0.2", "preference.beta=2e-1"]
    recipe = load(path, changes)
    assert (recipe.name, recipe.translator.n, recipe.translator.temperature) == ("mine", 5, 1.0)
    assert isinstance(recipe.translator.temperature, float)
    assert recipe.scorer.metrics == ("bleu", "wer")
    assert (recipe.sft.lr, recipe.sft.epochs) == (1e-4, Recipe().sft.epochs)
    assert (recipe.preference.beta, recipe.select.filters.max_repetition) == (0.2, 0.2)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("select.detla=1", "select.detla is not a key of select: did you mean delta?"),
        ("selct.delta=1", "selct is not a key of a recipe: did you mean select"),
        ("select.filters.max_repet=1", "select.filters.max_repet is not a key of select.filters: did you mean"),
        ("select.guards={}", "select.guards is called select.filters since 0.2.0: rename the key"),
        ("select.policy=pareto", "select.policy is called select.rule since 0.2.0: rename the key"),
        ("translator.way_back=text", "translator.way_back is called translator.back_translate since 0.2.0"),
        ("translator.back_temperature=1", "translator.back_temperature is called translator.back_translation_temp"),
        ("preference.piece=4", "preference.piece is called preference.micro_batch since 0.2.0: rename the key"),
        ("preference.loss=ipo", "preference.loss is 'ipo', which is unknown"),
        ("resources.dtype=float16", "resources.dtype is 'float16', which is unknown: did you mean bfloat16"),
        ("policy.tasks={com: 1.0, mt: 1.0}", "policy.tasks has mt, which needs corpus.text; got None"),
        ("name.x=1", "name must be a text"),
    ],
)
def test_a_mistake_is_one_sentence(change: str, sentence: str) -> None:
    with pytest.raises(RecipeError) as error:
        load(None, [change])
    assert str(error.value).startswith(sentence)


def test_every_recipe_that_ships_and_every_cell_of_the_tables_is_valid() -> None:
    paths = list((ROOT / "recipes").glob("*.yaml"))
    assert len(paths) >= 7
    for path in paths:
        load(path)
    cells = list(make_grid(Sizes()))
    assert cells
    for cell in cells:
        words = make_command(cell, Sizes(), Path("runs"), [], 100)
        load(words[words.index("--recipe") + 1], [word for before, word in pairwise(words) if before == "--set"])


def test_a_recipe_extends_another(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(
        "name: base\nvocoder: {fr: a, en: b}\npolicy: {tasks: {com: 1.0, asr: 0.5}, layers: 3}\n"
        "sft: {weights: {com: 2.0}}\n"
    )
    (tmp_path / "mine.yaml").write_text(
        "extends: base.yaml\nname: mine\ndirections: [en-fr]\nvocoder: {fr: c}\nscorer: {metrics: [bleu]}\n"
        "policy: {tasks: {com: 0.5}}\nsft: {weights: {}, lr: 0.1}\n"
    )
    recipe = load(tmp_path / "mine.yaml")
    assert (recipe.name, recipe.policy.layers, recipe.sft.lr) == ("mine", 3, 0.1)
    assert recipe.vocoder == {"fr": "c"} and recipe.policy.tasks == {"com": 0.5} and recipe.sft.weights == {}


def test_a_recipe_cannot_extend_itself(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("extends: b.yaml")
    (tmp_path / "b.yaml").write_text("extends: a.yaml")
    with pytest.raises(RecipeError, match=r"b\.yaml extends a\.yaml, which extends .*b\.yaml again: remove one"):
        load(tmp_path / "a.yaml")
    (tmp_path / "c.yaml").write_text("extends: [a]")
    with pytest.raises(RecipeError, match=r"extends in .*c\.yaml must name a recipe in the same folder; got \['a'\]"):
        load(tmp_path / "c.yaml")


def test_a_missing_file_names_the_recipes_in_its_folder(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"the recipe .*here\.yaml does not exist; recipes in that folder: none"):
        load(tmp_path / "here.yaml")
    for name in ("there.yaml", "other.yaml", ".hidden.yaml"):
        (tmp_path / name).touch()
    with pytest.raises(RecipeError, match=f"recipes in that folder: {tmp_path}/other.yaml, {tmp_path}/there.yaml$"):
        load(tmp_path / "here.yaml")
    assert load(tmp_path / "there.yaml") == load()


def test_a_recipe_is_found_in_the_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load("recipes/phrasebook_vanilla.yaml").name == "phrasebook_vanilla"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a: [", r"a\.yaml is not YAML"),
        ("- 1", r"a\.yaml must hold sections of keys; got \[1\]"),
        ("seed: 1\nseed: 2", "seed occurs more than once"),
        ("select: {guards: {}}", "select.guards is called select.filters since 0.2.0"),
    ],
)
def test_a_file_that_is_not_a_recipe(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(RecipeError, match=sentence):
        load(tmp_path / "a.yaml")
