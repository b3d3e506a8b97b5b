"""The threshold δ that an audit recommends."""

from __future__ import annotations

from pathlib import Path

import pytest

from factory.audit.delta import MIN_LABELS, NoDelta, choose_delta, recommend, recommend_threshold
from factory.audit.result import Threshold
from schemas.errors import RoundtripError
from tests.audit.rows import judge, row, rows, scored


def threshold(delta: float, n: int, worth: float, low: float = 0.6, accuracy: float = 0.8) -> Threshold:
    return {
        "delta": delta,
        "kept": n,
        "worth": worth,
        "n": n,
        "ties": 0,
        "accuracy": accuracy,
        "ci": [low, 0.9],
        "gain": 0.1,
        "gain_ci": [0.0, 0.2],
    }


def test_the_threshold_with_the_highest_worth_is_recommended_with_its_neighbours() -> None:
    thresholds = [threshold(0.0, 90, 10), threshold(0.1, 60, 30), threshold(0.2, 40, 20), threshold(0.3, 30, 5)]
    assert recommend_threshold(thresholds, "bleu") == {
        "delta": 0.1,
        "reason": "above 0.1, 0.80 [0.60, 0.90] of 60 labels are right by the reference, worth 30 error-free labels "
        "(at 0: 90 labels, 0.80 right, worth 10; at 0.2: 40 labels, 0.80 right, worth 20)",
    }
    last = recommend_threshold(thresholds[:2], "bleu")["reason"]
    assert last.endswith("worth 30 error-free labels (at 0: 90 labels, 0.80 right, worth 10)")
    first = recommend_threshold(thresholds[1:], "bleu")["reason"]
    assert first.endswith("worth 30 error-free labels (at 0.2: 40 labels, 0.80 right, worth 20)")
    assert recommend_threshold(thresholds[1:2], "bleu")["reason"].endswith("worth 30 error-free labels")


def test_only_the_thresholds_next_to_the_recommended_one_are_described() -> None:
    thresholds = [threshold(delta, 30, 50 if delta == 0.2 else 5) for delta in (0.0, 0.1, 0.2, 0.3, 0.4)]
    neighbours = "(at 0.1: 30 labels, 0.80 right, worth 5; at 0.3: 30 labels, 0.80 right, worth 5)"
    assert recommend_threshold(thresholds, "bleu")["reason"].endswith(f"worth 50 error-free labels {neighbours}")


def test_of_equal_worth_the_lowest_threshold_is_recommended() -> None:
    equal = [threshold(delta, 30, 10) for delta in (0.0, 0.1, 0.2)]
    assert recommend_threshold(equal, "bleu")["delta"] == 0.0
    assert recommend_threshold(equal[::-1], "bleu")["delta"] == 0.0


def test_a_threshold_needs_twenty_labels() -> None:
    assert recommend_threshold([threshold(0.0, 20, 5), threshold(0.1, 19, 30)], "bleu")["delta"] == 0.0
    assert recommend_threshold([threshold(0.0, 19, 5), threshold(0.1, 7, 30)], "bleu") == {
        "delta": None,
        "reason": "19 labels can be checked against a reference; a δ for bleu needs at least 20",
    }
    assert recommend_threshold([], "mcd")["reason"].startswith("0 labels can be checked")
    text = (Path(__file__).resolve().parents[2] / "docs/report.md").read_text("utf-8")
    assert f"at least {MIN_LABELS} labels" in " ".join(text.split())


@pytest.mark.parametrize(("low", "delta"), [(0.51, 0.1), (0.5, None), (0.49, None)])
def test_none_is_recommended_if_the_interval_of_its_accuracy_includes_one_half(low: float, delta: float | None) -> None:
    found = recommend_threshold([threshold(0.0, 50, 1, low=0.9), threshold(0.1, 30, 9, low=low)], "bleu")
    assert found["delta"] == delta  # the best threshold decides, not another one whose labels are surely not random
    if delta is None:
        words = f"above 0.1, 0.80 [{low:.2f}, 0.90] of 30 labels are right by the reference"
        assert found["reason"] == f"labels by bleu may be random: {words}"


def test_the_recommended_delta_excludes_the_noise_below_it() -> None:
    noise = [row(*((0.52, 0.5) if index % 2 else (0.5, 0.52)), utt_id=f"noise{index}") for index in range(60)]
    found = recommend(judge(rows(36, 4) + noise), "bleu")
    assert found["delta"] == 0.05
    assert "above 0.05, 0.90 [" in found["reason"] and "at 0: 100 labels" in found["reason"]
    assert choose_delta(judge(rows(36, 4) + noise), "bleu") == 0.05


def test_the_judge_is_bleu_unless_another_one_is_named() -> None:
    utterances = judge(rows(30, 0))
    for utterance in utterances:
        for one in utterance.candidates:
            del one.judgements["chrf"]
    assert recommend(utterances, "bleu")["delta"] == 0.0
    assert recommend(utterances, "bleu", "chrf")["delta"] is None


def test_the_thresholds_are_those_of_the_metric() -> None:
    noise = [scored(6.5, 7.1, metric="mcd", judged=(float(index % 2), 0.5)) for index in range(60)]
    labels = [scored(5.0, 6.4, metric="mcd", judged=(1.0, 0.5)) for _ in range(30)]
    assert recommend([*noise, *labels], "mcd")["delta"] == 0.75


def test_without_a_recommendation_a_number_or_more_rows_are_asked_for() -> None:
    few = judge(rows(5, 1))
    message = (
        "select.delta is auto, but 6 labels can be checked against a reference; a δ for bleu needs at least 20; "
        "set select.delta to a number, or add rows to corpus.dev"
    )
    with pytest.raises(NoDelta) as raised:
        choose_delta(few, "bleu")
    assert str(raised.value) == message and isinstance(raised.value, RoundtripError)
    with pytest.raises(NoDelta, match="labels by bleu may be random"):
        choose_delta(judge(rows(20, 20)), "bleu")
