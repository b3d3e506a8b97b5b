"""Intervals and paired tests against sacrebleu's own paired bootstrap and against the normal approximation."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
import sacrebleu
from sacrebleu.significance import PairedTest, Result

from factory.metrics import bootstrap, wer

WORDS = ["the", "a", "cat", "dog", "sees", "eats", "red", "small", "house", "train", "of", "at", "leaves"]


def corpora(sentences: int, noise: tuple[float, float], seed: int = 0) -> tuple[list[str], list[str], list[str]]:
    """Return references and two systems whose words are replaced at random."""
    rng = np.random.default_rng(seed)
    references = [list(rng.choice(WORDS, rng.integers(5, 12))) for _ in range(sentences)]

    def system(share: float) -> list[str]:
        return [" ".join(rng.choice(WORDS) if rng.random() < share else word for word in words) for words in references]

    return [" ".join(words) for words in references], system(noise[0]), system(noise[1])


@pytest.mark.parametrize("metric", ["bleu", "chrf"])
def test_it_agrees_with_sacrebleu_s_paired_bootstrap(
    metric: Literal["bleu", "chrf"], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SACREBLEU_SEED", "12345")
    references, baseline, system = corpora(60, (0.35, 0.25))
    scorer = {"bleu": sacrebleu.BLEU, "chrf": sacrebleu.CHRF}[metric]()
    _, told = PairedTest([("baseline", baseline), ("system", system)], {metric: scorer}, [references], "bs", 300)()
    one, two = (result for name, results in told.items() if name != "System" for result in results)
    assert isinstance(one, Result)
    assert isinstance(two, Result)
    ours, theirs = (bootstrap.corpus(metric, side, references, "en") for side in (system, baseline))
    found = bootstrap.compare(ours, theirs, resamples=300)
    assert found.baseline.point == pytest.approx(one.score)
    assert found.system.point == pytest.approx(two.score)
    assert found.p == pytest.approx(two.p_value)
    assert (found.system.high - found.system.low) / 2 == pytest.approx(
        two.ci, rel=0.05
    )  # its percentiles are order statistics
    assert found.difference.point == pytest.approx(found.system.point - found.baseline.point)


def test_corpus_bleu_is_not_a_mean_of_sentence_bleus() -> None:
    references, _, system = corpora(40, (0.0, 0.3))
    sample = bootstrap.corpus("bleu", system, references, "en")
    assert sample.point() == pytest.approx(sacrebleu.corpus_bleu(system, [references]).score)
    assert "eff:no" in sample.signature


def test_corpus_wer_is_errors_by_words() -> None:
    references, _, system = corpora(40, (0.0, 0.3))
    sample = bootstrap.corpus("wer", system, references, "xx")
    counts = np.array([wer.counts(told, expected, "xx") for told, expected in zip(system, references, strict=True)])
    assert sample.point() == pytest.approx(counts[:, 0].sum() / sum(len(text.split()) for text in references))
    found = bootstrap.estimate(sample)
    assert found.low < found.point < found.high


def test_the_interval_of_a_mean_is_the_normal_one() -> None:
    values = np.random.default_rng(1).normal(3.0, 1.0, 400)
    found = bootstrap.estimate(bootstrap.mean(values))
    error = 1.96 * values.std() / np.sqrt(len(values))
    assert found.point == pytest.approx(values.mean())
    assert found.low == pytest.approx(values.mean() - error, abs=0.2 * error)
    assert found.high == pytest.approx(values.mean() + error, abs=0.2 * error)


def test_two_equal_systems_do_not_differ_and_two_far_ones_do() -> None:
    references, far, near = corpora(80, (0.6, 0.1))
    good, bad = (bootstrap.corpus("bleu", side, references, "en") for side in (near, far))
    same = bootstrap.compare(good, good, resamples=200)
    assert same.difference == (0, 0, 0)
    apart = bootstrap.compare(good, bad, resamples=200)
    assert apart.difference.low > 0
    assert apart.p < 0.05


def test_the_seed_fixes_the_numbers() -> None:
    sample = bootstrap.mean([0.0, 1.0, 1.0, 0.0, 1.0])
    assert bootstrap.estimate(sample) == bootstrap.estimate(sample)
    assert (
        bootstrap.estimate(sample, seed=1) != bootstrap.estimate(sample, seed=2)
        or bootstrap.estimate(sample).low <= 0.6
    )


def test_seeds_are_averaged_on_the_same_sentences() -> None:
    references, one, two = corpora(200, (0.3, 0.3))
    base = bootstrap.corpus("bleu", corpora(200, (0.6, 0.6))[1], references, "en")
    first, second = (bootstrap.corpus("bleu", side, references, "en") for side in (one, two))
    both = bootstrap.averaged([first, second])
    assert both.point() == pytest.approx((first.point() + second.point()) / 2)
    found = bootstrap.compare(both, bootstrap.averaged([base, base])).difference
    alone = bootstrap.compare(first, base).difference
    assert found.point == pytest.approx(both.point() - base.point())
    assert found.high - found.low < alone.high - alone.low
    with pytest.raises(ValueError, match="an average needs the same sentences; got"):
        bootstrap.averaged([first, bootstrap.mean([1.0])])


def test_sizes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="got 1 and 2"):
        bootstrap.corpus("bleu", ["a"], ["a", "b"], "en")
    with pytest.raises(ValueError, match="same sentences"):
        bootstrap.compare(bootstrap.mean([1.0]), bootstrap.mean([1.0, 2.0]))
    with pytest.raises(ValueError, match="no values"):
        bootstrap.mean([])


def test_two_systems_that_say_the_same_do_not_differ():
    same = bootstrap.corpus("bleu", ["the train leaves", "it rains"], ["the train leaves now", "it is raining"], "en")
    found = bootstrap.compare(same, same, resamples=50)
    assert (found.difference.point, found.difference.low, found.difference.high, found.p) == (0.0, 0.0, 0.0, 1.0)
