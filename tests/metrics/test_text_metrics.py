"""Sentence BLEU, chrF, METEOR and WER against their formulas and reference implementations; and what all metrics have in common."""

from __future__ import annotations

import math
import string
from collections.abc import Iterator
from pathlib import Path

import nltk
import pytest
import sacrebleu
from hypothesis import given, settings
from hypothesis import strategies as st
from nltk.corpus.reader.wordnet import WordNetCorpusReader
from nltk.corpus.util import LazyCorpusLoader

from factory.metrics import METRICS, Metric, bleu, chrf, meteor, wer
from schemas.datasets import SCORES

TEXT_METRICS = [metric for metric in METRICS.values() if not metric.audio]
SENTENCES = st.lists(st.text(string.ascii_lowercase, min_size=1, max_size=6), min_size=1, max_size=8).map(" ".join)


def test_every_column_of_scores_has_its_metric() -> None:
    assert list(METRICS) == [SCORES.field(i).name for i in range(SCORES.num_fields)]
    assert {metric.name: metric.direction for metric in METRICS.values()} == {
        "bleu": "up", "chrf": "up", "meteor": "up", "wer": "down", "mcd": "down"}  # fmt: skip
    for metric in METRICS.values():
        assert metric.scale
        assert metric.signature("fr")


@pytest.mark.parametrize("metric", TEXT_METRICS, ids=lambda metric: metric.name)
@pytest.mark.parametrize("lang", ["en", "fr", "xx"])
def test_an_empty_side_gets_the_worst_score(metric: Metric, lang: str) -> None:
    assert metric.score("", "a cat", lang) == metric.worst
    assert metric.score("a cat", "", lang) == metric.worst
    assert metric.score("  ", "a cat", lang) == metric.worst


@settings(max_examples=40, deadline=None)
@given(SENTENCES, SENTENCES)
def test_bounded_scores_stay_in_their_scale(hypothesis: str, reference: str) -> None:
    for metric in TEXT_METRICS:
        score = metric.score(hypothesis, reference, "fr")
        assert 0 <= score <= (1 + 1e-9 if metric.direction == "up" else math.inf)
        perfect = metric.score(reference, reference, "fr")
        assert perfect >= score if metric.direction == "up" else perfect <= score


def test_bleu_of_a_short_exact_match_is_one() -> None:
    assert bleu.score("good morning", "good morning", "en") == pytest.approx(1.0)
    assert (
        sacrebleu.corpus_bleu(["good morning"], [["good morning"]]).score == 0.0
    )  # what the effective order is there for
    assert "eff:yes" in bleu.signature("en")
    assert "nrefs:1" in bleu.signature("en")


def test_bleu_and_chrf_by_their_formulas() -> None:
    # three words, two match, one bigram of two matches, no trigram (exponential smoothing: 1 / 2), no brevity penalty
    expected = (2 / 3 * 1 / 2 * 1 / 2) ** (1 / 3)
    assert bleu.score("the cat sat", "the cat ran", "en") == pytest.approx(expected)
    # unigrams a, b against a, c: precision = recall = 1/2; bigrams ab against ac: none; F2 of the means over both orders
    assert chrf.score("ab", "ac", "en") == pytest.approx(0.25)


def test_meteor_by_its_formula() -> None:
    assert meteor.score("good morning", "good morning", "en") == pytest.approx(1 - 0.5 * (1 / 2) ** 3)
    # four words, three match in one chunk: P = 3/4, R = 1
    precision, recall = 3 / 4, 1.0
    mean = precision * recall / (0.9 * precision + 0.1 * recall)
    assert meteor.score("red the cat sleeps", "the cat sleeps", "en") == pytest.approx((1 - 0.5 * (1 / 3) ** 3) * mean)


def test_meteor_matches_stems_of_the_language() -> None:
    assert meteor.tokens("L’hôtel, s'il vous plaît!", "fr") == ["l'", "hôtel", ",", "s'", "il", "vous", "plaît", "!"]
    assert meteor.tokens("Don't go.", "en") == ["don't", "go", "."]
    assert meteor.score("les gares fermées", "les gare fermée", "fr") == meteor.score("a b c", "a b c", "fr")
    assert meteor.score("the stations", "the station", "en") == meteor.score("a b", "a b", "en")
    assert "stem:snowball-french|syn:none" in meteor.signature("fr")
    assert "stem:none|syn:none" in meteor.signature("xx")


@pytest.fixture
def fresh_wordnet() -> Iterator[None]:
    """Whether WordNet is there is looked up anew, before and after."""
    for cached in (meteor.has_wordnet, meteor._synonyms):
        cached.cache_clear()
    yield
    for cached in (meteor.has_wordnet, meteor._synonyms):
        cached.cache_clear()


@pytest.mark.usefixtures("fresh_wordnet")
def test_meteor_without_wordnet_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nltk.data, "path", [str(tmp_path)])
    assert "stem:porter|syn:none" in meteor.signature("en")
    assert meteor.score("a vehicle", "a car", "en") == pytest.approx((1 - 0.5) * 0.5)


@pytest.mark.usefixtures("fresh_wordnet")
def test_meteor_with_wordnet_matches_synonyms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_wordnet(tmp_path / "corpora" / "wordnet", ["car", "auto"])
    monkeypatch.setattr(nltk.data, "path", [str(tmp_path)])
    monkeypatch.setattr(nltk.corpus, "wordnet", LazyCorpusLoader("wordnet", WordNetCorpusReader, None))
    assert "stem:porter|syn:wordnet" in meteor.signature("en")
    assert meteor.score("red auto", "red car", "en") == pytest.approx(1 - 0.5 * (1 / 2) ** 3)
    assert "syn:none" in meteor.signature("fr")


def write_wordnet(folder: Path, lemmas: list[str]) -> None:
    """Write a WordNet of one noun synset in the format of the real one (wndb(5WN))."""
    folder.mkdir(parents=True)
    licence = "  1 licence\n"
    offset = len(licence)
    words = " ".join(f"{lemma} 0" for lemma in lemmas)
    data = f"{offset:08d} 06 n {len(lemmas):02x} {words} 000 | a motor vehicle\n"
    index = "".join(f"{lemma} n 1 0 1 0 {offset:08d}\n" for lemma in sorted(lemmas))
    (folder / "index.sense").write_text(
        "".join(f"{lemma}%1:06:00:: {offset:08d} 1 0\n" for lemma in lemmas), encoding="utf-8"
    )
    for part, names in (("noun", ("data", "index")), ("verb", ()), ("adj", ()), ("adv", ())):
        for kind, lines in (("data", data), ("index", index)):
            (folder / f"{kind}.{part}").write_text(licence + (lines if kind in names else ""), encoding="utf-8")
        (folder / f"{part}.exc").write_text("", encoding="utf-8")
    numbers = "".join(f"{number:02d}\tlex.{number}\t1\n" for number in range(45))
    (folder / "lexnames").write_text(numbers, encoding="utf-8")


def test_wer_counts_errors_per_word_of_the_reference() -> None:
    assert wer.score("the cat sat on mat", "the cat sat on the mat", "en") == pytest.approx(1 / 6)
    assert wer.score("a b c d", "x", "fr") == 1.0  # four errors, and no worse than silence
    assert wer.corpus_counts(["a b c d"], ["x"], "fr").tolist() == [[4.0, 1.0]]
    assert wer.score("", "", "fr") == 0.0
    assert wer.score("The cat!", "the cat", "en") == 0.0
    assert "jiwer" in wer.signature("fr")


@settings(max_examples=50, deadline=None)
@given(SENTENCES, SENTENCES)
def test_wer_is_the_edit_distance_of_the_words(hypothesis: str, reference: str) -> None:
    told, expected = hypothesis.split(), reference.split()
    assert wer.score(hypothesis, reference, "xx") == pytest.approx(
        min(1.0, edit_distance(told, expected) / len(expected))
    )


def edit_distance(one: list[str], two: list[str]) -> int:
    row = list(range(len(two) + 1))
    for i, left in enumerate(one, 1):
        row, before = [i], row
        for j, right in enumerate(two, 1):
            row.append(min(before[j] + 1, row[-1] + 1, before[j - 1] + (left != right)))
    return row[-1]
