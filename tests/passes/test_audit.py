"""audit: the share of labels that a reference agrees with."""

from __future__ import annotations

from typing import Any

from factory.passes.audit import label_accuracy, verdicts


def row(good_back: float, bad_back: float, reference: str | None = "the train leaves at nine") -> dict[str, Any]:
    candidates = [
        {"text": "the train leaves at nine", "finish": "ok", "scores": {"bleu": good_back, "wer": 1 - good_back}},
        {"text": "the boat leaves at two", "finish": "ok", "scores": {"bleu": bad_back, "wer": 1 - bad_back}},
    ]
    return {"status": "ok", "reference": reference, "tgt_lang": "en", "candidates": candidates}


def test_a_label_is_right_when_the_reference_prefers_the_same_candidate() -> None:
    found = list(verdicts([row(0.9, 0.2), row(0.2, 0.9), row(0.5, 0.5), row(0.9, 0.1, None)], "bleu", "bleu"))
    assert [verdict.agrees for verdict in found] == [True, False]
    assert [verdict.agrees for verdict in verdicts([row(0.9, 0.2)], "wer", "bleu")] == [True]


def test_accuracy_stands_in_the_bin_of_its_gap_with_an_interval() -> None:
    table = label_accuracy([row(0.9, 0.2)] * 30 + [row(0.2, 0.9)] * 10 + [row(0.55, 0.5)], "bleu", "bleu")
    found = {tuple(b["gap"]): b for b in table}
    assert found[(0.5, 0.75)]["n"] == 40
    assert found[(0.5, 0.75)]["accuracy"] == 0.75
    low, high = found[(0.5, 0.75)]["ci"]
    assert 0.55 < low < 0.75 < high < 0.95
    assert found[(0.0, 0.1)]["n"] == 1
    assert found[(0.2, 0.35)]["accuracy"] is None
