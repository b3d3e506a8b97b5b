"""What a metric is: a name, the direction that is better, a scale, a signature and a score of one sentence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Metric:
    """A sentence-level score of a hypothesis against one reference.

    `worst` is the score of a hypothesis that does not exist (a malformed way back), None where the scale has no end.
    `signature(lang)` names the implementation and every setting that changes a number; scores compare only under one signature.
    `score(hypothesis, reference, lang)` takes strings, or for a metric of `audio` two float waves at 16 kHz.
    """

    name: str
    direction: Literal["up", "down"]
    scale: str
    worst: float | None
    signature: Callable[[str], str]
    score: Callable[[Any, Any, str], float]
    audio: bool = False

    def advantage(self, one: float, two: float) -> float:
        """Return by how much the first score is better than the second; negative where it is worse."""
        return one - two if self.direction == "up" else two - one
