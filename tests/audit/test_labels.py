"""The scores of candidates: which rows and candidates count, and by which judge they are scored."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from factory.audit.labels import (
    JUDGES,
    MAX_UTTERANCES,
    ScoredCandidate,
    explain_unmeasured,
    judge_rows,
    read_rows_with_reference,
    read_scores,
)
from factory.metrics import METRICS
from factory.passes.unit_languages import OF_ROW, Languages
from factory.recipe.sections import FiltersConfig
from factory.storage.dataset import DatasetDir
from schemas.datasets import SCORED
from tests.audit.rows import RIGHT, WRONG, candidate, judge, row

IDS = [f"u{number}" for number in range(10)]
BY_CRC = ["u4", "u0", "u8", "u1", "u5", "u9", "u7", "u3", "u2", "u6"]


def test_only_ok_rows_with_a_reference_are_judged() -> None:
    bad = [row(1, 0, reference=None), row(1, 0, reference=""), row(1, 0, status="skipped"), row(1, 0, status="failed")]
    [utterance] = judge([*bad, row(0.9, 0.2, utt_id="good")])
    assert (utterance.utt_id, utterance.direction) == ("good", "fr-en")
    assert [one.scores["bleu"] for one in utterance.candidates] == [0.9, 0.2]


def test_a_candidate_is_judged_by_bleu_and_chrf_of_its_text_against_the_reference() -> None:
    [utterance] = judge([row(0.9, 0.2)])
    for one, text in zip(utterance.candidates, (RIGHT, WRONG), strict=True):
        assert one.judgements == {name: METRICS[name].score(text, RIGHT, "en") for name in ("bleu", "chrf")}
    assert utterance.candidates[0].judgements["bleu"] > utterance.candidates[1].judgements["bleu"]


def test_a_transcript_belongs_to_the_candidate_with_its_index() -> None:
    candidates = [candidate(None, 0.1, finish="unclosed"), candidate(None, 0.9), candidate("", 0.2)]
    rows = [row(0, 0, candidates=candidates, utt_id="a"), row(0, 0, utt_id="b")]
    first, second = judge(rows, {("a", "en", 1): RIGHT, ("a", "en", 2): ""})
    assert [one.judgements for one in first.candidates] == [{"asr_bleu": pytest.approx(1)}, {"asr_bleu": 0.0}]
    assert all(set(one.judgements) == {"bleu", "chrf"} for one in second.candidates)
    assert {"asr_bleu", *second.candidates[0].judgements} == set(JUDGES)


def test_a_transcript_and_its_reference_are_normalised_in_the_target_language() -> None:
    changes = {"src_lang": "en", "tgt_lang": "fr", "reference": "Deux bateaux rouges partent à neuf heures."}
    candidates = [candidate("2 bateaux rouges partent à neuf heures", 0.9)]
    [utterance] = judge(
        [row(0, 0, candidates=candidates, **changes)], {("u", "fr", 0): "2 bateaux rouges partent à 9 heures"}
    )
    assert utterance.candidates[0].judgements["asr_bleu"] == pytest.approx(1)
    assert utterance.candidates[0].judgements["bleu"] < 0.9  # the text of the policy is not normalised


def test_malformed_candidates_are_not_judged_and_one_without_speech_is_marked() -> None:
    finishes = ["ok", "unclosed", "unspoken"]
    candidates = [candidate(finish, 0.5, finish) for finish in finishes]
    [utterance] = judge([row(0, 0, candidates=candidates)])
    assert [(one.is_valid, one.has_speech) for one in utterance.candidates] == [(True, True), (True, False)]
    scores = read_scores(row(0, 0, candidates=candidates), FiltersConfig())
    assert [(one.is_valid, one.has_speech) for one in scores.candidates] == [(True, True), (False, True), (True, False)]


def test_a_candidate_that_a_filter_rejects_is_not_valid() -> None:
    repeated = candidate("nine nine", 0.5) | {"units": [1, 2] * 4}
    one = row(0, 0, candidates=[repeated, candidate(RIGHT, 0.9)], units=list(range(10, 18)))
    loose = FiltersConfig(max_repetition=1.0, min_length_ratio=0.0)
    for filters, valid in ((FiltersConfig(min_length_ratio=0.0), [False, True]), (loose, [True, True])):
        assert [found.is_valid for found in judge_rows([one], filters)[0].candidates] == valid
        assert [found.is_valid for found in read_scores(one, filters).candidates] == valid


def test_a_translation_into_a_third_language_of_the_recipe_is_not_valid() -> None:
    one = row(0, 0, candidates=[candidate("der Zug fährt um neun Uhr ab", 0.5), candidate(RIGHT, 0.9)])
    for languages, valid in ((OF_ROW, [True, True]), (Languages(("fr", "en", "de")), [False, True])):
        assert [found.is_valid for found in judge_rows([one], FiltersConfig(), {}, languages)[0].candidates] == valid
        assert [found.is_valid for found in read_scores(one, FiltersConfig(), languages).candidates] == valid


def test_scores_are_read_in_the_order_of_the_candidates_without_judgements() -> None:
    found = read_scores(
        row(0.9, 0.2) | {"candidates": [candidate(RIGHT, 0.9), candidate(WRONG, 0.2) | {"scores": None}]},
        FiltersConfig(),
    )
    assert (found.utt_id, found.direction) == ("u", "fr-en")
    first = {"bleu": 0.9, "wer": pytest.approx(0.1)}
    assert found.candidates == [ScoredCandidate(first, {}, True, True), ScoredCandidate({}, {}, True, True)]


def test_rows_with_a_reference_are_read(tmp_path: Path) -> None:
    references = {"u0": "a", "u1": "", "u2": None, "u3": "two words", "u4": "three words here"}
    head = {"src_lang": "fr", "tgt_lang": "en", "candidates": []}
    rows = [head | {"utt_id": name, "reference": text, "status": "ok"} for name, text in references.items()]
    rows.append(head | {"utt_id": "lost", "reference": "a", "status": "failed"})
    dataset = DatasetDir(str(tmp_path / "scored"), SCORED)
    dataset.start({"stage": "toy"})
    dataset.append(pa.Table.from_pylist(rows, schema=SCORED))
    dataset.publish()
    assert [found["utt_id"] for found in read_rows_with_reference(dataset)] == ["u4", "u0", "u3"]
    assert [found["utt_id"] for found in read_rows_with_reference(dataset, limit=2)] == ["u4", "u0"]


def test_the_documented_number_of_utterances_is_read() -> None:
    text = (Path(__file__).resolve().parents[2] / "docs/report.md").read_text("utf-8")
    assert f"at most {MAX_UTTERANCES:,} utterances" in " ".join(text.split())


def test_what_could_not_be_measured_is_explained_with_a_remedy() -> None:
    assert explain_unmeasured(0, False) == explain_unmeasured(0, True)
    assert explain_unmeasured(0, False) == (
        "labels could not be measured: no utterance of this round has a reference; add a column reference to the "
        "speech, with the translation of each utterance, or judge by ear with `roundtrip listen`"
    )
    assert explain_unmeasured(1, False) == (
        "labels could not be measured: the candidates have no text to compare with a reference; let the recognizer "
        "transcribe them with `roundtrip audit --asr 100`"
    )
    assert explain_unmeasured(1, True) is None
