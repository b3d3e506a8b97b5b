"""Whether a corpus has what a round needs of it, said before a model is loaded: languages, transcripts, references."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from factory.corpora.base import CorpusError, Entry
from factory.recipe import Recipe
from factory.redact import redact
from factory.store import DatasetDir
from schemas.datasets import OK

BY_EAR = "--set translator.way_back=speech --set translator.unit_temperature=null --set scorer.score_text=asr"
"""What lets a round do without transcripts: the speech goes back, and the recognizer transcribes both ends."""


def check_entries(entries: Sequence[Entry], corpus: str, key: str, recipe: Recipe) -> None:
    """Raise CorpusError where speech lacks what the recipe needs of `corpus.<key>`: an utterance in each language, texts or references.

    `entries` are those of the corpus at `corpus`; `key` is mono, paired, dev or test.
    """
    langs = Counter(entry.lang for entry in entries)
    place = f"corpus.{key} ({redact(corpus)})"
    if lacking := [lang for lang in recipe.languages if not langs[lang]]:
        there = ", ".join(f"{lang or 'none named'} {count:,}" for lang, count in langs.most_common(5))
        hint = "a folder's languages are its first folders (fr/name.wav), a table's are in its column lang, and ?lang=fr names one"
        raise CorpusError(
            f"no utterance of {place} is in {' or '.join(lacking)} (utterances by language: {there}); {hint}"
        )
    if key == "mono" and recipe.compares_texts and not any(entry.has_text for entry in entries):
        hint = f"give texts (name.txt beside name.wav, a column text, or ?text=COLUMN), or judge by ear: {BY_EAR}"
        raise CorpusError(f"no utterance of {place} has a text, and the recipe compares texts; {hint}")
    if key == "test" and not any(entry.has_reference for entry in entries):
        raise CorpusError(
            f"no utterance of {place} has a reference, which a round is evaluated against; give a column reference"
        )


def check_units(units: DatasetDir, corpus: str, key: str, recipe: Recipe) -> None:
    """Raise CorpusError where a language has no utterance that became units; the sentence counts why."""
    usable = Counter(units.rows(["lang"], status=OK)["lang"].to_pylist())
    if lacking := [lang for lang in recipe.languages if not usable[lang]]:
        lost = ", ".join(
            f"{row['reason']} {row['count']:,} (first: {row['ids'][0]})" for row in units.failures().to_pylist()
        )
        place = f"corpus.{key} ({redact(corpus)})"
        raise CorpusError(f"no utterance of {place} in {' or '.join(lacking)} can be used: {lost or 'it has none'}")
