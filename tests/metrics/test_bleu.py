"""Sentence BLEU against its formula and sacrebleu."""

from __future__ import annotations

from math import exp

import pytest
import sacrebleu

from factory.metrics import bleu

PAIRS = [
    ("the cat sat on the mat", "the cat is sitting on the mat"),
    ("Where is the station?", "where is the station ?"),
    ("the train leaves at nine in the morning", "the train leaves at nine"),
    ("le train part", "le train part à neuf heures du matin"),
]


def test_a_short_exact_match_scores_one() -> None:
    assert bleu.score("good morning", "good morning", "en") == pytest.approx(1.0)
    assert sacrebleu.corpus_bleu(["good morning"], [["good morning"]]).score == 0.0, "without the effective order"


def test_the_formula() -> None:
    # Three words: two match; one of two bigrams; no trigram, smoothed to 1 / 2. The lengths are equal.
    assert bleu.score("the cat sat", "the cat ran", "en") == pytest.approx((2 / 3 * 1 / 2 * 1 / 2) ** (1 / 3))
    # All n-grams match; the brevity penalty is exp(1 - 4 / 2).
    assert bleu.score("the cat", "the cat ran away", "en") == pytest.approx(exp(-1))


@pytest.mark.parametrize(("hypothesis", "reference"), PAIRS)
def test_sacrebleu_gives_the_same_score(hypothesis: str, reference: str) -> None:
    expected = sacrebleu.sentence_bleu(hypothesis, [reference], use_effective_order=True).score / 100
    assert bleu.score(hypothesis, reference, "en") == pytest.approx(expected)
    assert 0 < expected < 1


def test_the_signature_names_every_setting() -> None:
    expected = f"nrefs:1|case:mixed|eff:yes|tok:13a|smooth:exp|version:{sacrebleu.__version__}"
    assert bleu.signature("en") == bleu.signature("fr") == expected
