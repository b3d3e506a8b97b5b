"""The tripwire against reward hacking."""

from __future__ import annotations

from typing import Any, cast

import pytest

from factory.report.summary_types import EvaluationScores
from factory.report.tripwire import find_collapse, find_reward_hacking


def change(difference: float, low: float, high: float) -> dict[str, Any]:
    return {"difference": difference, "difference_ci": [low, high]}


def find(trip: Any, text: Any, speech: Any = None) -> list[str]:
    scores = {"round_trip": {"fr-en": trip}, "s2t_bleu": {"fr-en": text}, "asr_bleu": {"fr-en": speech}}
    return find_reward_hacking(cast(EvaluationScores, scores))


@pytest.mark.parametrize(
    ("trip", "reference", "trips"),
    [
        (change(3.0, 1.0, 5.0), change(-1.0, -3.0, 1.0), True),  # the rise is significant
        (change(1.0, -1.0, 3.0), change(-2.0, -3.0, -1.0), True),  # the fall is significant
        (change(1.0, -1.0, 3.0), change(-1.0, -3.0, 1.0), False),  # both may be chance
        (change(1.0, 0.0, 3.0), change(-1.0, -3.0, 0.0), False),  # an interval that includes 0
        (change(3.0, 1.0, 5.0), change(1.0, -1.0, 3.0), False),  # both rise
        (change(3.0, 1.0, 5.0), change(0.0, -1.0, 1.0), False),
        (change(0.0, 0.1, 1.0), change(-1.0, -3.0, -0.5), False),
        (change(-3.0, -5.0, -1.0), change(-1.0, -3.0, 1.0), False),  # both fall
        (None, change(-2.0, -3.0, -1.0), False),
        (change(3.0, 1.0, 5.0), None, False),
        ({"after": 3.0}, change(-2.0, -3.0, -1.0), False),  # round 0 has nothing to compare with
        (change(3.0, 1.0, 5.0), {"after": 3.0}, False),
    ],
)
def test_it_needs_a_rise_of_the_round_trip_and_a_fall_against_references(
    trip: Any, reference: Any, trips: bool
) -> None:
    words = "the policy learns to be back-translated, not to translate"
    rise = f"fr-en: the round trip rises by {trip['difference']:.2f} BLEU" if trips else ""
    fall = f"falls by {-reference['difference']:.2f}" if trips else ""
    assert find(trip, reference) == ([f"{rise} while S2T BLEU {fall}: {words}"] if trips else [])
    assert find(trip, None, reference) == ([f"{rise} while ASR-BLEU {fall}: {words}"] if trips else [])


@pytest.mark.parametrize(
    ("text", "speech", "labels"),
    [
        (change(2.0, 1.0, 3.0), change(-1.0, -3.0, 1.0), []),  # 50 heard utterances say nothing against 300 read ones
        (change(2.0, 1.0, 3.0), change(-2.0, -3.0, -1.0), ["ASR-BLEU"]),
        (change(2.0, 0.0, 4.0), change(-1.0, -3.0, 1.0), ["ASR-BLEU"]),
        (change(-2.0, -4.0, 0.5), change(-1.0, -3.0, 1.0), ["S2T BLEU", "ASR-BLEU"]),
    ],
)
def test_an_undecided_fall_of_speech_is_chance_where_texts_get_better(
    text: Any, speech: Any, labels: list[str]
) -> None:
    sentences = find(change(3.0, 1.0, 5.0), text, speech)
    assert [sentence.partition(" while ")[2].partition(" falls")[0] for sentence in sentences] == labels


def shares(before: float | None, after: float | None) -> dict[str, Any]:
    return {"fr-en": {"before": before, "after": after}}


@pytest.mark.parametrize(
    ("distinct", "repetition", "words"),
    [
        (shares(0.9, 0.5), shares(0.1, 0.4), []),
        (shares(0.9, 0.44), shares(0.1, 0.1), ["only 44% of the translations differ (90% before)"]),
        (shares(None, 0.49), shares(None, 0.51), ["only 49% of the translations", "51% of the speech repeats itself:"]),
        (shares(0.4, 0.3), shares(0.7, 0.6), []),  # bad before, and better or nearly as good now
        (shares(0.4, 0.3), shares(0.6, 0.7), ["70% of the speech repeats itself (60% before)"]),
        (shares(None, None), shares(None, None), []),
    ],
)
def test_a_collapse_is_found(distinct: Any, repetition: Any, words: list[str]) -> None:
    sentences = find_collapse({"distinct": distinct, "repetition": repetition})  # type: ignore[typeddict-item]
    assert len(sentences) == len(words)
    assert all(word in sentence for word, sentence in zip(words, sentences, strict=True))


def test_a_round_of_before_it_was_measured_has_no_collapse() -> None:
    assert find_collapse({}) == []  # type: ignore[typeddict-item]
