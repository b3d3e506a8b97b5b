"""Word error rate against jiwer and an edit distance, and its edges."""

from __future__ import annotations

import string
from importlib.metadata import version

import jiwer
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factory.metrics import METRICS, wer

SENTENCES = st.lists(st.sampled_from(["a", "b", "c", "d"]), min_size=1, max_size=8).map(" ".join)
WORDS = st.lists(st.text(string.ascii_lowercase, min_size=1, max_size=4), min_size=1, max_size=8).map(" ".join)


@pytest.mark.parametrize(
    ("hypothesis", "reference", "errors", "words"),
    [
        ("the cat sat", "the cat sat", 0, 3),
        ("the cat sat on mat", "the cat sat on the mat", 1, 6),  # deletion
        ("the big cat sat", "the cat sat", 1, 3),  # insertion
        ("the dog sat", "the cat sat", 1, 3),  # substitution
        ("a b c d", "x", 4, 1),
        ("", "the cat", 2, 2),
        ("the cat sat", "", 3, 0),
        ("", "", 0, 0),
        ("...", "?!", 0, 0),
    ],
)
def test_errors_and_words_are_counted(hypothesis: str, reference: str, errors: int, words: int) -> None:
    assert wer.count_errors(hypothesis, reference, "xx") == (errors, words)
    assert wer.count_corpus_errors([hypothesis, "x"], [reference, "x"], "xx").tolist() == [[errors, words], [0, 1]]


@pytest.mark.parametrize(
    ("hypothesis", "reference", "score"),
    [
        ("the cat sat on mat", "the cat sat on the mat", 1 / 6),
        ("a b c d", "x", 1.0),  # no worse than silence
        ("", "the cat", 1.0),
        ("", "", 0.0),
        ("cat", "", 1.0),
        ("two words", "", 1.0),
    ],
)
def test_a_sentence_scores_from_zero_to_one(hypothesis: str, reference: str, score: float) -> None:
    assert wer.score(hypothesis, reference, "xx") == pytest.approx(score)


def test_both_texts_are_normalised_in_their_language() -> None:
    assert wer.score("The cat, at 7:30!", "the cat at seven thirty", "en") == 0.0
    assert wer.score("the cat at seven thirty", "The cat, at 7:30!", "en") == 0.0
    assert wer.score("à 7h30", "À sept heures trente.", "fr") == 0.0
    assert wer.score("a b", "a b c", "fr") == pytest.approx(1 / 3)


@settings(max_examples=100, deadline=None)
@given(SENTENCES, SENTENCES)
def test_jiwer_gives_the_same_rate(hypothesis: str, reference: str) -> None:
    errors, words = wer.count_errors(hypothesis, reference, "xx")
    assert errors / words == pytest.approx(jiwer.wer(reference, hypothesis))


@settings(max_examples=50, deadline=None)
@given(WORDS, WORDS)
def test_the_errors_are_the_edit_distance_of_the_words(hypothesis: str, reference: str) -> None:
    assert wer.count_errors(hypothesis, reference, "xx")[0] == edit_distance(hypothesis.split(), reference.split())


def edit_distance(one: list[str], two: list[str]) -> int:
    """Return the Levenshtein distance (Wagner and Fischer, 1974)."""
    row = list(range(len(two) + 1))
    for i, left in enumerate(one, 1):
        row, above = [i], row
        for j, right in enumerate(two, 1):
            row.append(min(above[j] + 1, row[-1] + 1, above[j - 1] + (left != right)))
    return row[-1]


def test_corpora_of_different_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="longer"):
        wer.count_corpus_errors(["a"], ["a", "b"], "xx")


def test_the_signature_names_every_setting() -> None:
    expected = f"jiwer:{version('jiwer')}|norm:whisper-basic|v1"
    assert wer.signature("de") == expected
    assert METRICS["wer"].signature("de") == expected + "|max:1"


def test_the_language_chooses_the_normaliser() -> None:
    counts = wer.count_corpus_errors(["17h30", "a"], ["dix-sept heures trente", "a"], "fr")
    assert counts.tolist() == [[0, 4], [0, 1]] and counts.dtype == np.float64
    assert wer.count_corpus_errors(["17h30"], ["dix-sept heures trente"], "xx").tolist() == [[4, 4]]
    assert "num:words" in wer.signature("fr") and "num:words" in METRICS["wer"].signature("fr")
    assert wer.signature("fr") != wer.signature("en")
