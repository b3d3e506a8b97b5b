"""The tripwire against reward hacking."""

from __future__ import annotations

from typing import Any, cast

import pytest

from factory.report.summary_types import EvaluationScores
from factory.report.tripwire import find_reward_hacking


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
