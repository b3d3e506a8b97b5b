"""Sentence chrF2 against its formula and sacrebleu."""

from __future__ import annotations

import pytest
import sacrebleu

from factory.metrics import METRICS, chrf


def test_the_formula() -> None:
    # Characters: one of two matches on each side. Bigrams: none matches. F2 of the means over both orders is 1 / 4.
    assert chrf.score("ab", "ac", "en") == pytest.approx(0.25)
    # Characters: precision 1, recall 1 / 2. F2 = 5 P R / (4 P + R). The reference alone has bigrams.
    assert chrf.score("a", "ab", "en") == pytest.approx(5 * 0.5 / 4.5)
    assert chrf.score("a b", "ab", "en") == pytest.approx(1.0), "spaces are removed"


@pytest.mark.parametrize(
    ("hypothesis", "reference"),
    [("the cat sat on the mat", "the cat is sitting on the mat"), ("les gares", "la gare"), ("Oui.", "oui")],
)
def test_sacrebleu_gives_the_same_score(hypothesis: str, reference: str) -> None:
    expected = sacrebleu.sentence_chrf(hypothesis, [reference]).score / 100
    assert chrf.score(hypothesis, reference, "fr") == pytest.approx(expected)
    assert 0 < expected < 1


def test_chrfpp_counts_words_too() -> None:
    metric = METRICS["chrfpp"]
    assert metric.signature("en") == chrf.signature("en").replace("nw:0", "nw:2")
    for hypothesis, reference in (("the cat sat on the mat", "the cat is on the mat"), ("les gares", "la gare")):
        expected = sacrebleu.sentence_chrf(hypothesis, [reference], word_order=2).score / 100
        assert metric.score(hypothesis, reference, "fr") == pytest.approx(expected)
    assert metric.score("", "a", "en") == metric.worst == 0.0


def test_the_signature_names_every_setting() -> None:
    expected = f"nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no|version:{sacrebleu.__version__}"
    assert chrf.signature("en") == chrf.signature("fr") == expected
