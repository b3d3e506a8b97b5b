"""Word error rate by jiwer, over normalised text (`factory.metrics.normalise`) on both sides.

Errors (substitutions, deletions, insertions) per word of the reference: 0 is perfect, an empty hypothesis scores 1. A sentence scores no
more than 1, so that many words too many are not worse than none at all; a corpus may. A reference without words scores 0 against silence
and 1 against anything else.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version

import jiwer
import numpy as np

from factory.metrics import normalise
from factory.metrics.base import Metric


def signature(lang: str) -> str:
    """Return jiwer's version and the normaliser's signature."""
    return f"jiwer:{version('jiwer')}|{normalise.signature(lang)}"


def counts(hypothesis: str, reference: str, lang: str) -> tuple[int, int]:
    """Return the number of word errors and of reference words, after normalisation."""
    told, expected = normalise.text(hypothesis, lang), normalise.text(reference, lang)
    if not expected:
        return len(told.split()), 0
    if not told:
        return len(expected.split()), len(expected.split())
    found = jiwer.process_words(expected, told)
    return found.substitutions + found.deletions + found.insertions, found.hits + found.substitutions + found.deletions


def score(hypothesis: str, reference: str, lang: str) -> float:
    """Return the word error rate of one sentence, 0..1."""
    errors, words = counts(hypothesis, reference, lang)
    return min(1.0, errors / words) if words else float(errors > 0)


def corpus_counts(hypotheses: Sequence[str], references: Sequence[str], lang: str) -> np.ndarray:
    """Return (sentences, 2) errors and reference words: their sums' quotient is the corpus WER."""
    return np.array(
        [counts(told, expected, lang) for told, expected in zip(hypotheses, references, strict=True)], dtype=np.float64
    )


METRIC = Metric(
    "wer", "down", "0..1 (1: as many errors as words, or more)", 1.0, lambda lang: f"{signature(lang)}|max:1", score
)
