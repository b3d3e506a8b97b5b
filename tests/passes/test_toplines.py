"""Toplines are computed once per test set, voice and recognizer, whichever run asks for them."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from factory.models.weights import cache_folder, resolve
from factory.passes.choose import choose_tested
from factory.passes.progress import Clock
from factory.passes.tokenize import list_speech, tokenize
from factory.passes.toplines import SHIPPED, digest_toplines, find_toplines, judge_toplines, write_toplines
from factory.planning.places import Run
from factory.recipe.loading import load
from factory.recipe.recipe import Recipe
from factory.storage.dataset import DatasetDir
from schemas.datasets import TOPLINE

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache without toplines, which has the packaged weights of this machine."""
    resolve("package:whisper-base")
    weights, cache = cache_folder(), tmp_path / "cache"
    cache.mkdir()
    (cache / "whisper-base").symlink_to((weights / "whisper-base").absolute())
    monkeypatch.setenv("ROUNDTRIP_CACHE", str(cache))


def make_units(run: Run, recipe: Recipe) -> DatasetDir:
    """Tokenize the test utterances of a recipe."""
    speech = list_speech(recipe.corpus.test)
    assert speech is not None
    tokenize(recipe.corpus.test, choose_tested(speech, recipe), recipe, run.units("test"), Clock(run.uri))
    return run.units("test")


def judge(folder: Path, recipe: Recipe) -> DatasetDir:
    run = Run(str(folder))
    judge_toplines(make_units(run, recipe), recipe, run.toplines, Clock(run.uri))
    return run.toplines


def sort_rows(dataset: DatasetDir) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = dataset.rows().sort_by("utt_id").to_pylist()
    return rows


def test_a_second_run_takes_the_rows_that_it_needs_and_computes_the_others(
    local_ray: None, tmp_path: Path, empty_cache: None, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus = tmp_path / "test"
    corpus.mkdir()
    for lang in ("fr", "en"):
        pq.write_table(pq.read_table(ROOT / f"assets/phrasebook/test/{lang}.parquet").slice(0, 3), corpus / lang)
    for lang in ("fr", "en"):
        (corpus / lang).rename(corpus / f"{lang}.parquet")

    def recipe(count: int, *changes: str) -> Recipe:
        sizes = [f"evaluate.s2t_utterances={count + 1}", f"evaluate.asr_utterances={count}"]
        return load("recipes/phrasebook.yaml", [f"corpus.test={corpus}", *sizes, *changes])

    first = judge(tmp_path / "first", recipe(1))
    assert first.manifest().rows == 2 and "toplines" not in first.manifest().versions
    capsys.readouterr()
    again = judge(tmp_path / "again", recipe(1, "name=other", "evaluate.s2t_utterances=1"))
    assert sort_rows(again) == sort_rows(first)
    assert again.manifest().versions["toplines"] == "2 rows of an earlier run"
    assert "2 of 2 toplines are known" in capsys.readouterr().out
    more = judge(tmp_path / "more", recipe(2))
    assert more.manifest().rows == 4 and len(more.parts()) == 2, "one part of known rows, one of new ones"
    assert [row for row in sort_rows(more) if row in sort_rows(first)] == sort_rows(first)
    capsys.readouterr()
    judge(tmp_path / "all", recipe(2, "name=last"))
    assert "4 of 4 toplines are known" in capsys.readouterr().out


def test_the_shipped_toplines_are_those_of_the_shipped_test_set(
    local_ray: None, tmp_path: Path, empty_cache: None
) -> None:
    recipe = load("recipes/phrasebook.yaml", ["evaluate.s2t_utterances=2", "evaluate.asr_utterances=2"])
    units = make_units(Run(str(tmp_path)), recipe)
    digest = digest_toplines(units, recipe)
    known = find_toplines(digest)
    assert known.num_rows == 200 and known.schema == TOPLINE
    assert set(known["status"].to_pylist()) == {"ok"}
    for change in (
        "recognizer.beam_size=2",
        "recognizer.compute_type=float32",
        "vocoder={fr: assets/phrasebook/vocoder-en, en: assets/phrasebook/vocoder-en}",
    ):
        other = digest_toplines(units, load("recipes/phrasebook.yaml", [change]))
        assert other != digest and find_toplines(other).num_rows == 0, change
    larger = load("recipes/phrasebook.yaml", ["evaluate.s2t_utterances=3", "resources.recognizer.actors=1"])
    assert digest_toplines(make_units(Run(str(tmp_path / "larger")), larger), larger) == digest


def test_rows_are_kept_once_and_in_order(tmp_path: Path, empty_cache: None) -> None:
    rows = [
        {"utt_id": utt_id, "lang": "fr", "audio_mos": mos, "status": "ok"}
        for utt_id, mos in (("b", 1), ("a", 2), ("b", 3))
    ]
    write_toplines(tmp_path / "cache/toplines/abc.parquet", "abc", pa.Table.from_pylist(rows, schema=TOPLINE))
    assert find_toplines("abc").select(["utt_id", "audio_mos"]).to_pylist() == [
        {"utt_id": "a", "audio_mos": 2.0},
        {"utt_id": "b", "audio_mos": 3.0},
    ]
    assert find_toplines("abd").num_rows == 0 and all((ROOT / path).is_file() for path in SHIPPED)
