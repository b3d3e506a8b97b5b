"""Shares of the spoken translations: those that take about as long as the source, and those in the target language."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from factory.metrics import bootstrap
from factory.report.summary_types import ShareName
from schemas.datasets import Row


def is_compliant(row: Row, tolerance: float) -> bool | None:
    """Return True if a translation takes as long as its source, within a tolerance; None where nothing was spoken.

    The share of such translations is the speech length compliance SLC_p of Wu et al. (2023, VideoDubber, arXiv
    2211.16934), after the length compliance of isometric translation (Lakew et al., 2022, arXiv 2112.08682): the ratio
    of the two durations lies in [1 - p, 1 + p]. A translation without speech takes 0 seconds.

    Args:
        row: a row of EVALUATED.
        tolerance: p, as a share (0..1) of the source's duration.
    """
    source, speech = row.get("source_s"), row.get("speech_s")
    return abs(speech / source - 1) <= tolerance if source and speech is not None else None


def is_in_target_language(row: Row) -> bool | None:
    """Return True if a translation is spoken in the target language by the recognizer; None where nothing was spoken.

    A translation without speech is in no language.
    """
    return row.get("spoken_lang") == row["tgt_lang"] if row.get("speech_s") is not None else None


SHARES: dict[ShareName, Callable[[Row], bool | None]] = {
    "slc_02": partial(is_compliant, tolerance=0.2),
    "slc_04": partial(is_compliant, tolerance=0.4),
    "spoken_language": is_in_target_language,
}
"""What is counted of the spoken translations."""


def sample_share(name: ShareName, rows: Sequence[Row], signature: str) -> bootstrap.Sample | None:
    """Return the statistics of a share (0..100) of the spoken rows of EVALUATED; None if nothing was measured."""
    verdicts = [verdict for row in rows if (verdict := SHARES[name](row)) is not None]
    return bootstrap.mean([100.0 * verdict for verdict in verdicts], signature) if verdicts else None
