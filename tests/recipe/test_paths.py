"""Where the paths of a recipe lead, and which are missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from factory.recipe.loading import load
from factory.recipe.paths import ROOT, list_missing_files, local_paths, locate, path_exists, portable_paths
from factory.recipe.recipe import Recipe


def test_paths_count_from_here_or_from_the_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for unchanged in ("s3://bucket/x", "package:whisper-base", "openai/whisper-base", "nothing.txt"):
        assert locate(unchanged) == unchanged
    assert locate("pyproject.toml") == str(ROOT / "pyproject.toml")
    (tmp_path / "pyproject.toml").touch()
    assert locate("pyproject.toml") == "pyproject.toml"


def test_options_and_digests_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert locate("recipes?lang=fr") == f"{ROOT}/recipes?lang=fr"
    assert locate("recipes#sha256=ab?x") == f"{ROOT}/recipes#sha256=ab?x"
    (tmp_path / "here").mkdir()
    assert locate("here?lang=fr") == "here?lang=fr"
    (tmp_path / "odd?name").touch()
    (tmp_path / "home/odd").mkdir(parents=True)
    monkeypatch.setenv("ROUNDTRIP_HOME", f"{tmp_path}/home")
    assert locate("odd?name") == "odd?name" and path_exists("odd?name")


def test_roundtrip_home_is_a_list_of_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "two" / "voices").mkdir(parents=True)
    monkeypatch.setenv("ROUNDTRIP_HOME", f"{tmp_path}/one:{tmp_path}/two")
    assert locate("voices") == f"{tmp_path}/two/voices"
    assert path_exists("voices") and not path_exists("no-voices")


def test_load_resolves_every_path_and_a_kept_recipe_is_portable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    changes = ["policy.start=assets/phrasebook/policy", "policy.base=recipes", "corpus.text=docs"]
    changes += [
        "evaluate.cascade={fr: schemas}",
        "encoder.model=cluster",
        "recognizer.model=trainers",
        "aligner.model=tests",
    ]
    recipe = load(None, changes)
    assert recipe.corpus.mono == f"{ROOT}/assets/phrasebook/mono" and recipe.corpus.text == f"{ROOT}/docs"
    assert recipe.corpus.test == f"{ROOT}/assets/phrasebook/test"
    assert recipe.corpus.paired == f"{ROOT}/assets/phrasebook/paired.parquet"
    assert recipe.corpus.dev == f"{ROOT}/assets/phrasebook/dev.parquet"
    assert recipe.encoder.codebook == f"{ROOT}/assets/phrasebook/codebook.safetensors"
    assert (recipe.encoder.model, recipe.recognizer.model) == (f"{ROOT}/cluster", f"{ROOT}/trainers")
    assert recipe.aligner is not None and recipe.aligner.model == f"{ROOT}/tests"
    assert recipe.vocoder["fr"] == f"{ROOT}/assets/phrasebook/vocoder-fr"
    assert (recipe.policy.start, recipe.policy.base) == (f"{ROOT}/assets/phrasebook/policy", f"{ROOT}/recipes")
    assert recipe.evaluate.cascade == {"fr": f"{ROOT}/schemas"}
    portable = portable_paths(recipe)
    monkeypatch.chdir(ROOT)
    assert portable == load(None, changes)
    assert load(None, ["policy.start=null"]).policy.start is None


def test_paths_elsewhere_are_kept_as_they_are(tmp_path: Path) -> None:
    recipe = load(None, [f"corpus.mono={tmp_path}", "corpus.test=s3://bucket/test"])
    assert portable_paths(recipe).corpus.mono == str(tmp_path)
    assert portable_paths(recipe).corpus.test == "s3://bucket/test"


def test_missing_files_are_listed(tmp_path: Path) -> None:
    recipe = load(None, [f"corpus.mono={tmp_path}/nothing", "corpus.test=s3://bucket/test", f"corpus.dev={tmp_path}"])
    sentence = (
        f"corpus.mono is {tmp_path}/nothing, which does not exist: put it there, or name another path with --set "
    )
    assert list_missing_files(recipe) == [f"{sentence}corpus.mono=…"]
    assert list_missing_files(recipe, ["corpus.test", "corpus.dev"]) == []
    assert list_missing_files(recipe, ["corpus.mono"]) == [f"{sentence}corpus.mono=…"]


def test_one_sentence_says_how_to_get_the_shipped_assets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("factory.recipe.paths.ROOT", tmp_path)
    monkeypatch.chdir(tmp_path)
    sentences = list_missing_files(Recipe())
    assert sentences[0].startswith("corpus.mono is assets/phrasebook/mono, which does not exist")
    assert ["ROUNDTRIP_HOME" in sentence for sentence in sentences] == [False] * (len(sentences) - 1) + [True]
    assert len(list_missing_files(load(None, ["corpus.mono=data/none"]), ["corpus.mono"])) == 1
    (tmp_path / "assets").mkdir()
    assert list_missing_files(Recipe()) == sentences[:-1]


def test_every_path_of_a_recipe_has_its_key(tmp_path: Path) -> None:
    keys = [f"corpus.{name}" for name in ("mono", "test", "paired", "text", "dev")]
    keys += ["encoder.codebook", "encoder.model", "recognizer.model", "aligner.model", "vocoder.fr", "vocoder.en"]
    keys += ["evaluate.cascade.fr", "policy.start", "policy.base"]
    paths = {key: f"{tmp_path}/no {key}" for key in keys}
    assert local_paths(load(None, [f"{key}={path}" for key, path in paths.items()])) == paths


def test_a_codebook_is_never_a_name_on_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    paths = local_paths(load(None, ["encoder.codebook=owner/codebook", "encoder.model=owner/model"]))
    assert paths["encoder.codebook"] == "owner/codebook" and "encoder.model" not in paths


def test_a_path_is_relative_only_where_it_leads_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("here", "home"):
        (tmp_path / name / "data").mkdir(parents=True)
    monkeypatch.setenv("ROUNDTRIP_HOME", f"{tmp_path}/home")
    monkeypatch.chdir(tmp_path)
    recipe = load(None, [f"corpus.mono={tmp_path}/home/data"])
    assert portable_paths(recipe).corpus.mono == "data"
    monkeypatch.setattr("factory.recipe.paths.ROOT", tmp_path / "here")  # here `data` leads to another folder
    assert portable_paths(recipe).corpus.mono == f"{tmp_path}/home/data"


def test_a_name_on_the_hub_is_not_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    changes = ["vocoder={fr: owner/voice@main, en: ./voice}", "policy.base=owner/model", "policy.start=runs/a/policy"]
    paths = local_paths(load(None, changes))
    assert paths["vocoder.en"] == "./voice" and paths["policy.start"] == "runs/a/policy"
    assert not {"vocoder.fr", "policy.base", "encoder.model", "recognizer.model"} & set(paths)
    assert {"corpus.mono", "corpus.test", "corpus.paired", "corpus.dev", "encoder.codebook"} <= set(paths)
    assert "corpus.text" not in paths
    (tmp_path / "owner/model").mkdir(parents=True)
    assert local_paths(load(None, changes))["policy.base"] == "owner/model"
    assert local_paths(load(None, ["corpus.dev=owner/data"]))["corpus.dev"] == "owner/data"
