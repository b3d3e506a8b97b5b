"""Sentence BLEU (Papineni et al., 2002) by sacrebleu, divided by 100.

Effective order: n-grams longer than the sentence do not count, so that an exact match of two words scores 1 and not 0.
Text is scored as it is given: case and punctuation count. An empty side scores 0.
"""

from __future__ import annotations

from functools import cache

import sacrebleu

from factory.metrics.base import Metric


@cache
def _bleu() -> sacrebleu.BLEU:
    bleu = sacrebleu.BLEU(effective_order=True)
    bleu.sentence_score("a", ["a"])  # sacrebleu knows its signature only after a first score
    return bleu


def signature(lang: str) -> str:
    """Return sacrebleu's signature."""
    return str(_bleu().get_signature())


def score(hypothesis: str, reference: str, lang: str) -> float:
    """Return sentence BLEU, 0..1."""
    return _bleu().sentence_score(hypothesis, [reference]).score / 100


METRIC = Metric("bleu", "up", "0..1", 0.0, signature, score)
