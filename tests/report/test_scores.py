"""The scores of an evaluation: which rows count, on which texts, and with which signature."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from factory.metrics import bootstrap, normalise
from factory.recipe.loading import load
from factory.recipe.recipe import Recipe
from factory.report.scores import asr_protocol, read_evaluation, score_evaluation
from factory.storage.dataset import DatasetDir
from schemas.datasets import EVALUATED, Row
from tests.toy_run import ROOT, toy_recipe


def evaluated(utt_id: str, text: str | None, src: str = "fr", **changes: object) -> Row:
    """Return a row of EVALUATED."""
    head = {
        "utt_id": utt_id,
        "src_lang": src,
        "tgt_lang": "en" if src == "fr" else "fr",
        "reference": "The train leaves at nine.",
        "text": text,
        "units": [1],
        "finish": "ok",
        "asr_text": text,
        "mos": 2.0,
        "source_text": "Le train part à neuf heures.",
        "back_translation": "Le train part à neuf heures.",
        "cascade_text": None,
        "status": "ok",
        "reason": None,
    }
    return head | changes


def write(uri: str, rows: list[Row]) -> DatasetDir:
    dataset = DatasetDir(uri, EVALUATED)
    dataset.start({"stage": "evaluation"})
    dataset.append(pa.Table.from_pylist(rows, schema=EVALUATED))
    dataset.publish()
    return dataset


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return toy_recipe()


GOOD, BAD = "The train leaves at nine.", "A boat leaves at two."


def test_both_sides_of_a_round_are_scored_on_the_same_utterances(recipe: Recipe) -> None:
    after = [evaluated("b", GOOD), evaluated("a", BAD)]
    before = [evaluated("a", BAD), evaluated("b", BAD)]
    score = score_evaluation(after, before, recipe)["s2t_bleu"]["fr-en"]
    assert score
    references = [GOOD, GOOD]
    samples = [bootstrap.corpus("bleu", texts, references, "en") for texts in ([BAD, GOOD], [BAD, BAD])]
    compared = bootstrap.compare(samples[0], samples[1], 50)
    assert score == {
        "signature": samples[0].signature,
        "utterances": 2,
        "before": round(compared.baseline.point, 2),
        "after": round(compared.system.point, 2),
        "ci": [round(compared.system.low, 2), round(compared.system.high, 2)],
        "difference": round(compared.difference.point, 2),
        "difference_ci": [round(compared.difference.low, 2), round(compared.difference.high, 2)],
        "p": round(compared.p, 4),
    }


def test_round_0_has_no_score_before_it(recipe: Recipe) -> None:
    scores = score_evaluation([evaluated("a", BAD), evaluated("b", GOOD)], None, recipe)
    score = scores["s2t_chrf"]["fr-en"]
    estimate = bootstrap.estimate(bootstrap.corpus("chrf", [BAD, GOOD], [GOOD, GOOD], "en"), 50)
    assert score and (score["before"], score["after"]) == (None, round(estimate.point, 2))
    assert score["ci"] == [round(estimate.low, 2), round(estimate.high, 2)]
    assert not {"difference", "difference_ci", "p"} & set(score)
    assert scores["mos"]["fr-en"] == {"before": None, "after": 2.0}
    assert scores["tripwire"] == []


def test_transcripts_are_normalised_and_the_text_of_the_policy_is_not(recipe: Recipe) -> None:
    shouted = "THE TRAIN LEAVES AT NINE"
    assert normalise.text(shouted, "en") == normalise.text(GOOD, "en")
    scores = score_evaluation([evaluated("a", shouted)], None, recipe)
    text, speech = scores["s2t_bleu"]["fr-en"], scores["asr_bleu"]["fr-en"]
    assert text and text["after"] < 50 and speech and speech["after"] == 100


def test_transcripts_are_signed_with_the_protocol_of_the_recognizer(recipe: Recipe) -> None:
    rows = [evaluated("a", GOOD, cascade_text=GOOD)]
    scores = score_evaluation(rows, None, recipe)
    for name, lang in (("asr_bleu", "en"), ("cascade_bleu", "en")):
        score = scores[name]["fr-en"]  # type: ignore[literal-required]
        assert score["signature"].endswith(f"|{asr_protocol(recipe, lang)}")
    for name in ("s2t_bleu", "s2t_chrf", "round_trip"):
        assert "asr:" not in scores[name]["fr-en"]["signature"]  # type: ignore[literal-required]
    silent = load(ROOT / "recipes/phrasebook_vanilla.yaml")
    round_trip = score_evaluation(rows, None, silent)["round_trip"]["fr-en"]
    assert round_trip and round_trip["signature"].endswith(f"|{asr_protocol(recipe, 'fr')}")


def test_a_policy_that_writes_no_text_has_no_text_score(recipe: Recipe) -> None:
    silent = load(ROOT / "recipes/phrasebook_vanilla.yaml")
    scores = score_evaluation([evaluated("a", None, asr_text=GOOD)], None, silent)
    assert scores["s2t_bleu"]["fr-en"] is scores["s2t_chrf"]["fr-en"] is None
    assert scores["asr_bleu"]["fr-en"]


def test_only_utterances_with_something_to_compare_are_scored(recipe: Recipe) -> None:
    rows = [
        evaluated("a", GOOD),
        evaluated("b", GOOD, asr_text=None, mos=None, source_text=None),
        evaluated("c", "", finish="unclosed", source_text=""),
        evaluated("d", GOOD, finish="unspoken", asr_text=None, mos=None, back_translation=None),
    ]
    scores = score_evaluation(rows, rows, recipe)
    counts = {name: scores[name]["fr-en"]["utterances"] for name in ("s2t_bleu", "asr_bleu", "round_trip")}  # type: ignore
    assert counts == {"s2t_bleu": 4, "asr_bleu": 2, "round_trip": 1}
    assert scores["cascade_bleu"]["fr-en"] is None and scores["s2t_bleu"]["en-fr"] is None
    assert scores["mos"]["fr-en"] == {"before": 2.0, "after": 2.0}
    assert scores["mos"]["en-fr"] == scores["well_formed"]["en-fr"] == {"before": None, "after": None}
    assert scores["well_formed"]["fr-en"] == {"before": 0.5, "after": 0.5}, "of the spoken ones"
    assert score_evaluation(rows, [], recipe)["s2t_bleu"]["fr-en"] is None


def test_further_measures_of_the_speech_are_means_of_the_rows_with_a_value(recipe: Recipe) -> None:
    assert not {"dnsmos", "speaker_similarity", "unmeasured_speech"} & set(score_evaluation([], None, recipe))
    evaluate = replace(recipe.evaluate, speech_measures=("dnsmos", "speaker_similarity"))
    silent = {
        "dnsmos": None,
        "speaker_similarity": None,
        "unmeasured": ["dnsmos: silent", "speaker_similarity: silent"],
    }
    after = [
        evaluated("a", GOOD, dnsmos=3.0, speaker_similarity=0.5, unmeasured=[]),
        evaluated("b", GOOD, dnsmos=4.0, speaker_similarity=None, unmeasured=["speaker_similarity: not_recorded"]),
        evaluated("c", GOOD, **silent),
        evaluated("d", GOOD, **silent),
        evaluated("e", GOOD, asr_text=None),  # of an older file
    ]
    before = [evaluated(name, GOOD, dnsmos=2.0) for name in "abcd"] + [after[-1]]
    scores = score_evaluation(after, before, replace(recipe, evaluate=evaluate))
    assert scores["dnsmos"]["fr-en"] == {"before": 2.0, "after": 3.5}
    assert scores["speaker_similarity"] == {
        "fr-en": {"before": None, "after": 0.5},
        "en-fr": {"before": None, "after": None},
    }
    reasons = {"dnsmos: silent": 2, "speaker_similarity: silent": 2, "speaker_similarity: not_recorded": 1}
    assert scores["unmeasured_speech"] == {"fr-en": reasons, "en-fr": {}}
    assert list(scores["unmeasured_speech"]["fr-en"])[-1] == "speaker_similarity: not_recorded", "most frequent first"


def test_outputs_that_are_alike_and_speech_that_repeats_itself_are_measured(recipe: Recipe) -> None:
    same = [evaluated(name, GOOD, units=[1, 2, 3, 4] * 4) for name in "abc"] + [evaluated("d", BAD, units=[5, 6, 7, 8])]
    scores = score_evaluation(same, [evaluated(name, name, units=None) for name in "abcd"], recipe)
    assert scores["distinct"]["fr-en"] == {"before": 1.0, "after": 0.5}, "two different texts of four"
    # 14 trigrams of which 4 differ, three times, and 2 trigrams that differ
    assert scores["repetition"]["fr-en"] == {"before": None, "after": pytest.approx(3 * (1 - 4 / 14) / 4, abs=1e-4)}
    assert scores["distinct"]["en-fr"] == {"before": None, "after": None}
    silent = [row | {"text": None} for row in same]
    assert score_evaluation(silent, None, recipe)["distinct"]["fr-en"]["after"] == 0.5, "by their units"
    many = [evaluated(str(index), GOOD, units=[1, 2, 3]) for index in range(5)]
    assert any("collapse" in sentence for sentence in score_evaluation(many, None, recipe)["tripwire"])


def test_shares_of_the_speech_are_compared_on_the_same_utterances(recipe: Recipe) -> None:
    fits = {"source_s": 2.0, "speech_s": 2.0, "spoken_lang": "en"}
    after = [evaluated("a", GOOD, **fits), evaluated("b", GOOD, **fits), evaluated("c", GOOD, asr_text=None)]
    before = [after[0], evaluated("b", GOOD, **fits | {"speech_s": 2.6, "spoken_lang": "fr"}), after[2]]
    scores = score_evaluation(after, before, recipe)
    compared = bootstrap.compare(bootstrap.mean([100, 100]), bootstrap.mean([100, 0]), 50)
    for name in ("slc_02", "spoken_language"):
        score = scores[name]["fr-en"]  # type: ignore[literal-required]
        assert (score["before"], score["after"], score["difference"], score["utterances"]) == (50, 100, 50, 2)
        assert score["difference_ci"] == [compared.difference.low, compared.difference.high]
    wide = scores["slc_04"]["fr-en"]
    assert wide and (wide["before"], wide["after"], wide["signature"]) == (100, 100, "slc:0.4")
    assert scores["spoken_language"]["fr-en"]["signature"] == f"lid:argmax|{asr_protocol(recipe, 'en')}"
    assert scores["slc_02"]["en-fr"] is None
    older = [evaluated("a", GOOD), evaluated("b", GOOD), after[2]]
    first = score_evaluation(after, older, recipe)["slc_02"]["fr-en"]
    assert first and first["before"] is None and first["after"] == 100, "the evaluation before is older"
    assert score_evaluation(older, before, recipe)["slc_02"]["fr-en"] is None


def test_a_back_translation_is_compared_with_the_source(recipe: Recipe) -> None:
    right = score_evaluation([evaluated("a", BAD)], None, recipe)["round_trip"]["fr-en"]
    wrong = score_evaluation([evaluated("a", BAD, back_translation=GOOD)], None, recipe)["round_trip"]["fr-en"]
    assert right and wrong and right["after"] == 100 and wrong["after"] < 10


def test_the_tripwire_looks_at_the_scores(recipe: Recipe) -> None:
    before = [evaluated(str(index), GOOD, back_translation=BAD) for index in range(5)]
    after = [evaluated(str(index), BAD) for index in range(5)]
    sentences = score_evaluation(after, before, recipe)["tripwire"]
    assert len(sentences) == 2 and all(sentence.startswith("fr-en: the round trip rises") for sentence in sentences)


def test_a_lost_translation_counts_as_an_empty_one(recipe: Recipe, tmp_path: Path) -> None:
    lost = {"status": "failed", "reason": "killed", "cascade_text": "x", "dnsmos": 3.0, "speaker_similarity": 0.5}
    rows = [evaluated("a", GOOD), evaluated("lost", "copy", unmeasured=["x: y"], **lost)]
    dataset = write(f"{tmp_path}/evaluation", rows)
    source = {"text": "la source", "durations": [30, 20]}
    tested = {(name, "en"): source | {"spoken": name == "lost"} for name in ("a", "lost")}
    kept, empty = read_evaluation(dataset, tested, recipe)
    assert {name: kept[name] for name in rows[0]} == rows[0]
    assert {name: empty[name] for name in ("text", "asr_text", "back_translation", "source_text")} == {
        "text": "",
        "asr_text": "",
        "back_translation": "",
        "source_text": "la source",
    }
    without = ("units", "finish", "mos", "cascade_text", "dnsmos", "speaker_similarity", "unmeasured")
    assert [empty[name] for name in without] == [None] * 7
    score = score_evaluation([kept, empty], [kept, empty], recipe)["asr_bleu"]["fr-en"]
    assert score and score["utterances"] == 2 and score["after"] < 100


def test_a_lost_translation_is_silent_only_if_it_would_have_been_resynthesised(recipe: Recipe, tmp_path: Path) -> None:
    dataset = write(f"{tmp_path}/evaluation", [evaluated("lost", "copy", status="failed", reason="killed")])
    silent = load(ROOT / "recipes/phrasebook_vanilla.yaml")
    cascade = replace(recipe, evaluate=replace(recipe.evaluate, cascade={"en": "voice"}))
    by_text = replace(recipe, translator=replace(recipe.translator, back_translate="text"))
    for spoken, transcript in ((True, ""), (False, None)):
        tested = {("lost", "en"): {"text": "la source", "durations": [30, 20], "spoken": spoken}}
        [lost] = read_evaluation(dataset, tested, recipe)
        assert (lost["asr_text"], lost["back_translation"], lost["cascade_text"]) == (transcript, transcript, None)
        assert (lost["source_s"], lost["speech_s"]) == ((1.0, 0.0) if spoken else (None, None))
        assert read_evaluation(dataset, tested, by_text)[0]["back_translation"] == "", "every text is translated back"
        assert read_evaluation(dataset, tested, silent)[0]["back_translation"] == transcript
        assert read_evaluation(dataset, tested, cascade)[0]["cascade_text"] == transcript
