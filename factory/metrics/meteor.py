"""METEOR (Lavie and Agarwal, 2007) by nltk: alpha 0.9, beta 3, gamma 0.5.

Words match exactly, then by stem, then (English only) by a WordNet synonym. The fragmentation penalty makes a perfect match of m
words score 1 - 0.5 / m**3: two words 0.9375. Tokens are lower-cased words and punctuation marks; a French elision is a token of its
own (`l'hôtel` -> `l'`, `hôtel`). WordNet's data is not part of nltk: whether it is there is looked up once, and the signature says it.
An empty side scores 0.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.metadata import version
from typing import Any

from factory.metrics.base import Metric

ALPHA, BETA, GAMMA = 0.9, 3.0, 0.5

_TOKEN = {"fr": re.compile(r"\w+'|\w+|[^\w\s]")}
_ANY_TOKEN = re.compile(r"\w+(?:'\w+)*|[^\w\s]")
_SNOWBALL = {
    "fr": "french",
    "de": "german",
    "es": "spanish",
    "it": "italian",
    "pt": "portuguese",
    "nl": "dutch",
    "ru": "russian",
}


class _NoSynonyms:
    """Stands where nltk asks for a WordNet reader: every word has no synonyms."""

    def synsets(self, word: str) -> list[Any]:
        return []


class _NoStems:
    """Leaves words as they are, in languages without a stemmer here."""

    def stem(self, token: str) -> str:
        return token


@cache
def has_wordnet() -> bool:
    """Return whether WordNet's data is on nltk's data path, looked up once in a process."""
    import nltk  # here and below: nltk takes more than a second to import

    for place in ("corpora/wordnet", "corpora/wordnet.zip"):
        try:
            nltk.data.find(place)
        except LookupError:
            continue
        return True
    return False


@cache
def _stemmer(lang: str) -> tuple[str, Any]:
    from nltk.stem import PorterStemmer, SnowballStemmer

    if lang == "en":
        return "porter", PorterStemmer()
    if lang in _SNOWBALL:
        return f"snowball-{_SNOWBALL[lang]}", SnowballStemmer(_SNOWBALL[lang])
    return "none", _NoStems()


@cache
def _synonyms(lang: str) -> tuple[str, Any]:
    if lang == "en" and has_wordnet():
        from nltk.corpus import wordnet

        return "wordnet", wordnet
    return "none", _NoSynonyms()


def tokens(text: str, lang: str) -> list[str]:
    """Return lower-cased words and punctuation marks."""
    return _TOKEN.get(lang, _ANY_TOKEN).findall(text.lower().replace("’", "'"))


def signature(lang: str) -> str:
    """Return nltk's version, the parameters, and which stems and synonyms match in this language."""
    sides = f"stem:{_stemmer(lang)[0]}|syn:{_synonyms(lang)[0]}"
    return f"nltk:{version('nltk')}|alpha:{ALPHA}|beta:{BETA}|gamma:{GAMMA}|case:lc|{sides}"


def score(hypothesis: str, reference: str, lang: str) -> float:
    """Return METEOR, 0..1."""
    from nltk.translate.meteor_score import single_meteor_score

    told, expected = tokens(hypothesis, lang), tokens(reference, lang)
    if not told or not expected:
        return 0.0
    stemmer, synonyms = _stemmer(lang)[1], _synonyms(lang)[1]
    return single_meteor_score(expected, told, stemmer=stemmer, wordnet=synonyms, alpha=ALPHA, beta=BETA, gamma=GAMMA)


METRIC = Metric("meteor", "up", "0..1", 0.0, signature, score)
