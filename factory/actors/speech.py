"""What the actors that read recordings share: the wave of a row, or the reason why it has none."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from schemas.datasets import FAILED, SKIPPED, Row

SKIPPED_SLUGS = {"silent", "too_short", "too_long"}
"""Reasons in the speech and not in the file: the utterance is `skipped`; with any other reason it is `failed`."""


def find_language_problem(row: Row, langs: Sequence[str]) -> str | None:
    """Return why a row in another language than `langs` is skipped; None if its language is one of them."""
    if row["lang"] in langs:
        return None
    return f"unknown_lang: {row['lang']!r} is not a language of the recipe ({', '.join(langs)})"


def read_speech(row: Row, min_s: float, max_s: float) -> tuple[Row, np.ndarray | None]:
    """Return the row and its wave (samples,) at 16 kHz; or the row with `status` and `reason`, and None.

    Args:
        row: a row of UTTERANCE.
        min_s: seconds of the shortest utterance that is accepted.
        max_s: seconds of the longest one.
    """
    from factory.corpora.audio import read
    from factory.corpora.base import AudioError

    try:
        return row, read(row["audio"], min_s, max_s)
    except AudioError as error:
        return {**row, "status": SKIPPED if error.slug in SKIPPED_SLUGS else FAILED, "reason": str(error)}, None
