"""Speech that a round cannot use is refused before a model is loaded, or before produce."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from factory.corpora.base import Kind
from factory.passes.progress import Clock
from factory.planning.places import Round, Run
from factory.planning.usable_speech import (
    UnusableSpeech,
    check_alignment,
    check_dev,
    check_listed,
    check_sources,
    list_unmeasured,
)
from factory.recipe.loading import load
from factory.recipe.recipe import Recipe
from factory.rounds import with_paired_units
from factory.storage.dataset import DatasetDir
from schemas.datasets import UNITS, Row
from tests.corpora.speech import put, tone

EMBEDDED = "recipes/phrasebook.yaml"
THREE = ["languages=[fr, en, de]", "vocoder.de=any"]
LOST = {"status": "skipped", "reason": "unknown_lang: 'clips' is not a language of the recipe (fr, en)"}


def units(folder: Path, *rows: Row) -> DatasetDir:
    """Write rows of UNITS, `ok` unless they say otherwise."""
    dataset = DatasetDir(str(folder), UNITS)
    dataset.start({"stage": "toy"})
    complete = [{"utt_id": str(index), "status": "ok", "units": [1], **row} for index, row in enumerate(rows)]
    dataset.append(pa.Table.from_pylist(complete, schema=UNITS))
    dataset.publish()
    return dataset


def with_recognizer(*changes: str) -> Recipe:
    """Return a recipe that transcribes its speech."""
    transcribe = ["translator.back_translate=speech", "translator.unit_temperature=null", "scorer.score_text=asr"]
    return load(EMBEDDED, [*transcribe, *changes])


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([], "no utterance of corpus.mono can be used: it holds no utterance; expected utterances in fr or en$"),
        (
            [{"lang": "clips", **LOST}],
            r"unknown_lang 1 \(the first: .*; expected utterances in fr or en; an utterance's language is the first",
        ),
        ([{"lang": "fr", "status": "failed", "reason": "not_audio: no"}], "can be used: not_audio 1"),
        ([{"lang": "de", "text": "ja"}], "its 1 utterances are in de"),
        (
            [{"lang": "fr"}, {"lang": "en", "text": " "}],
            "no utterance of corpus.mono has a text, and .* --set scorer.score_text=asr",
        ),
    ],
)
def test_speech_that_can_give_no_pair_is_refused_before_produce(rows: list[Row], words: str, tmp_path: Path) -> None:
    with pytest.raises(UnusableSpeech, match=words):
        check_sources([units(tmp_path / "units", *rows)], load(EMBEDDED))


def test_speech_that_can_give_some_pairs_is_used(tmp_path: Path) -> None:
    spoken = units(tmp_path / "units", {"lang": "fr", "text": "oui"}, {"lang": "en"})
    note = "en-fr can have no pair: corpus.mono has no usable utterance in en with a text"
    assert check_sources([spoken], load(EMBEDDED)) == [note]
    assert check_sources([spoken], with_recognizer()) == []
    assert check_sources([spoken, units(tmp_path / "more", {"lang": "en", "text": "yes"})], load(EMBEDDED)) == []


def test_both_corpora_are_named(tmp_path: Path) -> None:
    with pytest.raises(UnusableSpeech, match=r"^no utterance of corpus\.mono and corpus\.paired can be used"):
        check_sources([units(tmp_path / "one")], load(EMBEDDED, ["corpus.source=both"]))
    with pytest.raises(UnusableSpeech, match=r"^no utterance of corpus\.paired can be used"):
        check_sources([units(tmp_path / "two")], load(EMBEDDED, ["corpus.source=paired"]))


def test_one_language_alone_is_refused(tmp_path: Path) -> None:
    french = {Kind("fr", True, False): 1, Kind("clips", True, False): 1}
    languages = r"no utterance of corpus.mono \(x\) is in en \(its languages: 'fr' 1, 'clips' 1\); an utterance's"
    with pytest.raises(UnusableSpeech, match=languages):
        check_listed(french, with_recognizer("corpus.mono=x"))
    rows = [{"lang": "fr"}, {"lang": "en", "status": "failed", "reason": "not_audio: no"}]
    lost = r"no utterance of corpus.mono in en can be used: not_audio 1 \(the first: not_audio: no\)"
    with pytest.raises(UnusableSpeech, match=lost):
        check_sources([units(tmp_path / "units", *rows)], with_recognizer())


def test_a_direction_without_speech_is_refused(tmp_path: Path) -> None:
    into_english = load(EMBEDDED, [*THREE, "directions=[fr-en, de-en]"])
    french = {Kind("fr", True, False): 1, Kind("en", True, False): 1}
    with pytest.raises(UnusableSpeech, match=r"is in de \(its languages: .*; or leave de-en out of directions$"):
        check_listed(french, into_english)
    check_listed({Kind("fr", True, False): 1, Kind("de", True, False): 1}, into_english)
    rows = [{"lang": "fr", "text": "oui"}, {"lang": "de", "status": "failed", "reason": "not_audio: no"}]
    lost = "in de can be used: not_audio 1 .*; or leave de-en out of directions$"
    with pytest.raises(UnusableSpeech, match=lost):
        check_sources([units(tmp_path / "lost", *rows)], into_english)
    assert check_sources([units(tmp_path / "used", rows[0], {"lang": "de", "text": "ja"})], into_english) == []
    rows = [{"lang": lang, "text": "a", "utt_id": f"a/{lang}-en"} for lang in ("fr", "de")]
    rows += [{"lang": "en", "text": "a"}]
    with pytest.raises(UnusableSpeech, match="corpus.mono can be translated in fr-de, de-fr: the ids of the others"):
        check_sources([units(tmp_path / "paired", *rows)], load(EMBEDDED, THREE))


def test_unmeasured_directions_are_listed_one_by_one(tmp_path: Path) -> None:
    into_english = load(EMBEDDED, [*THREE, "directions=[fr-en, de-en]", "evaluate.s2t_utterances=1"])
    french = {"lang": "fr", "text": "a", "reference": "b"}
    assert list_unmeasured(units(tmp_path / "one", french), into_english) == [
        "there are no toplines in en: corpus.test has no utterance in en",
        "de-en has no score: none of the 0 usable utterances of corpus.test in de has a reference",
    ]
    all_six = load(EMBEDDED, [*THREE, "evaluate.s2t_utterances=1"])
    sides = [{"lang": lang, "text": "a", "utt_id": f"a/{lang}"} for lang in ("fr", "en", "de")]
    assert list_unmeasured(units(tmp_path / "all", *sides), all_six) == []
    without = "fr-de has no score: none of the 1 usable utterances of corpus.test in fr has a reference in de (the text"
    assert list_unmeasured(units(tmp_path / "two", *sides[:2]), all_six)[0].startswith(without)


def test_speech_without_texts_is_refused_unless_it_is_transcribed() -> None:
    silent = {Kind("fr", False, False): 3, Kind("en", False, False): 2}
    check_listed(silent, with_recognizer())
    check_listed(silent | {Kind("en", True, False): 1}, load(EMBEDDED))
    with pytest.raises(
        UnusableSpeech, match="has a text, and the recipe compares texts: give .* scorer.score_text=asr"
    ):
        check_listed(silent, load(EMBEDDED))


def test_a_dev_set_without_references_is_refused(tmp_path: Path) -> None:
    recipe = load(EMBEDDED, ["select.delta=auto"])
    dev = units(tmp_path / "dev", *[{"lang": "fr", "reference": "yes" if index < 3 else None} for index in range(30)])
    few = "select.delta is auto and needs at least 20 utterances of corpus.dev with a reference; 3 of its 30 usable"
    with pytest.raises(UnusableSpeech, match=few):
        check_dev(dev, recipe, 20)
    check_dev(dev, recipe, 3)
    with pytest.raises(UnusableSpeech):
        check_dev(dev, recipe, 4)


def test_scores_that_a_test_set_cannot_give_are_listed(tmp_path: Path) -> None:
    recipe = load(EMBEDDED, ["evaluate.s2t_utterances=1"])
    nothing = (
        "no score is measured: no utterance of corpus.test can be used: it holds no utterance; expected utterances in"
    )
    assert list_unmeasured(units(tmp_path / "empty"), recipe) == [f"{nothing} fr or en"]
    unknown = units(tmp_path / "unknown", {"lang": "fr", "text": "a"}, {"lang": "en", "text": "a"})
    assert list_unmeasured(unknown, recipe) == [
        "no score is measured: no utterance of corpus.test has a reference; add a column reference with the "
        "translation of each utterance, or name another corpus.test"
    ]
    complete = [{"lang": lang, "text": "a", "reference": "b"} for lang in ("fr", "en")]
    assert list_unmeasured(units(tmp_path / "complete", *complete), recipe) == []
    more = load(EMBEDDED, ["evaluate.s2t_utterances=2"])
    assert list_unmeasured(units(tmp_path / "few", *complete), more) == [
        f"{direction} is measured on 1 utterances instead of 2: no more utterances of corpus.test in {lang} have a "
        "reference"
        for direction, lang in (("fr-en", "fr"), ("en-fr", "en"))
    ]
    one = units(tmp_path / "one", {"lang": "fr", "reference": "b"}, {"lang": "en", "text": "a"})
    assert list_unmeasured(one, recipe) == [
        "the toplines in fr have no ASR-BLEU and no WER: no tested utterance of corpus.test in fr has a text",
        "en-fr has no score: none of the 1 usable utterances of corpus.test in en has a reference",
    ]


def test_recordings_whose_words_are_needed_must_be_aligned(tmp_path: Path) -> None:
    put(tmp_path / "speech/fr/a.wav", tone())
    changes = [f"corpus.paired={tmp_path}/speech", "sft.interleave={}"]
    round_ = Round(Run(str(tmp_path / "run")), 0, load(EMBEDDED, changes))
    sentence = r"the words of corpus.paired \(.*speech\) are spoken: give a section aligner .*, or set .*: uniform"
    with pytest.raises(UnusableSpeech, match=sentence):
        with_paired_units(round_, Clock(round_.uri))
    for more in (["aligner.kind=ctc"], ["sft.interleave.units=uniform"], ["sft.interleave=null"]):
        check_alignment(load(EMBEDDED, [*changes, *more]))
