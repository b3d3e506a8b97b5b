"""Sentence chrF2 by sacrebleu.

Definition: the F-score of character n-grams up to 6, with recall weighted twice as high as precision (Popović, 2015).
    Spaces are removed. Two inflections of a word match in part. An empty hypothesis or reference scores 0.
Direction: up.
Scale: 0..1 (sacrebleu's 0..100, divided by 100).
Source: `sacrebleu.CHRF()`, with its defaults (character order 6, word order 0, beta 2).
"""

from __future__ import annotations

from functools import cache, partial

import sacrebleu

from factory.metrics.base import Metric


@cache
def _chrf(word_order: int) -> sacrebleu.CHRF:
    chrf = sacrebleu.CHRF(word_order=word_order)
    chrf.sentence_score("a", ["a"])  # sacrebleu has no signature before its first score
    return chrf


def signature(lang: str, word_order: int = 0) -> str:
    """Return sacrebleu's signature; `word_order` is the longest word n-gram that counts as well."""
    return str(_chrf(word_order).get_signature())


def score(hypothesis: str, reference: str, lang: str, word_order: int = 0) -> float:
    """Compute sentence chrF2.

    Args:
        hypothesis: The text to score.
        reference: The text to compare with.
        lang: Not used: characters are the same for every language.
        word_order: The longest word n-gram that counts as well.

    Returns:
        The score, 0..1.
    """
    return float(_chrf(word_order).sentence_score(hypothesis, [reference]).score / 100)


def make_metric(name: str, word_order: int) -> Metric:
    """Return chrF2 with word n-grams up to `word_order` as a metric of this name."""
    return Metric(
        name, "up", "0..1", 0.0, partial(signature, word_order=word_order), partial(score, word_order=word_order)
    )


METRIC = make_metric("chrf", 0)
