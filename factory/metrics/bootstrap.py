"""Confidence intervals and paired tests by bootstrap resampling (Koehn, 2004), over sentences.

A corpus score is a function of summed sentence statistics: n-gram counts for BLEU and chrF (sacrebleu's, so that a corpus BLEU is
resampled and not a mean of sentence BLEUs), errors and words for WER, a value and a one for a mean. Resamples are drawn as sacrebleu
draws them, so that with the same seed its `PairedTest` gives the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import sacrebleu

from factory.metrics import wer

RESAMPLES, SEED = 1_000, 12_345


class Estimate(NamedTuple):
    """A value with its 95 % bootstrap interval (percentiles)."""

    point: float
    low: float
    high: float


class Comparison(NamedTuple):
    """A system against a baseline on the same sentences; `difference` is system minus baseline, `p` two-sided."""

    system: Estimate
    baseline: Estimate
    difference: Estimate
    p: float


@dataclass(frozen=True)
class Sample:
    """What a corpus score is computed from: `statistics` (sentences, k), and the score of their sum (k,)."""

    statistics: np.ndarray
    score: Callable[[np.ndarray], float]
    signature: str

    def point(self) -> float:
        """Return the score of the whole corpus."""
        return self.score(self.statistics.sum(axis=0))


def corpus(
    metric: Literal["bleu", "chrf", "wer"], hypotheses: Sequence[str], references: Sequence[str], lang: str
) -> Sample:
    """Return the statistics of corpus BLEU or chrF2 (0..100, sacrebleu's defaults) or WER (errors per word, normalised text)."""
    if len(hypotheses) != len(references) or not references:
        raise ValueError(
            f"need one hypothesis for each reference and at least one; got {len(hypotheses)} and {len(references)}"
        )
    if metric == "wer":
        return Sample(wer.corpus_counts(hypotheses, references, lang), _quotient, wer.signature(lang))
    scorer = {"bleu": sacrebleu.BLEU, "chrf": sacrebleu.CHRF}[metric]()
    statistics = np.array(scorer._extract_corpus_statistics(hypotheses, [references]), dtype=np.float64)
    return Sample(
        statistics, lambda total: scorer._compute_score_from_stats(total.tolist()).score, str(scorer.get_signature())
    )


def mean(values: Sequence[float] | np.ndarray, signature: str = "") -> Sample:
    """Return the statistics of a mean of sentence scores (MOS, METEOR, a share of ones and zeros)."""
    if not len(values):
        raise ValueError("no values: the mean of nothing has no interval")
    return quotient(np.asarray(values), np.ones(len(values)), signature)


def quotient(parts: np.ndarray, wholes: np.ndarray, signature: str = "") -> Sample:
    """Return the statistics of a sum (sentences,) over another one: a share of those that count. 0 where nothing counts."""
    return Sample(np.stack([parts, wholes], axis=1).astype(np.float64), _quotient, signature)


def averaged(samples: Sequence[Sample]) -> Sample:
    """Return a sample whose score is the mean of theirs: systems that differ in their seed alone, on the same sentences."""
    if len({len(sample.statistics) for sample in samples}) != 1:
        raise ValueError(f"an average needs the same sentences; got {[len(sample.statistics) for sample in samples]}")
    ends = np.cumsum([sample.statistics.shape[1] for sample in samples])[:-1]

    def score(total: np.ndarray) -> float:
        """Return the mean of the scores."""
        return float(np.mean([sample.score(part) for sample, part in zip(samples, np.split(total, ends), strict=True)]))

    return Sample(np.concatenate([sample.statistics for sample in samples], axis=1), score, samples[0].signature)


def _quotient(total: np.ndarray) -> float:
    return float(total[0] / total[1]) if total[1] else 0.0


def estimate(sample: Sample, resamples: int = RESAMPLES, seed: int = SEED) -> Estimate:
    """Return the corpus score and its interval."""
    return estimates([sample], resamples, seed)[0]


def estimates(samples: Sequence[Sample], resamples: int = RESAMPLES, seed: int = SEED) -> list[Estimate]:
    """Return several scores of the same sentences, each with its interval; the sentences are drawn once for all of them."""
    draws = _draws(len(samples[0].statistics), resamples, seed)
    return [_interval(sample.point(), _resampled(sample, draws)) for sample in samples]


def compare(system: Sample, baseline: Sample, resamples: int = RESAMPLES, seed: int = SEED) -> Comparison:
    """Resample two systems together, the same sentences for both.

    p is sacrebleu's: how often the absolute difference strays from its own mean by more than the observed difference, with one added;
    and 1 where the systems score the same, for which that count would be empty.
    """
    if len(system.statistics) != len(baseline.statistics):
        raise ValueError(
            f"a paired test needs the same sentences; got {len(system.statistics)} and {len(baseline.statistics)}"
        )
    draws = _draws(len(system.statistics), resamples, seed)
    ours, theirs = _resampled(system, draws), _resampled(baseline, draws)
    difference = system.point() - baseline.point()
    gaps = np.abs(ours - theirs)
    p = (int((gaps - gaps.mean() > abs(difference)).sum()) + 1) / (resamples + 1) if difference else 1.0
    return Comparison(
        _interval(system.point(), ours), _interval(baseline.point(), theirs), _interval(difference, ours - theirs), p
    )


def _draws(sentences: int, resamples: int, seed: int) -> np.ndarray:
    """Return (resamples, sentences) how often each sentence was drawn."""
    indices = np.random.default_rng(seed).integers(
        sentences, size=(resamples, sentences)
    )  # `choice` draws the same, five times as slowly
    draws = np.empty((resamples, sentences))  # floats, as what they are multiplied with
    for place, drawn in enumerate(indices):
        draws[place] = np.bincount(drawn, minlength=sentences)
    return draws


def _resampled(sample: Sample, draws: np.ndarray) -> np.ndarray:
    return np.array([sample.score(total) for total in draws @ sample.statistics])


def _interval(point: float, resampled: np.ndarray) -> Estimate:
    low, high = np.quantile(resampled, (0.025, 0.975))
    return Estimate(point, float(low), float(high))
