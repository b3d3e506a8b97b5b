"""Disks without room, and nodes that do not see a run."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from factory.models.weights import local_training_folder
from factory.planning.disks import blind_nodes, cache_room, full_caches, full_disk
from factory.planning.places import Round, Run
from factory.planning.preflight import Shortfall, preflight
from factory.recipe.loading import load
from factory.recipe.recipe import Recipe

ROOT = Path(__file__).resolve().parent.parent.parent


def paper(*changes: str, name: str = "prost_llm_3b") -> Recipe:
    return load(ROOT / f"recipes/{name}.yaml", changes)


def planned(number: int, recipe: Recipe, uri: str = "runs/none") -> Round:
    return Round(Run(uri), number, recipe)


def test_a_small_disk_is_named(tmp_path: Path) -> None:
    large = paper("expected.parameters=1e15")
    (sentence,) = full_disk(planned(1, large, str(tmp_path / "run")))
    assert "for rows, 4656612.9 for the policy and its checkpoint), and " + str(tmp_path) in sentence
    (sentence,) = full_disk(planned(0, large, str(tmp_path / "run")))
    assert "14901161.2 for the policy" in sentence
    assert list(full_disk(planned(1, large, "s3://bucket/run"))) == []
    assert list(full_disk(planned(1, load(ROOT / "recipes/phrasebook.yaml"), str(tmp_path)))) == []
    (tmp_path / "run/round-1/policy").mkdir(parents=True)
    (tmp_path / "run/round-1/policy/config.json").touch()
    assert list(full_disk(planned(1, large, str(tmp_path / "run")))) == []


@pytest.mark.parametrize("source", ["mono", "paired", "both"])
def test_the_disk_of_each_stage_is_known(source: str, tmp_path: Path) -> None:
    for number in (0, 1):
        recipe = paper(f"corpus.source={source}", "expected.parameters=1e15")
        (sentence,) = full_disk(planned(number, recipe, str(tmp_path)))
        assert sentence.startswith("disk: the round needs about ")


def test_rows_take_room_by_their_length(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=0))

    def rows(*changes: str) -> float:
        (sentence,) = full_disk(planned(1, paper("corpus.limit=null", *changes), str(tmp_path)))
        return float(sentence.partition("GiB (")[2].partition(" for rows")[0])

    assert rows("expected.mono=10000000", "expected.seconds=3", "expected.units_per_s=24") == pytest.approx(
        27.9, abs=0.3
    )
    long = rows("expected.mono=10000000", "expected.seconds=6", "expected.units_per_s=24")
    assert long == pytest.approx(2 * 27.9, abs=0.6)


def test_a_small_cache_is_named_for_a_run_in_a_store(local_ray: None, tmp_path: Path) -> None:
    stored, large = f"file://{tmp_path}/run", "expected.parameters=1e15"
    recipe = load(ROOT / "recipes/phrasebook.yaml", [large])
    (sentence,) = full_caches(planned(1, recipe, stored))
    assert sentence.startswith("disk: the training needs about 4656612.9 GiB on its node, and /")
    assert "ROUNDTRIP_CACHE" in sentence
    assert list(full_caches(planned(1, recipe, str(tmp_path / "run")))) == []
    assert list(full_caches(planned(1, load(ROOT / "recipes/phrasebook.yaml"), stored))) == []
    on_gpu = load(ROOT / "recipes/phrasebook.yaml", [large, "resources.trainer.num_gpus=1"])
    assert list(full_caches(planned(1, on_gpu, stored))) == []  # no trainer can run on a node without a GPU
    with pytest.raises(Shortfall, match="disk: the training needs"):
        preflight(planned(1, recipe, stored))
    assert list(blind_nodes(planned(1, recipe, str(tmp_path)))) == []
    (tmp_path / "run/round-1/policy").mkdir(parents=True)
    (tmp_path / "run/round-1/policy/config.json").touch()
    assert list(full_caches(planned(1, recipe, stored))) == []


def test_files_of_an_earlier_attempt_count_as_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROUNDTRIP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=0))
    assert cache_room("s3://bucket/policy") == (str(tmp_path), 0.0)
    attempt = local_training_folder("s3://bucket/policy") / "policy.work"
    attempt.mkdir(parents=True)
    (attempt / "checkpoint.pt").write_bytes(bytes(2**20))
    assert cache_room("s3://bucket/policy")[1] == 2**-10 and cache_room("s3://bucket/other")[1] == 0
