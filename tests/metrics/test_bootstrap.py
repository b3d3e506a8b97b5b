"""Intervals and paired tests against exact small values, sacrebleu's paired bootstrap and the normal approximation."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
import sacrebleu
from sacrebleu.significance import PairedTest, Result

from factory.metrics import bootstrap, wer

WORDS = ["the", "a", "cat", "dog", "sees", "eats", "red", "small", "house", "train", "of", "at", "leaves"]
DRAWS_OF_SEED_0 = [[1, 1], [1, 0], [0, 0], [0, 0]]
"""The sentences that seed 0 draws from two sentences in four resamples."""


def corpora(sentences: int, noise: tuple[float, float], seed: int = 0) -> tuple[list[str], list[str], list[str]]:
    """Return references and two systems whose words are replaced at random with the given probabilities."""
    rng = np.random.default_rng(seed)
    references = [list(rng.choice(WORDS, rng.integers(5, 12))) for _ in range(sentences)]

    def system(share: float) -> list[str]:
        return [" ".join(rng.choice(WORDS) if rng.random() < share else word for word in words) for words in references]

    return [" ".join(words) for words in references], system(noise[0]), system(noise[1])


def test_the_draws_of_seed_0() -> None:
    assert np.random.default_rng(0).choice(2, size=(4, 2)).tolist() == DRAWS_OF_SEED_0


def test_the_interval_has_the_percentiles_of_the_resampled_scores() -> None:
    scores = [np.mean([(1.0, 5.0)[index] for index in draw]) for draw in DRAWS_OF_SEED_0[:3]]
    assert scores == [5.0, 3.0, 1.0]
    result = bootstrap.estimate(bootstrap.mean([1.0, 5.0]), resamples=3, seed=0)
    assert result == pytest.approx((3.0, 1.0 + 0.05 * 2, 5.0 - 0.05 * 2))


def test_several_scores_share_their_draws() -> None:
    samples = [bootstrap.mean([1.0, 5.0]), bootstrap.mean([2.0, 10.0])]
    one, two = bootstrap.estimates(samples, resamples=3, seed=0)
    assert one == bootstrap.estimate(samples[0], resamples=3, seed=0)
    assert two == pytest.approx(2 * np.array(one))


def test_the_defaults_are_sacrebleu_s() -> None:
    one, two = bootstrap.mean(np.arange(9.0)), bootstrap.mean(np.arange(9.0) ** 2)
    assert bootstrap.estimate(one) == bootstrap.estimate(one, 1_000, 12_345) == bootstrap.estimates([one])[0]
    assert bootstrap.compare(one, two) == bootstrap.compare(one, two, 1_000, 12_345)
    assert bootstrap.estimate(one, seed=1) != bootstrap.estimate(one)


def test_the_p_value_counts_differences_that_exceed_the_observed_one() -> None:
    system = bootstrap.mean([3.0, -1.0])
    # The observed difference is 1. The resampled ones are -1, 1, 3, 3: absolute 1, 1, 3, 3 with a mean of 2.
    result = bootstrap.compare(system, bootstrap.mean([0.0, 0.0]), resamples=4, seed=0)
    assert result.p == 1 / 5, "3 - 2 does not exceed 1"
    assert bootstrap.compare(bootstrap.mean([0.0, 0.0]), system, resamples=4, seed=0).p == 1 / 5
    # The observed difference is 0.8. The resampled ones are -1.2, 0.8, 2.8, 2.8: absolute, with a mean of 1.9.
    near = bootstrap.compare(system, bootstrap.mean([0.2, 0.2]), resamples=4, seed=0)
    assert near.p == 3 / 5, "2.8 - 1.9 exceeds 0.8 twice"


def test_a_comparison_has_both_scores_and_their_difference() -> None:
    system, baseline = bootstrap.mean([3.0, -1.0]), bootstrap.mean([1.0, 1.5])
    result = bootstrap.compare(system, baseline, resamples=3, seed=0)
    assert result.system == bootstrap.estimate(system, resamples=3, seed=0)
    assert result.baseline == bootstrap.estimate(baseline, resamples=3, seed=0)
    assert result.difference == bootstrap.estimate(bootstrap.mean([2.0, -2.5]), resamples=3, seed=0)


@pytest.mark.parametrize("metric", ["bleu", "chrf"])
def test_sacrebleu_s_paired_bootstrap_gives_the_same_numbers(
    metric: Literal["bleu", "chrf"], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SACREBLEU_SEED", "12345")
    references, baseline, system = corpora(60, (0.35, 0.25))
    scorer = {"bleu": sacrebleu.BLEU, "chrf": sacrebleu.CHRF}[metric]()
    named = [("baseline", baseline), ("system", system)]
    _, results = PairedTest(named, {metric: scorer}, [references], "bs", 300)()
    one, two = (result for name, values in results.items() if name != "System" for result in values)
    assert isinstance(one, Result)
    assert isinstance(two, Result)
    samples = [bootstrap.corpus(metric, side, references, "en") for side in (system, baseline)]
    result = bootstrap.compare(*samples, resamples=300)
    assert result.baseline.point == pytest.approx(one.score)
    assert result.system.point == pytest.approx(two.score)
    assert result.p == pytest.approx(two.p_value)
    half = (result.system.high - result.system.low) / 2
    assert half == pytest.approx(two.ci, rel=0.05), "sacrebleu takes order statistics for percentiles"
    assert result.difference.point == pytest.approx(result.system.point - result.baseline.point)


def test_corpus_scores_are_sacrebleu_s() -> None:
    references, _, system = corpora(40, (0.0, 0.3))
    bleu, chrf = (bootstrap.corpus(metric, system, references, "en") for metric in ("bleu", "chrf"))
    assert bleu.point() == pytest.approx(sacrebleu.corpus_bleu(system, [references]).score)
    assert chrf.point() == pytest.approx(sacrebleu.corpus_chrf(system, [references]).score)
    settings = f"version:{sacrebleu.__version__}"
    assert bleu.signature == f"nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|{settings}"
    assert chrf.signature == f"nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no|{settings}"


def test_a_corpus_wer_is_errors_by_words_after_the_language_s_normaliser() -> None:
    sample = bootstrap.corpus("wer", ["a b", "x", "c"], ["a b", "y z w", "c"], "xx")
    assert sample.statistics.tolist() == [[0, 2], [3, 3], [0, 1]]
    assert sample.point() == 1 / 2
    assert sample.signature == wer.signature("xx")
    result = bootstrap.estimate(sample)
    assert result.low < result.point < result.high
    french = bootstrap.corpus("wer", ["à 17h30"], ["à dix-sept heures trente"], "fr")
    assert french.statistics.tolist() == [[0, 5]] and french.signature == wer.signature("fr")


def test_the_interval_of_a_mean_is_the_normal_one() -> None:
    values = np.random.default_rng(1).normal(3.0, 1.0, 400)
    result = bootstrap.estimate(bootstrap.mean(values))
    error = 1.96 * values.std() / np.sqrt(len(values))
    assert result.point == pytest.approx(values.mean())
    assert result.low == pytest.approx(values.mean() - error, abs=0.2 * error)
    assert result.high == pytest.approx(values.mean() + error, abs=0.2 * error)


def test_a_quotient_is_a_share_of_the_sentences_that_count() -> None:
    gain = np.array([1, -2, 0, 3])
    assert bootstrap.quotient(gain > 0, gain != 0, "share").point() == 2 / 3
    assert bootstrap.quotient(np.zeros(2), np.zeros(2)).point() == 0.0
    assert bootstrap.quotient(np.ones(2), np.zeros(2)).point() == 0.0
    assert (bootstrap.quotient(gain, gain, "share").signature, bootstrap.quotient(gain, gain).signature) == (
        "share",
        "",
    )
    assert (bootstrap.mean([1.0], "mos").signature, bootstrap.mean([1.0]).signature) == ("mos", "")


def test_two_equal_systems_do_not_differ_and_two_distant_ones_do() -> None:
    references, bad, good = corpora(80, (0.6, 0.1))
    worse, better = (bootstrap.corpus("bleu", side, references, "en") for side in (bad, good))
    assert bootstrap.compare(better, better, resamples=50).difference == (0, 0, 0)
    assert bootstrap.compare(better, better, resamples=50).p == 1.0
    apart = bootstrap.compare(better, worse, resamples=200)
    assert apart.difference.low > 0
    assert apart.p < 0.05


def test_an_average_is_the_mean_of_the_scores_on_the_same_sentences() -> None:
    references, one, two = corpora(200, (0.3, 0.3))
    base = bootstrap.corpus("bleu", corpora(200, (0.6, 0.6))[1], references, "en")
    first, second = (bootstrap.corpus("bleu", side, references, "en") for side in (one, two))
    both = bootstrap.average([first, second])
    assert both.point() == pytest.approx((first.point() + second.point()) / 2)
    assert both.signature == first.signature
    result = bootstrap.compare(both, bootstrap.average([base, base])).difference
    alone = bootstrap.compare(first, base).difference
    assert result.point == pytest.approx(both.point() - base.point())
    assert result.high - result.low < alone.high - alone.low


def test_an_average_takes_statistics_of_different_widths() -> None:
    bleu = bootstrap.corpus("bleu", ["a b c d", "e f g h"], ["a b c d", "e f g i"], "en")
    average = bootstrap.average([bleu, bootstrap.mean([1.0, 5.0]), bootstrap.mean([7.0, 9.0])])
    assert average.point() == pytest.approx((bleu.point() + 3.0 + 8.0) / 3)
    assert average.signature == bleu.signature


def test_sizes_that_differ_are_refused() -> None:
    with pytest.raises(ValueError, match="^a corpus score needs .* got 1 hypotheses and 2 references$"):
        bootstrap.corpus("bleu", ["a"], ["a", "b"], "en")
    with pytest.raises(ValueError, match="got 0 hypotheses and 0 references"):
        bootstrap.corpus("wer", [], [], "en")
    with pytest.raises(ValueError, match="^a paired test needs .* the same sentences; got 1 and 2 sentences$"):
        bootstrap.compare(bootstrap.mean([1.0]), bootstrap.mean([1.0, 2.0]))
    with pytest.raises(ValueError, match=r"^an average needs .* the same sentences; got \[1, 2\] sentences$"):
        bootstrap.average([bootstrap.mean([1.0]), bootstrap.mean([1.0, 2.0])])
    with pytest.raises(ValueError, match="^a mean needs at least one value; got none$"):
        bootstrap.mean([])
