"""Word error rate by jiwer, over normalised texts.

Definition: substitutions, deletions and insertions, divided by the number of words in the reference. Both texts go
    through `factory.metrics.normalise` first. The rate of a sentence is at most 1, so that a hypothesis with many extra
    words is no worse than an empty one; the rate of a corpus has no such limit. If the reference has no words, an empty
    hypothesis scores 0 and any other scores 1.
Direction: down.
Scale: 0..1; 0 is perfect, 1 means as many errors as words, or more.
Source: `jiwer.process_words`.
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


def count_errors(hypothesis: str, reference: str, lang: str) -> tuple[int, int]:
    """Count word errors after normalisation.

    Args:
        hypothesis: The text to score.
        reference: The text to compare with.
        lang: The language of both texts, which selects the normaliser.

    Returns:
        The number of errors, and the number of words in the reference.
    """
    hypothesis, reference = normalise.text(hypothesis, lang), normalise.text(reference, lang)
    words = len(reference.split())
    if not words:  # jiwer refuses an empty reference
        return len(hypothesis.split()), 0
    alignment = jiwer.process_words(reference, hypothesis)
    return alignment.substitutions + alignment.deletions + alignment.insertions, words


def score(hypothesis: str, reference: str, lang: str) -> float:
    """Compute the word error rate of one sentence.

    Args:
        hypothesis: The text to score.
        reference: The text to compare with.
        lang: The language of both texts, which selects the normaliser.

    Returns:
        The rate, 0..1.
    """
    errors, words = count_errors(hypothesis, reference, lang)
    return min(1.0, errors / words) if words else float(errors > 0)


def count_corpus_errors(hypotheses: Sequence[str], references: Sequence[str], lang: str) -> np.ndarray:
    """Count the word errors of every sentence.

    Args:
        hypotheses: The texts to score.
        references: The texts to compare with, in the same order.
        lang: The language of all texts.

    Returns:
        An array (sentences, 2) of errors and reference words. The quotient of the two sums is the corpus WER.
    """
    pairs = zip(hypotheses, references, strict=True)
    return np.array([count_errors(hypothesis, reference, lang) for hypothesis, reference in pairs], dtype=np.float64)


def _sentence_signature(lang: str) -> str:
    return f"{signature(lang)}|max:1"


METRIC = Metric("wer", "down", "0..1 (1: as many errors as words, or more)", 1.0, _sentence_signature, score)
