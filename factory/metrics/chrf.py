"""Sentence chrF2 by sacrebleu.

Definition: the F-score of character n-grams up to 6, with recall weighted twice as high as precision (Popović, 2015).
    Spaces are removed. Two inflections of a word match in part. An empty hypothesis or reference scores 0.
Direction: up.
Scale: 0..1 (sacrebleu's 0..100, divided by 100).
Source: `sacrebleu.CHRF()`, with its defaults (character order 6, word order 0, beta 2).
"""

from __future__ import annotations

from functools import cache

import sacrebleu

from factory.metrics.base import Metric


@cache
def _chrf() -> sacrebleu.CHRF:
    chrf = sacrebleu.CHRF()
    chrf.sentence_score("a", ["a"])  # sacrebleu has no signature before its first score
    return chrf


def signature(lang: str) -> str:
    """Return sacrebleu's signature."""
    return str(_chrf().get_signature())


def score(hypothesis: str, reference: str, lang: str) -> float:
    """Compute sentence chrF2.

    Args:
        hypothesis: The text to score.
        reference: The text to compare with.
        lang: Not used: characters are the same for every language.

    Returns:
        The score, 0..1.
    """
    return float(_chrf().sentence_score(hypothesis, [reference]).score / 100)


METRIC = Metric("chrf", "up", "0..1", 0.0, signature, score)
