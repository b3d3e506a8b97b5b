"""METEOR by nltk.

Definition: a harmonic mean of word precision and recall with alpha = 0.9, times a penalty of fragmentation with
    beta = 3 and gamma = 0.5 (Lavie and Agarwal, 2007). Words match exactly, then by their stem, then (English only) by
    a WordNet synonym. A perfect match of m words scores 1 - 0.5 / m**3: two words 0.9375. Tokens are lower-cased words
    and punctuation marks; a French elision is a token (`l'hôtel` -> `l'`, `hôtel`). An empty hypothesis or reference
    scores 0.
Direction: up.
Scale: 0..1.
Source: `nltk.translate.meteor_score.single_meteor_score`. WordNet's data is not part of nltk; a process looks for it
    once, and the signature says if it was found.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from importlib.metadata import version
from typing import Any

from factory.metrics.base import Metric

ALPHA, BETA, GAMMA = 0.9, 3.0, 0.5

_TOKENS = {"fr": re.compile(r"\w+'|\w+|[^\w\s]")}
_DEFAULT_TOKENS = re.compile(r"\w+(?:'\w+)*|[^\w\s]")
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
    """Replaces nltk's WordNet reader: no word has synonyms."""

    def synsets(self, word: str) -> list[Any]:
        return []


class _NoStems:
    """Replaces a stemmer: every word is its own stem."""

    def stem(self, token: str) -> str:
        return token


class _KnownStems:
    """A stemmer that stems every word once: the candidates of an utterance share most of their words."""

    def __init__(self, stemmer: Any) -> None:
        self.stem = lru_cache(100_000)(stemmer.stem)


@cache
def has_wordnet() -> bool:
    """Return True if WordNet's data is on nltk's data path; a process looks for it once."""
    import nltk  # inside functions, here and below: the import takes more than a second

    for path in ("corpora/wordnet", "corpora/wordnet.zip"):
        try:
            nltk.data.find(path)
        except LookupError:
            continue
        return True
    return False


@cache
def _stemmer(lang: str) -> tuple[str, Any]:
    """Return the name of a language's stemmer and the stemmer."""
    from nltk.stem import PorterStemmer, SnowballStemmer

    if lang == "en":
        return "porter", _KnownStems(PorterStemmer())
    if lang in _SNOWBALL:
        return f"snowball-{_SNOWBALL[lang]}", _KnownStems(SnowballStemmer(_SNOWBALL[lang]))
    return "none", _NoStems()


def _synonyms(lang: str) -> tuple[str, Any]:
    """Return the name of a language's synonyms and their reader."""
    if lang == "en" and has_wordnet():
        from nltk.corpus import wordnet

        return "wordnet", wordnet
    return "none", _NoSynonyms()


def tokenize(text: str, lang: str) -> list[str]:
    """Return the lower-cased words and the punctuation marks of a text."""
    return _TOKENS.get(lang, _DEFAULT_TOKENS).findall(text.lower().replace("’", "'"))


def signature(lang: str) -> str:
    """Return nltk's version, the parameters, and the stems and synonyms of the language."""
    matches = f"stem:{_stemmer(lang)[0]}|syn:{_synonyms(lang)[0]}"
    return f"nltk:{version('nltk')}|alpha:{ALPHA}|beta:{BETA}|gamma:{GAMMA}|case:lc|{matches}"


def score(hypothesis: str, reference: str, lang: str) -> float:
    """Compute METEOR.

    Args:
        hypothesis: The text to score.
        reference: The text to compare with.
        lang: The language of both texts, which selects the tokenizer, the stemmer and the synonyms.

    Returns:
        The score, 0..1.
    """
    from nltk.translate.meteor_score import single_meteor_score

    words, reference_words = tokenize(hypothesis, lang), tokenize(reference, lang)
    matches = {"stemmer": _stemmer(lang)[1], "wordnet": _synonyms(lang)[1]}
    return float(single_meteor_score(reference_words, words, **matches, alpha=ALPHA, beta=BETA, gamma=GAMMA))


METRIC = Metric("meteor", "up", "0..1", 0.0, signature, score)
