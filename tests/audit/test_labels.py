"""audit: the share of labels that a reference agrees with, and the δ that follows."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from factory.audit.delta import NoDelta, audit, recommend, recommended_delta
from factory.audit.labels import Comparisons, Judged, agreement, by_delta, by_gap, compare, judged, measure
from factory.recipe.sections import FiltersConfig

RIGHT, WRONG = "the train leaves at nine", "the boat leaves at two"


def candidate(text: str, bleu: float, **scores: float) -> dict[str, Any]:
    return {"text": text, "units": [1, 2, 3], "finish": "ok", "scores": {"bleu": bleu, "wer": 1 - bleu, **scores}}


def row(
    good_back: float, bad_back: float, reference: str | None = RIGHT, utt_id: str = "u", **changes: Any
) -> dict[str, Any]:
    told = {
        "utt_id": utt_id,
        "status": "ok",
        "text": "le train",
        "units": [4, 5, 6],
        "reference": reference,
        "src_lang": "fr",
    }
    return told | {"tgt_lang": "en", "candidates": [candidate(RIGHT, good_back), candidate(WRONG, bad_back)]} | changes


def looked_at(rows: list[dict[str, Any]], heard: dict[tuple[str, int], str] | None = None) -> list[Judged]:
    return judged(rows, FiltersConfig(), heard)


def many(right: int, wrong: int, gap: float = 0.3) -> list[dict[str, Any]]:
    good = [row(0.5 + gap, 0.5, utt_id=f"g{i}") for i in range(right)]
    return good + [row(0.5, 0.5 + gap, utt_id=f"w{i}") for i in range(wrong)]


def test_a_label_is_right_when_the_reference_prefers_the_same_candidate() -> None:
    rows = looked_at([row(0.9, 0.2), row(0.2, 0.9), row(0.5, 0.5), row(0.9, 0.1, None)])
    found = compare(rows, "bleu", "bleu")
    assert found.gap == pytest.approx([0.7, 0.7])  # equal ways back give no label, a missing reference no judgement
    assert list(found.gain > 0) == [True, False]
    assert list(compare(rows, "wer", "bleu").gain > 0) == [True, False]  # a lower WER is better
    assert list(compare(rows, "bleu", "chrf").gain > 0) == [True, False]


def test_a_candidate_that_was_not_spoken_is_no_end_of_a_pair_but_one_of_any_two() -> None:
    silent = candidate(RIGHT, 0.95) | {"finish": "unspoken", "units": None}
    rows = looked_at([row(0.9, 0.2, candidates=[silent, candidate(RIGHT, 0.9), candidate(WRONG, 0.2)])])
    assert compare(rows, "bleu", "bleu").gap == pytest.approx([0.7])
    assert compare(rows, "bleu", "bleu", "any_two").gap == pytest.approx([0.05])


def test_accuracy_stands_in_the_bin_of_its_gap_with_an_interval() -> None:
    found = {
        tuple(b["gap"]): b
        for b in by_gap(compare(looked_at(many(30, 10, 0.4) + [row(0.55, 0.5)]), "bleu", "bleu"), "bleu")
    }
    assert (found[(0.35, 0.5)]["n"], found[(0.35, 0.5)]["accuracy"]) == (40, 0.75)
    low, high = found[(0.35, 0.5)]["ci"]
    assert 0.55 < low < 0.75 < high < 0.95
    assert found[(0.0, 0.1)]["n"] == 1
    assert found[(0.75, None)]["accuracy"] is None


def test_the_interval_covers_what_it_says() -> None:
    draw = np.random.default_rng(7)
    inside = 0
    for _ in range(200):
        gain = np.where(draw.random(80) < 0.7, 1.0, -1.0)
        low, high = measure(Comparisons(np.ones(80), gain), np.full(80, True))["ci"]
        inside += low <= 0.7 <= high
    assert 0.88 <= inside / 200 <= 0.99


def test_a_judge_that_ties_says_nothing_about_accuracy_but_lowers_the_gain() -> None:
    found = by_gap(Comparisons(np.array([0.3, 0.3, 0.3, 0.3]), np.array([0.5, 0.5, -0.25, 0.0])), "bleu")[2]
    assert (found["n"], found["ties"], found["accuracy"], found["gain"]) == (
        3,
        1,
        pytest.approx(2 / 3),
        pytest.approx(0.1875),
    )


def test_worth_weighs_how_many_labels_against_how_many_are_right() -> None:
    gap, gain = np.array([0.02] * 60 + [0.3] * 40), np.array([1.0] * 33 + [-1.0] * 27 + [1.0] * 36 + [-1.0] * 4)
    table = {found["delta"]: found for found in by_delta(Comparisons(gap, gain), "bleu")}
    assert table[0.0]["worth"] == pytest.approx(100 * (2 * 0.69 - 1) ** 2)
    assert table[0.05]["worth"] == pytest.approx(40 * 0.8**2)
    assert (table[0.5]["kept"], table[0.5]["worth"]) == (0, 0)


def test_the_recommended_delta_leaves_the_noise_below_it_out() -> None:
    noise = [row(*((0.52, 0.5) if i % 2 else (0.5, 0.52)), utt_id=f"n{i}") for i in range(60)]
    found = recommend(looked_at(many(36, 4) + noise), "bleu")
    assert found["delta"] == 0.05
    assert "0.90 [" in found["reason"] and "of 40 labels" in found["reason"] and "at 0: 100 labels" in found["reason"]


def test_no_delta_is_recommended_from_too_little_or_from_chance() -> None:
    assert recommend(looked_at(many(5, 1)), "bleu")["delta"] is None
    chance = looked_at(many(20, 20))
    assert "chance" in recommend(chance, "bleu")["reason"]
    with pytest.raises(NoDelta, match="select.delta is auto, but labels by bleu cannot be told from chance"):
        recommended_delta(chance, "bleu")


def test_policies_of_selection_compare_other_candidates() -> None:
    candidates = [candidate("the train leaves", 0.6), candidate("the train leaves at nine", 0.9), candidate(WRONG, 0.2)]
    looping = candidate("nine nine nine", 0.1) | {"units": [1, 2] * 9}
    rows = looked_at([row(0, 0, candidates=[*candidates, looping])])
    assert compare(rows, "bleu", "bleu", "best_worst").gap == pytest.approx([0.7])
    assert compare(rows, "bleu", "bleu", "unfiltered").gap == pytest.approx([0.8])
    assert compare(rows, "bleu", "bleu", "any_two").gap == pytest.approx([0.3])


def test_what_was_heard_is_a_judge_of_its_own() -> None:
    rows = looked_at([row(0.9, 0.2)], heard={("u", 0): "The boat!", ("u", 1): "the train leaves at nine"})
    assert list(compare(rows, "bleu", "asr_bleu").gain > 0) == [False]
    assert list(compare(looked_at([row(0.9, 0.2)]), "bleu", "asr_bleu").gain) == []


def test_metrics_that_disagree_are_named_with_their_utterances() -> None:
    torn = row(0.9, 0.2, utt_id="torn", candidates=[candidate(RIGHT, 0.9, chrf=0.1), candidate(WRONG, 0.2, chrf=0.6)])
    same = row(0.9, 0.2, utt_id="same", candidates=[candidate(RIGHT, 0.9, chrf=0.8), candidate(WRONG, 0.2, chrf=0.6)])
    assert agreement(looked_at([torn, same]), ["bleu", "chrf"]) == [
        {"metrics": ["bleu", "chrf"], "n": 2, "agree": 1, "differ": ["torn"]}
    ]


def test_the_whole_audit_is_json_with_a_table_for_each_direction_and_policy() -> None:
    back = [found | {"src_lang": "en", "tgt_lang": "fr", "utt_id": "b" + found["utt_id"]} for found in many(10, 2)]
    told = json.loads(json.dumps(audit(looked_at(many(30, 6) + back), ["bleu", "wer"]), allow_nan=False))
    assert told["utterances"] == 48 and told["judges"] == ["bleu", "chrf"]
    keys = {(table["metric"], table["judge"], table["direction"], table["policy"]) for table in told["tables"]}
    assert len(keys) == 2 * 2 * 3 * 3 and ("wer", "chrf", "en-fr", "any_two") in keys
    assert told["recommended"]["bleu"]["delta"] == 0.0
