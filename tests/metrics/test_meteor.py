"""METEOR against its formula: tokens, stems of every language, and synonyms from a WordNet of one word."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import nltk
import pytest
from nltk.corpus.reader.wordnet import WordNetCorpusReader
from nltk.corpus.util import LazyCorpusLoader

from factory.metrics import meteor


@pytest.fixture
def nltk_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give nltk an empty data path; the module looks for WordNet again before and after."""
    monkeypatch.setattr(nltk.data, "path", [str(tmp_path)])
    meteor.has_wordnet.cache_clear()
    yield tmp_path
    meteor.has_wordnet.cache_clear()


@pytest.mark.parametrize(
    ("hypothesis", "reference", "matches", "chunks"),
    [
        ("good morning", "good morning", 2, 1),
        ("word", "word", 1, 1),
        ("b a", "a b", 2, 2),
        ("c a b", "a b c", 3, 2),
        ("red the cat sleeps", "the cat sleeps", 3, 1),
        ("the cat", "the cat sleeps", 2, 1),
        ("cat", "dog", 0, 0),
    ],
)
def test_the_formula(hypothesis: str, reference: str, matches: int, chunks: int) -> None:
    precision, recall = matches / len(hypothesis.split()), matches / len(reference.split())
    mean = precision * recall / (0.9 * precision + 0.1 * recall) if matches else 0.0
    penalty = 0.5 * (chunks / matches) ** 3 if matches else 0.0
    assert meteor.score(hypothesis, reference, "xx") == pytest.approx(mean * (1 - penalty))


@pytest.mark.parametrize(
    ("text", "lang", "tokens"),
    [
        ("L’hôtel, s'il vous plaît!", "fr", ["l'", "hôtel", ",", "s'", "il", "vous", "plaît", "!"]),
        ("aujourd'hui", "fr", ["aujourd'", "hui"]),
        ("Don't go.", "en", ["don't", "go", "."]),
        ("rock'n'roll", "xx", ["rock'n'roll"]),
        ("so - 'yes'", "xx", ["so", "-", "'", "yes", "'"]),
        ("", "fr", []),
    ],
)
def test_tokens_are_lower_case_words_and_punctuation_marks(text: str, lang: str, tokens: list[str]) -> None:
    assert meteor.tokenize(text, lang) == tokens


@pytest.mark.parametrize(
    ("lang", "name", "one", "two"),
    [
        ("en", "porter", "stations", "station"),
        ("fr", "snowball-french", "fermées", "fermée"),
        ("de", "snowball-german", "häuser", "haus"),
        ("es", "snowball-spanish", "casas", "casa"),
        ("it", "snowball-italian", "gatti", "gatto"),
        ("pt", "snowball-portuguese", "meninas", "menina"),
        ("nl", "snowball-dutch", "katten", "kat"),
        ("ru", "snowball-russian", "книги", "книга"),
    ],
)
def test_words_of_one_stem_match(lang: str, name: str, one: str, two: str, nltk_data: Path) -> None:
    assert meteor.score(one, two, lang) == pytest.approx(0.5)
    assert meteor.score(one, two, "xx") == 0.0
    settings = f"nltk:{version('nltk')}|alpha:0.9|beta:3.0|gamma:0.5|case:lc"
    assert meteor.signature(lang) == f"{settings}|stem:{name}|syn:none"
    assert meteor.signature("xx") == f"{settings}|stem:none|syn:none"


def test_both_sides_have_the_tokens_of_the_language() -> None:
    assert meteor.score("l'hôtel", "l’hôtel", "fr") == 1 - 0.5 / 2**3
    assert meteor.score("l'hôtel", "l’hôtel", "xx") == 0.5


def test_without_wordnet_synonyms_do_not_match(nltk_data: Path) -> None:
    assert not meteor.has_wordnet()
    assert meteor.score("a vehicle", "a car", "en") == pytest.approx((1 - 0.5) * 0.5)


@pytest.mark.filterwarnings("ignore:The multilingual functions")
def test_with_wordnet_english_synonyms_match(nltk_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_wordnet(nltk_data / "corpora" / "wordnet", ["car", "auto"])
    monkeypatch.setattr(nltk.corpus, "wordnet", LazyCorpusLoader("wordnet", WordNetCorpusReader, None))
    assert meteor.has_wordnet()
    assert meteor.signature("en").endswith("|stem:porter|syn:wordnet")
    assert meteor.signature("fr").endswith("|stem:snowball-french|syn:none")
    assert meteor.score("red auto", "red car", "en") == pytest.approx(1 - 0.5 * (1 / 2) ** 3)
    assert meteor.score("red auto", "red car", "fr") == pytest.approx((1 - 0.5) * 0.5)


def test_wordnet_is_found_as_an_archive(nltk_data: Path) -> None:
    (nltk_data / "corpora").mkdir()
    (nltk_data / "corpora/wordnet.zip").write_bytes(b"PK\x05\x06" + bytes(18))
    assert meteor.has_wordnet()


def write_wordnet(folder: Path, lemmas: list[str]) -> None:
    """Write a WordNet of one noun synset in the format of the real one (wndb(5WN))."""
    folder.mkdir(parents=True)
    licence = "  1 licence\n"
    offset = len(licence)
    words = " ".join(f"{lemma} 0" for lemma in lemmas)
    data = f"{offset:08d} 06 n {len(lemmas):02x} {words} 000 | a motor vehicle\n"
    index = "".join(f"{lemma} n 1 0 1 0 {offset:08d}\n" for lemma in sorted(lemmas))
    senses = "".join(f"{lemma}%1:06:00:: {offset:08d} 1 0\n" for lemma in lemmas)
    (folder / "index.sense").write_text(senses, encoding="utf-8")
    for part, names in (("noun", ("data", "index")), ("verb", ()), ("adj", ()), ("adv", ())):
        for kind, lines in (("data", data), ("index", index)):
            (folder / f"{kind}.{part}").write_text(licence + (lines if kind in names else ""), encoding="utf-8")
        (folder / f"{part}.exc").write_text("", encoding="utf-8")
    files = "".join(f"{number:02d}\tlex.{number}\t1\n" for number in range(45))
    (folder / "lexnames").write_text(files, encoding="utf-8")
