"""The tripwire: signs of reward hacking, and of a policy that writes the same for everything.

Reward hacking: back-translations get better while translations get worse by their reference.
"""

from __future__ import annotations

from collections.abc import Mapping

from factory.report.summary_types import BeforeAfter, EvaluationScores, Score

LEAST_DISTINCT = 0.5
"""A collapse: fewer different translations than this share of those before; in round 0, of the utterances."""
MOST_REPETITION = 0.5
"""A collapse: a larger mean share of unit trigrams repeats itself, and a larger one than before."""


def find_reward_hacking(scores: EvaluationScores) -> list[str]:
    """Return a sentence for each direction in which the round-trip score rises and a score against references falls.

    At least one of the two changes must be significant (its 95 % interval excludes 0): two small changes of opposite
    sign are chance. So is a fall of ASR-BLEU that is not significant, where S2T BLEU rises significantly.
    """
    references: Mapping[str, dict[str, Score | None]] = {
        "S2T BLEU": scores["s2t_bleu"],
        "ASR-BLEU": scores["asr_bleu"],
    }
    sentences = []
    for direction, trip in scores["round_trip"].items():
        translates = _rises(scores["s2t_bleu"][direction])
        for label, by_direction in references.items():
            reference = by_direction[direction]
            if trip and reference and _opposes(trip, reference) and (_falls(reference) or not translates):
                sentences.append(
                    f"{direction}: the round trip rises by {trip['difference']:.2f} BLEU while {label} falls by "
                    f"{-reference['difference']:.2f}: the policy learns to be back-translated, not to translate"
                )
    return sentences


def find_collapse(scores: EvaluationScores) -> list[str]:
    """Return a sentence for each direction whose translations become few, or whose speech repeats itself."""
    sentences = []
    for direction, share in scores.get("distinct", {}).items():
        before = 1.0 if share["before"] is None else share["before"]
        if share["after"] is not None and share["after"] < LEAST_DISTINCT * before:
            sentences.append(
                f"{direction}: only {share['after']:.0%} of the translations differ{_was(share)}: collapse"
            )
    for direction, share in scores.get("repetition", {}).items():
        if share["after"] is not None and share["after"] > max(MOST_REPETITION, share["before"] or 0.0):
            sentences.append(f"{direction}: {share['after']:.0%} of the speech repeats itself{_was(share)}: collapse")
    return sentences


def _was(share: BeforeAfter) -> str:
    return "" if share["before"] is None else f" ({share['before']:.0%} before)"


def _opposes(trip: Score, reference: Score) -> bool:
    """Return True if the round trip rises and the reference score falls, one of them significantly."""
    if "difference" not in trip or "difference" not in reference:
        return False
    return trip["difference"] > 0 > reference["difference"] and (_rises(trip) or _falls(reference))


def _rises(score: Score | None) -> bool:
    """Return True if a score rises significantly."""
    return score is not None and "difference" in score and score["difference_ci"][0] > 0


def _falls(score: Score) -> bool:
    """Return True if a score falls significantly."""
    return "difference" in score and score["difference_ci"][1] < 0
