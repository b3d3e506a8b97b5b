"""The contract of a metric: a name, a direction, a scale, a signature and a score of one sentence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Metric:
    """A score of one hypothesis against one reference.

    Attributes:
        name: The metric's column in `schemas.datasets.SCORES`.
        direction: `up` if a higher score is better, `down` if a lower score is better.
        scale: The range of the scores and their unit, if they have one; a text for readers.
        worst: The score of a hypothesis that is missing because the output was malformed; None on an open scale.
        signature: Maps a language to the implementation and to every setting that changes a number. Scores are
            comparable only if their signatures are equal.
        score: Maps (hypothesis, reference, language) to the score. Hypothesis and reference are texts; for a metric
            with `audio` they are waves (samples,) of floats at `schemas.audio.SAMPLE_RATE`; for a metric `by_policy`
            they are the log-probability of the source text given the candidate (nats), and its number of tokens.
        audio: True if the metric compares waves.
        by_policy: True if the policy is the judge: the translator actor scores candidates, without a back-translation.
    """

    name: str
    direction: Literal["up", "down"]
    scale: str
    worst: float | None
    signature: Callable[[str], str]
    score: Callable[[Any, Any, str], float]
    audio: bool = False
    by_policy: bool = False

    @property
    def compares_texts(self) -> bool:
        """Return whether the metric compares two texts."""
        return not self.audio and not self.by_policy

    def advantage(self, score: float, other: float) -> float:
        """Return how much better `score` is than `other`, in units of the scale; negative if it is worse."""
        return score - other if self.direction == "up" else other - score
