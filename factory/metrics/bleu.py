"""Sentence BLEU by sacrebleu.

Definition: the geometric mean of the precisions of word n-grams up to 4, times the brevity penalty (Papineni et al.,
    2002). The effective order leaves out n-grams that are longer than the sentence; without it an exact match of two
    words would score 0. Case and punctuation count. An empty hypothesis or reference scores 0.
Direction: up.
Scale: 0..1 (sacrebleu's 0..100, divided by 100).
Source: `sacrebleu.BLEU(effective_order=True)`, with its default tokenizer (13a) and exponential smoothing.
"""

from __future__ import annotations

from functools import cache

import sacrebleu

from factory.metrics.base import Metric


@cache
def _bleu() -> sacrebleu.BLEU:
    bleu = sacrebleu.BLEU(effective_order=True)
    bleu.sentence_score("a", ["a"])  # sacrebleu has no signature before its first score
    return bleu


def signature(lang: str) -> str:
    """Return sacrebleu's signature."""
    return str(_bleu().get_signature())


def score(hypothesis: str, reference: str, lang: str) -> float:
    """Compute sentence BLEU.

    Args:
        hypothesis: The text to score.
        reference: The text to compare with.
        lang: Not used: the tokenizer is the same for every language.

    Returns:
        The score, 0..1.
    """
    return _bleu().sentence_score(hypothesis, [reference]).score / 100


METRIC = Metric("bleu", "up", "0..1", 0.0, signature, score)
