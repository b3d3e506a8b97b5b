"""usable: what a corpus's units lack for a round, known once they are there and hours before it would show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from factory.corpora.base import Kind
from factory.metrics import METRICS
from factory.passes.evaluate import select_test_rows
from factory.recipe.recipe import Recipe
from factory.runtime.redact import redact
from factory.storage.dataset import DatasetDir
from factory.storage.manifest import slug
from schemas.datasets import OK
from schemas.errors import RoundtripError

BY_EAR = "--set translator.back_translate=speech --set translator.unit_temperature=null --set scorer.score_text=asr"
"""What lets a round judge speech without transcripts: the recognizer hears the source and its back-translations."""
LANGUAGES = (
    "an utterance's language is the first folder of a folder of audio (fr/name.wav), or the column lang of a table"
)
ADD_REFERENCES = "add a column reference with the translation of each utterance"


class Unusable(RoundtripError):
    """A corpus of which a round could use no utterance; the message says why, and what to do."""


def compares_texts(recipe: Recipe) -> bool:
    """Whether candidates are ranked by comparing texts with an utterance's own, so that it needs one."""
    return recipe.scorer.score_text == "policy" and not METRICS[recipe.select.metric].audio


def check_kinds(kinds: Mapping[Kind, int], corpus: str, recipe: Recipe) -> None:
    """Raise Unusable where untranslated speech, as it is listed, has no utterance in a language of the recipe, or no text to compare.

    Args:
        kinds: how many rows are of each kind, known before audio is read.
        corpus: `corpus.mono` of the recipe.
        recipe: the experiment.
    """
    langs: Counter[str] = Counter()
    for kind, count in kinds.items():
        langs[kind.lang] += count
    place = f"corpus.mono ({redact(corpus)})"
    if lacking := [lang for lang in recipe.languages if not langs[lang]]:
        there = ", ".join(f"{lang!r} {count:,}" for lang, count in langs.most_common(5))
        raise Unusable(
            f"no utterance of {place} is in {' or '.join(lacking)} (languages there: {there}); {LANGUAGES}, and ?lang=fr behind the "
            "corpus names one"
        )
    if compares_texts(recipe) and not any(kind.has_text for kind in kinds):
        raise Unusable(
            f"no utterance of {place} has a text, and the recipe compares texts: give transcripts (name.txt beside name.wav, a column "
            f"text, or ?text=COLUMN), or let the recognizer transcribe them with {BY_EAR}"
        )


def check_sources(sources: Sequence[DatasetDir], recipe: Recipe) -> list[str]:
    """Return a sentence for each direction that can have no pair, for want of texts.

    `sources` are finished datasets of UNITS. Raises Unusable where a language has no usable utterance, or neither direction a text.
    """
    corpora = " and ".join(f"corpus.{name}" for name in ("mono", "paired") if recipe.corpus.source in (name, "both"))
    table = pa.concat_tables([units.rows(["utt_id", "lang", "text", "status", "reason"]) for units in sources])
    usable = _usable(table, recipe)
    if not usable.num_rows:
        raise Unusable(f"no utterance of {corpora} can be used: {_why(table)}; {_hint(table, recipe)}")
    there = _by_language(usable, recipe)
    if lacking := [lang for lang, count in there.items() if not count]:
        lost = table.filter(
            pc.invert(pc.is_in(table["lang"], value_set=pa.array(list(filter(there.get, there)), pa.string())))
        )
        raise Unusable(
            f"no utterance of {corpora} in {' or '.join(lacking)} can be used: {_why(lost)}; {_hint(lost, recipe)}"
        )
    texts = _by_language(_with_text(usable, "text"), recipe)
    if compares_texts(recipe) and not any(texts.values()):
        raise Unusable(
            f"no utterance of {corpora} has a text, and the recipe compares texts: give their transcripts, or let the "
            f"recognizer hear them with {BY_EAR}"
        )
    silent = [lang for lang, count in texts.items() if not count] if compares_texts(recipe) else []
    return [
        f"{_direction(lang, recipe)} can have no pair: {corpora} has no usable utterance in {lang} with a text"
        for lang in silent
    ]


def check_dev(dev: DatasetDir, recipe: Recipe, fewest: int) -> None:
    """Raise Unusable where fewer than `fewest` utterances of `dev` (UNITS) have a reference for `select.delta: auto`."""
    table = _usable(dev.rows(["utt_id", "lang", "reference", "status"]), recipe)
    known = _with_text(table, "reference").num_rows
    if known < fewest:
        raise Unusable(
            f"select.delta is auto, and {known} of the {table.num_rows} usable utterances of corpus.dev have a reference, "
            f"where {fewest} labels at least are weighed against one: {ADD_REFERENCES} to corpus.dev, or give select.delta "
            "a number"
        )


def untested(units: DatasetDir, recipe: Recipe) -> list[str]:
    """Return what the test set (UNITS) leaves unmeasured: a sentence for each direction, or one for both."""
    chosen = select_test_rows(units, recipe)
    every = units.rows(["utt_id", "lang", "text", "reference", "status", "reason"])
    usable = _usable(every, recipe)
    if not usable.num_rows:
        return [f"no score is measured: no utterance of corpus.test can be used: {_why(every)}; {_hint(every, recipe)}"]
    if not chosen.num_rows:
        nothing = "no score is measured: no utterance of corpus.test has a reference"
        return [f"{nothing}; {ADD_REFERENCES}, or name another corpus.test"]
    there, tested, read = (_by_language(rows, recipe) for rows in (usable, chosen, _with_text(chosen, "text")))
    return [
        note for lang in recipe.languages for note in _untested(lang, there[lang], tested[lang], read[lang], recipe)
    ]


def _untested(lang: str, there: int, tested: int, read: int, recipe: Recipe) -> Iterator[str]:
    """Yield what is unmeasured in `lang`, where `there` utterances are usable, `tested` have a reference, `read` a text."""
    direction, ours = _direction(lang, recipe), f"of corpus.test in {lang}"
    if not tested:
        yield f"{direction} has no score: none of the {there} usable utterances {ours} has a reference"
    elif tested < recipe.tested:
        yield f"{direction} is measured on {tested} utterances of the {recipe.tested} asked for: no more {ours} have a reference"
    if tested and not read:
        yield f"the toplines in {lang} have no ASR-BLEU and no WER: no tested utterance {ours} has a text"


def _usable(table: pa.Table, recipe: Recipe) -> pa.Table:
    spoken = pc.is_in(table["lang"], value_set=pa.array(recipe.languages, pa.string()))
    return table.filter(pc.and_(spoken, pc.equal(table["status"], OK)))


def _with_text(table: pa.Table, column: str) -> pa.Table:
    return table.filter(pc.fill_null(pc.greater(pc.utf8_length(pc.utf8_trim_whitespace(table[column])), 0), False))


def _by_language(table: pa.Table, recipe: Recipe) -> dict[str, int]:
    counts = Counter(table["lang"].to_pylist())
    return {lang: counts[lang] for lang in recipe.languages}


def _direction(lang: str, recipe: Recipe) -> str:
    first, second = recipe.languages
    return f"{lang}-{second if lang == first else first}"


def _why(table: pa.Table) -> str:
    """Return how many rows were lost for which reason, and the first reason in full."""
    reasons = table["reason"].drop_null().to_pylist()
    if not reasons:
        langs = ", ".join(sorted(set(table["lang"].to_pylist())))
        return f"its {table.num_rows} utterances are in {langs}" if langs else "it holds no utterance"
    counts = ", ".join(f"{reason} {count}" for reason, count in Counter(map(slug, reasons)).most_common())
    return f"{counts} (the first: {reasons[0]})"


def _hint(table: pa.Table, recipe: Recipe) -> str:
    langs = " or ".join(recipe.languages)
    if any(slug(reason) == "unknown_lang" for reason in table["reason"].drop_null().to_pylist()):
        return f"expected utterances in {langs}; {LANGUAGES}"
    return f"expected utterances in {langs}"
