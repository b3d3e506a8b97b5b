"""Comparisons of two candidates: the rules, the bins of the gap, the thresholds, and the agreement of metrics."""

from __future__ import annotations

import numpy as np
import pytest

from factory.audit.comparisons import (
    RULES,
    Comparisons,
    any_two,
    best_worst,
    compare,
    group_by_delta,
    group_by_gap,
    measure,
    measure_agreement,
    unfiltered,
)
from factory.audit.labels import ScoredCandidate, ScoredUtterance
from factory.metrics import bootstrap
from tests.audit.rows import RIGHT, WRONG, candidate, judge, row, rows, scored

EDGES = [0.0, 0.1, 0.2, 0.35, 0.5, 0.75]
MCD_EDGES = [0.0, 0.25, 0.5, 1.0, 1.5, 2.0]
DELTAS = [0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5]
MCD_DELTAS = [0.0, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5]


def comparisons(gap: list[float], gain: list[float] | None = None) -> Comparisons:
    return Comparisons(np.array(gap), np.array(gain if gain is not None else [1.0] * len(gap)))


def test_the_best_and_the_worst_candidate_are_compared() -> None:
    assert best_worst(scored(0.5, 0.1, 0.9, 0.3), "bleu") == (2, 1)
    assert best_worst(scored(0.5, 0.1, 0.9, 0.3, metric="wer"), "wer") == (1, 2)  # a lower WER is better
    assert best_worst(scored(6.0, 7.5, metric="mcd"), "mcd") == (0, 1)


def test_of_equally_good_candidates_the_first_is_best_and_the_last_is_worst() -> None:
    assert best_worst(scored(0.2, 0.9, 0.9, 0.2), "bleu") == (1, 3)
    assert best_worst(scored(0.9, 0.2, 0.2, 0.9, metric="wer"), "wer") == (1, 3)
    assert any_two(scored(0.4, 0.4), "bleu") == (0, 1)
    assert any_two(scored(0.4, 0.4, metric="wer"), "wer") == (0, 1)


def test_a_candidate_without_a_score_is_not_compared() -> None:
    for rule in RULES.values():
        assert rule(scored(None, 0.3, None, 0.4), "bleu") == (3, 1)
        assert rule(scored(0.5, None), "bleu") is None
        assert rule(scored(0.5, 0.3), "chrf") is None
        assert rule(scored(0.0, 0.3), "bleu") == (1, 0)  # a score of 0 is a score


def test_filters_count_for_all_rules_but_unfiltered() -> None:
    utterance = scored(0.6, 0.9, 0.2, 0.7, 0.1, invalid=(1, 4))
    assert best_worst(utterance, "bleu") == (3, 2)
    assert unfiltered(utterance, "bleu") == (1, 4)
    assert any_two(utterance, "bleu") == (0, 2)
    alone = scored(0.6, 0.9, invalid=(1,))
    assert (best_worst(alone, "bleu"), unfiltered(alone, "bleu"), any_two(alone, "bleu")) == (None, (1, 0), None)


def test_any_two_are_the_first_two_candidates() -> None:
    assert any_two(scored(0.6, 0.9, 0.2), "bleu") == (1, 0)
    assert any_two(scored(0.9, 0.6, 0.2), "bleu") == (0, 1)
    assert any_two(scored(0.9, 0.6, metric="wer"), "wer") == (1, 0)


def test_a_candidate_without_speech_is_in_no_pair_but_one_of_any_two() -> None:
    silent = candidate(RIGHT, 0.95) | {"finish": "unspoken", "units": None}
    utterances = judge([row(0, 0, candidates=[silent, candidate(RIGHT, 0.9), candidate(WRONG, 0.2)])])
    assert compare(utterances, "bleu", "bleu").gap == pytest.approx([0.7])
    assert compare(utterances, "bleu", "bleu", "unfiltered").gap == pytest.approx([0.7])
    assert compare(utterances, "bleu", "bleu", "any_two").gap == pytest.approx([0.05])


def test_a_label_is_right_if_the_reference_prefers_the_same_candidate() -> None:
    utterances = judge([row(0.9, 0.2), row(0.2, 0.8), row(0.5, 0.5), row(0.9, 0.1, reference=None)])
    found = compare(utterances, "bleu", "bleu")
    assert found.gap == pytest.approx([0.7, 0.6])  # without a gap there is no label, without a reference no judgement
    assert list(found.gain > 0) == [True, False]
    assert found.gain[0] == pytest.approx(1 - 0.23643540225079385)
    assert list(compare(utterances, "wer", "bleu").gain > 0) == [True, False]  # a lower WER is better
    assert compare(utterances, "wer", "bleu").gap == pytest.approx([0.7, 0.6])
    assert list(compare(utterances, "bleu", "chrf").gain > 0) == [True, False]
    assert list(compare(utterances, "bleu", "asr_bleu").gain) == []


def test_the_gain_is_the_preference_of_the_judge() -> None:
    utterances = [scored(0.9, 0.2, judged=(0.5, 0.75)), scored(0.1, 0.2, judged=(0.25, 0.75)), scored(0.1, 0.2)]
    found = compare(utterances, "bleu", "bleu")
    assert found.gap == pytest.approx([0.7, 0.1])
    assert list(found.gain) == [-0.25, 0.5]
    alone = compare([scored(0.9, judged=(0.5,)), *utterances], "bleu", "bleu")
    assert list(alone.gap) == list(found.gap)


def test_a_label_counts_only_if_the_judge_scored_both_candidates() -> None:
    judged, missing = ScoredCandidate({"bleu": 0.9}, {"bleu": 1.0}, True, True), {}
    for first, second in ((judged.judgements, missing), (missing, judged.judgements)):
        candidates = [
            ScoredCandidate({"bleu": 0.9}, first, True, True),
            ScoredCandidate({"bleu": 0.1}, second, True, True),
        ]
        assert list(compare([ScoredUtterance("u", "fr-en", candidates)], "bleu", "bleu").gap) == []


def test_transcripts_are_a_judge_of_their_own() -> None:
    utterances = judge([row(0.9, 0.2)], {("u", "en", 0): "The boat!", ("u", "en", 1): "the train leaves at nine"})
    assert list(compare(utterances, "bleu", "asr_bleu").gain > 0) == [False]


def test_accuracy_and_gain_are_measured_with_their_intervals() -> None:
    gain = [0.5] * 30 + [-0.25] * 10 + [0.0] * 4
    found = measure(comparisons([0.3] * 44 + [0.9], [*gain, 1.0]), np.array([True] * 44 + [False]))
    assert (found["n"], found["ties"], found["accuracy"]) == (40, 4, 0.75)
    assert found["gain"] == pytest.approx((30 * 0.5 - 10 * 0.25) / 44)
    right, decided = np.array(gain) > 0, np.array(gain) != 0
    accuracy, mean = bootstrap.estimates([bootstrap.quotient(right, decided), bootstrap.mean(gain)])
    assert found["ci"] == [accuracy.low, accuracy.high] and found["gain_ci"] == [mean.low, mean.high]
    assert 0.55 < accuracy.low < 0.75 < accuracy.high < 0.95


def test_without_a_decided_label_there_are_only_counts() -> None:
    nothing = {"accuracy": None, "ci": None, "gain": None, "gain_ci": None}
    assert measure(comparisons([0.3, 0.3], [0.0, 0.0]), np.array([True, True])) == {"n": 0, "ties": 2, **nothing}
    assert measure(comparisons([], []), np.array([], bool)) == {"n": 0, "ties": 0, **nothing}
    assert measure(comparisons([0.3], [-1.0]), np.array([True]))["accuracy"] == 0


def test_the_interval_covers_the_true_accuracy() -> None:
    draw = np.random.default_rng(7)
    inside = 0
    for _ in range(200):
        gain = np.where(draw.random(80) < 0.7, 1.0, -1.0)
        ci = measure(Comparisons(np.ones(80), gain), np.full(80, True))["ci"]
        assert ci
        inside += ci[0] <= 0.7 <= ci[1]
    assert 0.88 <= inside / 200 <= 0.99


@pytest.mark.parametrize(("metric", "edges"), [("bleu", EDGES), ("wer", EDGES), ("mcd", MCD_EDGES)])
def test_a_gap_on_an_edge_is_in_the_bin_above_it(metric: str, edges: list[float]) -> None:
    at = group_by_gap(comparisons([*edges, 9.0]), metric)
    assert [found["gap"] for found in at] == [[low, high] for low, high in zip(edges, [*edges[1:], None], strict=True)]
    assert [found["n"] for found in at] == [1] * (len(edges) - 1) + [2]
    below = group_by_gap(comparisons(list(np.nextafter(edges, -1))), metric)
    assert [found["n"] for found in below] == [1] * (len(edges) - 1) + [0]


def test_each_bin_is_measured_by_its_own_labels() -> None:
    found = group_by_gap(comparisons([0.3, 0.3, 0.3, 0.3, 0.05], [0.5, 0.5, -0.25, 0.0, -1.0]), "bleu")
    assert (found[2]["n"], found[2]["ties"], found[2]["accuracy"]) == (3, 1, pytest.approx(2 / 3))
    assert found[2]["gain"] == pytest.approx(0.1875)
    assert (found[0]["n"], found[0]["accuracy"], found[1]["accuracy"]) == (1, 0.0, None)


@pytest.mark.parametrize(("metric", "deltas"), [("bleu", DELTAS), ("chrf", DELTAS), ("mcd", MCD_DELTAS)])
def test_a_threshold_keeps_the_gaps_above_it_and_not_its_own(metric: str, deltas: list[float]) -> None:
    found = group_by_delta(comparisons(deltas), metric)
    assert [threshold["delta"] for threshold in found] == deltas
    assert [threshold["kept"] for threshold in found] == list(range(len(deltas) - 1, -1, -1))
    assert [threshold["n"] for threshold in found] == [threshold["kept"] for threshold in found]


def test_the_worth_weighs_the_number_of_labels_against_their_accuracy() -> None:
    gap, gain = [0.02] * 60 + [0.3] * 40, [1.0] * 33 + [-1.0] * 27 + [1.0] * 36 + [-1.0] * 4
    found = {threshold["delta"]: threshold for threshold in group_by_delta(comparisons(gap, gain), "bleu")}
    assert found[0.0]["worth"] == pytest.approx(100 * (2 * 0.69 - 1) ** 2)
    assert found[0.05]["worth"] == pytest.approx(40 * 0.8**2)
    assert (found[0.5]["kept"], found[0.5]["worth"]) == (0, 0)
    wrong = group_by_delta(comparisons([0.3] * 10, [-1.0] * 9 + [1.0]), "bleu")[0]
    assert (wrong["accuracy"], wrong["worth"]) == (0.1, 0)
    tied = group_by_delta(comparisons([0.3] * 3, [1.0, 0.0, 0.0]), "bleu")[0]
    assert (tied["kept"], tied["n"], tied["worth"]) == (3, 1, 1)


def test_rules_compare_different_candidates() -> None:
    texts = [candidate("the train leaves", 0.6), candidate(RIGHT, 0.9), candidate(WRONG, 0.2)]
    looping = candidate("nine nine nine", 0.1) | {"units": [1, 2] * 9}
    utterances = judge([row(0, 0, candidates=[*texts, looping])])
    assert list(RULES) == ["best_worst", "unfiltered", "any_two"]
    assert compare(utterances, "bleu", "bleu").gap == pytest.approx([0.7])
    assert compare(utterances, "bleu", "bleu", "best_worst").gap == pytest.approx([0.7])
    assert compare(utterances, "bleu", "bleu", "unfiltered").gap == pytest.approx([0.8])
    assert compare(utterances, "bleu", "bleu", "any_two").gap == pytest.approx([0.3])


def two(utt_id: str, **scores: tuple[float | None, float]) -> ScoredUtterance:
    """Return an utterance with two candidates and their scores by metric."""
    candidates = [
        ScoredCandidate({metric: pair[index] for metric, pair in scores.items()}, {}, True, True) for index in (0, 1)
    ]
    return ScoredUtterance(utt_id, "fr-en", candidates)


def test_metrics_that_disagree_are_named_with_their_utterances() -> None:
    utterances = [
        two("z", bleu=(0.9, 0.2), chrf=(0.1, 0.6), wer=(0.1, 0.6)),
        two("a", bleu=(0.9, 0.2), chrf=(0.8, 0.6), wer=(0.3, 0.1)),
        two("tie", bleu=(0.5, 0.5), chrf=(0.8, 0.6), wer=(0.3, 0.3)),
        two("unscored", bleu=(0.9, 0.2), chrf=(None, 0.6), wer=(0.6, 0.1)),
    ]
    assert measure_agreement(utterances, ["bleu", "chrf", "wer"]) == [
        {"metrics": ["bleu", "chrf"], "n": 2, "agree": 1, "differ": ["z"]},
        {"metrics": ["bleu", "wer"], "n": 3, "agree": 1, "differ": ["a", "unscored"]},
        {"metrics": ["chrf", "wer"], "n": 2, "agree": 0, "differ": ["a", "z"]},
    ]
    assert measure_agreement([], ["bleu"]) == []


def test_at_most_ten_utterances_are_named_and_the_first_two_candidates_decide() -> None:
    utterances = [two(f"u{number:02}", bleu=(0.9, 0.2), wer=(0.9, 0.2)) for number in range(12, -1, -1)]
    [found] = measure_agreement(utterances, ["bleu", "wer"])
    assert (found["n"], found["agree"]) == (13, 0)
    assert found["differ"] == [f"u{number:02}" for number in range(10)]
    third = ScoredCandidate({"bleu": 1.0, "wer": 1.0}, {}, True, True)
    same = two("u", bleu=(0.9, 0.2), wer=(0.1, 0.2))
    extended = ScoredUtterance("u", "fr-en", [*same.candidates, third])
    assert measure_agreement([extended], ["bleu", "wer"])[0]["agree"] == 1
    assert measure_agreement([extended], ["bleu", "wer"], "best_worst")[0]["agree"] == 0


def test_labels_of_many_rows_fall_into_the_bin_of_their_gap() -> None:
    found = group_by_gap(compare(judge([*rows(30, 10, 0.4), row(0.55, 0.5)]), "bleu", "bleu"), "bleu")
    assert [one["n"] for one in found] == [1, 0, 0, 40, 0, 0]
    assert found[3]["accuracy"] == 0.75
