"""What a corpus lacks for a round is reported before the round produces anything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from factory.corpora.base import Kind
from factory.passes import evaluate
from factory.passes.produce import utterances_of
from factory.planning.usable import Unusable, check_dev, check_kinds, check_sources, untested
from factory.recipe.loading import load
from factory.recipe.recipe import Recipe
from factory.storage.dataset import DatasetDir
from schemas.datasets import UNITS
from tests.toy_run import ROOT

PHRASEBOOK = ROOT / "recipes/phrasebook.yaml"
LOST = {"status": "skipped", "reason": "unknown_lang: 'clips' is not among the languages asked for (fr, en)"}


def units(folder: Path, *rows: dict[str, Any]) -> DatasetDir:
    """Write rows of UNITS, `ok` unless they say otherwise."""
    dataset = DatasetDir(str(folder), UNITS)
    dataset.start({"stage": "toy"})
    defaults = [{"utt_id": str(index), "status": "ok", "units": [1]} for index in range(len(rows))]
    complete = [default | row for default, row in zip(defaults, rows, strict=True)]
    dataset.append(pa.Table.from_pylist(complete, schema=UNITS))
    dataset.publish()
    return dataset


def by_asr() -> Recipe:
    """Return a recipe that compares transcripts of back-translations."""
    speech = ["translator.back_translate=speech", "translator.unit_temperature=null", "scorer.score_text=asr"]
    return load(PHRASEBOOK, speech)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([], "no utterance of corpus.mono can be used: it holds no utterance; expected utterances in fr or en"),
        (
            [{"lang": "clips", **LOST}],
            r"unknown_lang 1 \(the first: .*; expected utterances in fr or en; an utterance's language is",
        ),
        ([{"lang": "fr", "status": "failed", "reason": "not_audio: no"}], "can be used: not_audio 1"),
        ([{"lang": "de", "text": "ja"}], "its 1 utterances are in de"),
        (
            [{"lang": "fr"}, {"lang": "en", "text": " "}],
            "no utterance of corpus.mono has a text, and .* --set scorer.score_text=asr",
        ),
    ],
)
def test_speech_that_can_give_no_pair_is_refused_before_produce(
    rows: list[dict[str, Any]], words: str, tmp_path: Path
) -> None:
    with pytest.raises(Unusable, match=words):
        check_sources([units(tmp_path / "units", *rows)], load(PHRASEBOOK))


def test_speech_that_can_give_some_pairs_is_accepted(tmp_path: Path) -> None:
    recipe = load(PHRASEBOOK)
    source = units(tmp_path / "units", {"lang": "fr", "text": "oui"}, {"lang": "en"})
    note = "en-fr can have no pair: corpus.mono has no usable utterance in en with a text"
    assert check_sources([source], recipe) == [note]
    assert check_sources([source], by_asr()) == []
    assert utterances_of([units(tmp_path / "alone", {"lang": "fr"})], 1, recipe).to_pylist() == ["0"]


def test_one_language_alone_is_refused_before_a_model_is_loaded_and_after(tmp_path: Path) -> None:
    french = {Kind("fr", True, False): 1, Kind("clips", True, False): 1}
    words = r"corpus.mono \(x\) is in en \(languages there: 'fr' 1, 'clips' 1\); an utterance's"
    with pytest.raises(Unusable, match=words):
        check_kinds(french, "x", by_asr())
    rows = [{"lang": "fr"}, {"lang": "en", "status": "failed", "reason": "not_audio: no"}]
    words = r"no utterance of corpus.mono in en can be used: not_audio 1 \(the first: not_audio: no\)"
    with pytest.raises(Unusable, match=words):
        check_sources([units(tmp_path / "units", *rows)], by_asr())


def test_speech_without_texts_is_refused_before_a_model_is_loaded_unless_transcripts_are_compared() -> None:
    silent = {Kind("fr", False, False): 3, Kind("en", False, False): 2}
    check_kinds(silent, "x", by_asr())
    check_kinds(silent | {Kind("en", True, False): 1}, "x", load(PHRASEBOOK))
    words = "has a text, and the recipe compares texts: give .* --set scorer.score_text=asr"
    with pytest.raises(Unusable, match=words):
        check_kinds(silent, "x", load(PHRASEBOOK))


def test_a_dev_set_without_references_is_refused_before_produce(tmp_path: Path) -> None:
    recipe = load(PHRASEBOOK, ["select.delta=auto"])
    rows = [{"lang": "fr", "reference": "yes" if index < 3 else None} for index in range(30)]
    dev = units(tmp_path / "dev", *rows)
    words = "select.delta is auto, and 3 of the 30 usable utterances of corpus.dev have a reference, where 20"
    with pytest.raises(Unusable, match=words):
        check_dev(dev, recipe, 20)
    check_dev(dev, recipe, 3)


def test_a_test_set_that_measures_nothing_is_reported(tmp_path: Path) -> None:
    recipe = load(PHRASEBOOK, ["evaluate.s2t_utterances=1"])
    empty = units(tmp_path / "empty")
    reason = "no utterance of corpus.test can be used: it holds no utterance; expected utterances in fr or en"
    assert untested(empty, recipe) == [f"no score is measured: {reason}"]
    assert evaluate.heard_ids(evaluate.test_rows(empty, recipe)) == []
    assert utterances_of([empty], 1, recipe).type == pa.string()
    whole = [{"lang": lang, "text": "a", "reference": "b"} for lang in ("fr", "en")]
    assert untested(units(tmp_path / "whole", *whole), recipe) == []
