"""Confidence intervals and paired tests of corpus scores, by bootstrap resampling of sentences (Koehn, 2004).

A corpus score is a function of summed sentence statistics: the n-gram counts of BLEU and chrF, the errors and words of
WER, the sum and the number of values of a mean. A corpus BLEU is therefore resampled as a corpus BLEU and not as a mean
of sentence BLEUs. Sentences are drawn as sacrebleu draws them: with the same seed its `PairedTest` gives the same p.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import sacrebleu

from factory.metrics import wer

RESAMPLES = 1_000
"""Resamples behind an interval, as in Koehn (2004) and sacrebleu."""
SEED = 12_345
"""sacrebleu's default seed."""
QUANTILES = (0.025, 0.975)
"""The ends of the 95 % interval."""


class Estimate(NamedTuple):
    """A score and its 95 % interval, from the percentiles of the resampled scores."""

    point: float
    low: float
    high: float


class Comparison(NamedTuple):
    """A system and a baseline on the same sentences; `difference` is system minus baseline, `p` is two-sided."""

    system: Estimate
    baseline: Estimate
    difference: Estimate
    p: float


@dataclass(frozen=True)
class Sample:
    """The sentence statistics behind a corpus score.

    Attributes:
        statistics: An array (sentences, k): the numbers that a sentence adds to the corpus.
        score: Maps the sum of the statistics (k,) to the corpus score.
        signature: The implementation and the settings of the score.
    """

    statistics: np.ndarray
    score: Callable[[np.ndarray], float]
    signature: str

    def point(self) -> float:
        """Return the score of the whole corpus."""
        return self.score(self.statistics.sum(axis=0))


def corpus(
    metric: Literal["bleu", "chrf", "wer"], hypotheses: Sequence[str], references: Sequence[str], lang: str
) -> Sample:
    """Compute the sentence statistics of a corpus score.

    Args:
        metric: `bleu` (sacrebleu's BLEU, 0..100), `chrf` (sacrebleu's chrF2, 0..100) or `wer` (errors per word, 0..).
        hypotheses: One text per sentence.
        references: One text per sentence, in the same order.
        lang: The language of all texts; WER normalises by it, the others ignore it.

    Returns:
        The statistics, from sacrebleu or from `wer.count_corpus_errors`.

    Raises:
        ValueError: The numbers of hypotheses and references differ, or there are none.
    """
    if len(hypotheses) != len(references) or not references:
        raise ValueError(
            "a corpus score needs one hypothesis per reference and at least one of them; "
            f"got {len(hypotheses)} hypotheses and {len(references)} references"
        )
    if metric == "wer":
        return Sample(wer.count_corpus_errors(hypotheses, references, lang), _ratio, wer.signature(lang))
    scorer = {"bleu": sacrebleu.BLEU, "chrf": sacrebleu.CHRF}[metric]()
    statistics = np.array(scorer._extract_corpus_statistics(hypotheses, [references]), dtype=np.float64)

    def score(total: np.ndarray) -> float:
        """Return sacrebleu's score of summed n-gram counts (k,)."""
        return float(scorer._compute_score_from_stats(total.tolist()).score)

    return Sample(statistics, score, str(scorer.get_signature()))


def mean(values: Sequence[float] | np.ndarray, signature: str = "") -> Sample:
    """Return the statistics of a mean of sentence scores.

    Args:
        values: One score per sentence (sentences,): MOS, METEOR, or ones and zeros whose mean is a share.
        signature: The implementation and the settings of the scores.

    Raises:
        ValueError: There are no values.
    """
    if not len(values):
        raise ValueError("a mean needs at least one value; got none")
    return quotient(np.asarray(values), np.ones(len(values)), signature)


def quotient(numerators: np.ndarray, denominators: np.ndarray, signature: str = "") -> Sample:
    """Return the statistics of a sum over a sentence property divided by another sum; 0 if the second sum is 0.

    Args:
        numerators: One value per sentence (sentences,).
        denominators: One value per sentence (sentences,); 0 leaves the sentence out of a share.
        signature: The implementation and the settings of the values.
    """
    return Sample(np.stack([numerators, denominators], axis=1).astype(np.float64), _ratio, signature)


def average(samples: Sequence[Sample]) -> Sample:
    """Return a sample whose score is the mean of the samples' scores, for systems that differ in their seed alone.

    Raises:
        ValueError: The samples have different numbers of sentences.
    """
    sizes = [len(sample.statistics) for sample in samples]
    if len(set(sizes)) != 1:
        raise ValueError(f"an average needs samples of the same sentences; got {sizes} sentences")
    ends = np.cumsum([sample.statistics.shape[1] for sample in samples])[:-1]

    def score(total: np.ndarray) -> float:
        """Return the mean of the samples' scores, from their concatenated sums."""
        parts = zip(samples, np.split(total, ends), strict=True)
        return float(np.mean([sample.score(part) for sample, part in parts]))

    return Sample(np.concatenate([sample.statistics for sample in samples], axis=1), score, samples[0].signature)


def estimate(sample: Sample, resamples: int = RESAMPLES, seed: int = SEED) -> Estimate:
    """Compute a corpus score and its interval.

    Args:
        sample: The sentence statistics.
        resamples: How often the sentences are drawn.
        seed: The seed of the draws.
    """
    return estimates([sample], resamples, seed)[0]


def estimates(samples: Sequence[Sample], resamples: int = RESAMPLES, seed: int = SEED) -> list[Estimate]:
    """Compute several scores of the same sentences with their intervals; all scores share the draws.

    Args:
        samples: Sentence statistics with equal numbers of sentences.
        resamples: How often the sentences are drawn.
        seed: The seed of the draws.
    """
    draws = _draw(len(samples[0].statistics), resamples, seed)
    return [_with_interval(sample.point(), _resample(sample, draws)) for sample in samples]


def compare(system: Sample, baseline: Sample, resamples: int = RESAMPLES, seed: int = SEED) -> Comparison:
    """Compare two systems on the same sentences by a paired bootstrap test.

    Args:
        system: The sentence statistics of the system.
        baseline: The sentence statistics of the baseline, in the same order.
        resamples: How often the sentences are drawn; one draw serves both systems.
        seed: The seed of the draws.

    Returns:
        Both scores and their difference with intervals, and sacrebleu's p: the share of resamples whose absolute
        difference exceeds the mean absolute difference by more than the observed one, with one added to both counts.
        If the two scores are equal, p is 1.

    Raises:
        ValueError: The numbers of sentences differ.
    """
    if len(system.statistics) != len(baseline.statistics):
        raise ValueError(
            "a paired test needs two systems on the same sentences; "
            f"got {len(system.statistics)} and {len(baseline.statistics)} sentences"
        )
    draws = _draw(len(system.statistics), resamples, seed)
    system_scores, baseline_scores = _resample(system, draws), _resample(baseline, draws)
    difference = system.point() - baseline.point()
    return Comparison(
        _with_interval(system.point(), system_scores),
        _with_interval(baseline.point(), baseline_scores),
        _with_interval(difference, system_scores - baseline_scores),
        _p_value(difference, np.abs(system_scores - baseline_scores)),
    )


def _p_value(difference: float, resampled: np.ndarray) -> float:
    """Return sacrebleu's p of an observed difference, from the absolute differences (resamples,) of the resamples."""
    if not difference:
        return 1.0
    exceeding = int((resampled - resampled.mean() > abs(difference)).sum())
    return (exceeding + 1) / (len(resampled) + 1)


def _ratio(total: np.ndarray) -> float:
    return float(total[0] / total[1]) if total[1] else 0.0


def _draw(sentences: int, resamples: int, seed: int) -> np.ndarray:
    """Draw sentences with replacement; return how often each was drawn (resamples, sentences)."""
    # Generator.choice, which sacrebleu calls, draws the same indices but takes five times as long.
    indices = np.random.default_rng(seed).integers(sentences, size=(resamples, sentences))
    counts = np.empty((resamples, sentences))  # floats, because they are multiplied with floats
    for resample, drawn in enumerate(indices):
        counts[resample] = np.bincount(drawn, minlength=sentences)
    return counts


def _resample(sample: Sample, draws: np.ndarray) -> np.ndarray:
    """Return the corpus score of every resample (resamples,)."""
    return np.array([sample.score(total) for total in draws @ sample.statistics])


def _with_interval(point: float, resampled: np.ndarray) -> Estimate:
    low, high = np.quantile(resampled, QUANTILES)
    return Estimate(point, float(low), float(high))
