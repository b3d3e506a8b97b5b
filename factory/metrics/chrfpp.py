"""Sentence chrF2++ by sacrebleu.

Definition: chrF2 (`factory.metrics.chrf`) with word n-grams up to 2 beside the character n-grams (Popović, 2017).
    It notices the order of words, which chrF hardly does. Round-trip rewards for text translation use it (arXiv
    2601.12535).
Direction: up.
Scale: 0..1 (sacrebleu's 0..100, divided by 100).
Source: `sacrebleu.CHRF(word_order=2)`.
"""

from __future__ import annotations

from factory.metrics.chrf import make_metric

METRIC = make_metric("chrfpp", 2)
