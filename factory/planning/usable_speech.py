"""What the speech of a round lacks: checked once it is listed or tokenized, hours before the lack would show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from factory.corpora.base import Kind
from factory.corpora.opening import open_corpus
from factory.passes.evaluate import select_test_rows
from factory.recipe.directions import Direction
from factory.recipe.recipe import Recipe
from factory.runtime.redact import redact
from factory.storage.dataset import DatasetDir
from factory.storage.reasons import slug
from schemas.datasets import OK
from schemas.errors import RoundtripError

WITH_RECOGNIZER = (
    "--set translator.back_translate=speech --set translator.unit_temperature=null --set scorer.score_text=asr"
)
"""Options for speech without transcripts: the recognizer transcribes sources and back-translations."""
LANGUAGES = (
    "an utterance's language is the first folder of a folder of audio (fr/name.wav), or the column lang of a table"
)
ADD_REFERENCES = "add a column reference with the translation of each utterance"


class UnusableSpeech(RoundtripError):
    """A corpus in which a round could use no utterance; the message says why, and what to do."""


def check_listed(kinds: Mapping[Kind, int], recipe: Recipe) -> None:
    """Check untranslated speech before any audio is read.

    Args:
        kinds: the number of rows of each kind in `corpus.mono`.
        recipe: the recipe.

    Raises:
        UnusableSpeech: a language that is translated has no utterance, or no utterance has the text that the recipe
        compares.
    """
    langs: Counter[str] = Counter()
    for kind, count in kinds.items():
        langs[kind.lang] += count
    corpus = f"corpus.mono ({redact(recipe.corpus.mono)})"
    if missing := [lang for lang in recipe.used_directions.sources if not langs[lang]]:
        present = ", ".join(f"{lang!r} {count:,}" for lang, count in langs.most_common(5))
        raise UnusableSpeech(
            f"no utterance of {corpus} is in {' or '.join(missing)} (its languages: {present}); {LANGUAGES}, and "
            f"?lang=fr after the corpus sets one{_or_leave_out(missing, recipe)}"
        )
    if recipe.compares_texts and not any(kind.has_text for kind in kinds):
        raise UnusableSpeech(
            f"no utterance of {corpus} has a text, and the recipe compares texts: give transcripts (name.txt next to "
            f"name.wav, a column text, or ?text=COLUMN), or let the recognizer transcribe them with {WITH_RECOGNIZER}"
        )


def check_recordings(recipe: Recipe, corpora: Sequence[str]) -> None:
    """Raise UnusableSpeech if a corpus holds units, and the policy reads recordings."""
    for name in corpora:
        uri = getattr(recipe.corpus, name)
        if open_corpus(uri).holds_units:
            raise UnusableSpeech(
                f"corpus.{name} ({redact(uri)}) holds units, and policy.kind: {recipe.policy.kind} reads recordings: "
                "give recordings, or set policy.kind: units"
            )


def check_alignment(recipe: Recipe) -> None:
    """Raise UnusableSpeech if round 0 needs the words of recordings and would not align them; before they are read."""
    interleave = recipe.sft.interleave
    if interleave is not None and interleave.units == "words" and recipe.aligner is None:
        raise UnusableSpeech(
            "sft.interleave.units: words needs to know when the words of corpus.paired "
            f"({redact(recipe.corpus.paired)}) are spoken: give a section aligner (--set aligner.kind=whisper), or set "
            "sft.interleave.units: uniform"
        )


def check_sources(sources: Sequence[DatasetDir], recipe: Recipe) -> list[str]:
    """Check the units that pairs are made from.

    Args:
        sources: finished datasets of UNITS.
        recipe: the recipe.

    Returns:
        A sentence for each direction that can have no pair because no utterance has a text.

    Raises:
        UnusableSpeech: a language has no usable utterance, or neither language has a text.
    """
    corpora = " and ".join(f"corpus.{name}" for name in ("mono", "paired") if recipe.corpus.source in (name, "both"))
    table = pa.concat_tables([units.rows(["utt_id", "lang", "text", "status", "reason"]) for units in sources])
    usable = _usable(table, recipe)
    _require_languages(table, usable, corpora, recipe)
    texts = _count_languages(_with_text(usable, "text"), recipe)
    if recipe.compares_texts and not any(texts.values()):
        raise UnusableSpeech(
            f"no utterance of {corpora} has a text, and the recipe compares texts: give transcripts, or let the "
            f"recognizer transcribe them with {WITH_RECOGNIZER}"
        )
    without = [lang for lang, count in texts.items() if not count] if recipe.compares_texts else []
    return [
        f"{direction} can have no pair: {corpora} has no usable utterance in {lang} with a text"
        for lang in without
        for direction in recipe.used_directions.from_language(lang)
    ]


def _require_languages(table: pa.Table, usable: pa.Table, corpora: str, recipe: Recipe) -> None:
    """Raise UnusableSpeech if a language that is translated, or a direction from it, has no usable utterance."""
    if not usable.num_rows:
        raise UnusableSpeech(
            f"no utterance of {corpora} can be used: {_describe_loss(table)}; {_expected(table, recipe)}"
        )
    counts = _count_languages(usable, recipe)
    if missing := [lang for lang, count in counts.items() if not count]:
        present = pa.array([lang for lang, count in counts.items() if count], pa.string())
        lost = table.filter(pc.invert(pc.is_in(table["lang"], value_set=present)))
        raise UnusableSpeech(
            f"no utterance of {corpora} in {' or '.join(missing)} can be used: {_describe_loss(lost)}; "
            f"{_expected(lost, recipe)}{_or_leave_out(missing, recipe)}"
        )
    ids = zip(usable["utt_id"].to_pylist(), usable["lang"].to_pylist(), strict=True)
    translated = {one for utterance in ids for one in recipe.used_directions.of_utterance(*utterance)}
    if empty := [direction for direction in recipe.used_directions if direction not in translated]:
        raise UnusableSpeech(
            f"no utterance of {corpora} can be translated in {', '.join(empty)}: the ids of the others name another "
            "direction (NAME/fr-en); give paired speech in these directions, or leave them out of directions"
        )


def _or_leave_out(langs: Sequence[str], recipe: Recipe) -> str:
    """Return the advice to do without the directions from some languages; nothing if there are only two."""
    used = recipe.used_directions
    if len(recipe.languages) == 2:
        return ""
    return f"; or leave {', '.join(one for lang in langs for one in used.from_language(lang))} out of directions"


def check_dev(dev: DatasetDir, recipe: Recipe, fewest: int) -> None:
    """Check that enough utterances have a reference for `select.delta: auto`.

    Args:
        dev: the units of corpus.dev (UNITS).
        recipe: the recipe.
        fewest: the number of references that the audit needs.

    Raises:
        UnusableSpeech: there are fewer.
    """
    table = _usable(dev.rows(["utt_id", "lang", "reference", "status"]), recipe)
    known = _with_text(table, "reference").num_rows
    if known < fewest:
        raise UnusableSpeech(
            f"select.delta is auto and needs at least {fewest} utterances of corpus.dev with a reference; {known} of "
            f"its {table.num_rows} usable utterances have one: {ADD_REFERENCES} to corpus.dev, or give select.delta "
            "a number"
        )


def list_unmeasured(units: DatasetDir, recipe: Recipe) -> list[str]:
    """Return a sentence for each score that the test set (UNITS) cannot give: per direction, or one for all."""
    chosen = select_test_rows(units, recipe)
    every = units.rows(["utt_id", "lang", "text", "reference", "status", "reason"])
    usable = _usable(every, recipe)
    if not usable.num_rows:
        reason = f"{_describe_loss(every)}; {_expected(every, recipe)}"
        return [f"no score is measured: no utterance of corpus.test can be used: {reason}"]
    if not chosen.num_rows:
        nothing = "no score is measured: no utterance of corpus.test has a reference"
        return [f"{nothing}; {ADD_REFERENCES}, or name another corpus.test"]
    notes: list[str] = []
    for lang in recipe.languages:
        directions, able = recipe.used_directions.from_language(lang), _in_language(usable, lang).num_rows
        tested = _in_language(chosen, lang)
        for direction in directions:
            notes += _unmeasured(direction, able, tested["tgt_lang"].to_pylist().count(direction.target), recipe)
        if lang in recipe.used_directions.targets:
            notes += _untopped(lang, tested if directions else _in_language(every, lang), bool(directions))
    return notes


def _unmeasured(direction: Direction, usable: int, tested: int, recipe: Recipe) -> Iterator[str]:
    """Yield the unmeasured scores of a direction with these numbers of usable and tested utterances."""
    lang, wanted = direction.source, recipe.test_utterances
    several = len(recipe.used_directions.from_language(lang)) > 1
    which = f" in {direction.target} (the text of NAME/{direction.target} for NAME/{lang}, or the id NAME/{direction})"
    if not tested:
        without = f"none of the {usable} usable utterances of corpus.test in {lang} has a reference"
        yield f"{direction} has no score: {without}{which if several else ''}"
    elif tested < wanted:
        yield (
            f"{direction} is measured on {tested} utterances instead of {wanted}: no more utterances of corpus.test in "
            f"{lang} have a reference"
        )


def _untopped(lang: str, rows: pa.Table, is_source: bool) -> Iterator[str]:
    """Yield why a target language has no toplines, or only a part of them.

    Args:
        lang: the language.
        rows: the test utterances in it: those that are translated or, if it is no source, all.
        is_source: whether it is translated too.
    """
    if not rows.num_rows and not is_source:
        yield f"there are no toplines in {lang}: corpus.test has no utterance in {lang}"
    if rows.num_rows and not _with_text(rows, "text").num_rows:
        tested = "tested " if is_source else ""
        without = f"no {tested}utterance of corpus.test in {lang} has a text"
        yield f"the toplines in {lang} have no ASR-BLEU and no WER: {without}"


def _in_language(table: pa.Table, lang: str) -> pa.Table:
    return table.filter(pc.equal(table["lang"], lang))


def _usable(table: pa.Table, recipe: Recipe) -> pa.Table:
    expected = pc.is_in(table["lang"], value_set=pa.array(recipe.used_directions.sources, pa.string()))
    return table.filter(pc.and_(expected, pc.equal(table["status"], OK)))


def _with_text(table: pa.Table, column: str) -> pa.Table:
    return table.filter(pc.fill_null(pc.greater(pc.utf8_length(pc.utf8_trim_whitespace(table[column])), 0), False))


def _count_languages(table: pa.Table, recipe: Recipe) -> dict[str, int]:
    counts = Counter(table["lang"].to_pylist())
    return {lang: counts[lang] for lang in recipe.used_directions.sources}


def _describe_loss(table: pa.Table) -> str:
    """Return the number of lost rows per reason, and the first reason in full."""
    reasons = table["reason"].drop_null().to_pylist()
    if not reasons:
        langs = ", ".join(sorted(set(table["lang"].to_pylist())))
        return f"its {table.num_rows} utterances are in {langs}" if langs else "it holds no utterance"
    counts = ", ".join(f"{reason} {count}" for reason, count in Counter(map(slug, reasons)).most_common())
    return f"{counts} (the first: {reasons[0]})"


def _expected(table: pa.Table, recipe: Recipe) -> str:
    langs = f"expected utterances in {' or '.join(recipe.used_directions.sources)}"
    unknown = any(slug(reason) == "unknown_lang" for reason in table["reason"].drop_null().to_pylist())
    return f"{langs}; {LANGUAGES}" if unknown else langs
