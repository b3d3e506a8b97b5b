"""Sentence chrF2 (Popović, 2015) by sacrebleu, divided by 100: character n-grams up to 6, so inflections score in part.

Text is scored as it is given, without its spaces. An empty side scores 0.
"""

from __future__ import annotations

from functools import cache

import sacrebleu

from factory.metrics.base import Metric


@cache
def _chrf() -> sacrebleu.CHRF:
    chrf = sacrebleu.CHRF()
    chrf.sentence_score("a", ["a"])  # sacrebleu knows its signature only after a first score
    return chrf


def signature(lang: str) -> str:
    """Return sacrebleu's signature."""
    return str(_chrf().get_signature())


def score(hypothesis: str, reference: str, lang: str) -> float:
    """Return sentence chrF, 0..1."""
    return _chrf().sentence_score(hypothesis, [reference]).score / 100


METRIC = Metric("chrf", "up", "0..1", 0.0, signature, score)
