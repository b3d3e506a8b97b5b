# /// script
# dependencies = ["sacrebleu==2.4.3"]
# ///
"""chrF by another sacrebleu: the smallest judge, and an example of how one is written (docs/how-to/judge.md)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import sacrebleu


def load(model: str) -> Callable[[list[dict[str, Any]]], Iterable[float | str]]:
    """Return the function that scores rows with `source`, `candidate` and `reference`; chrF has no `model`."""
    chrf = sacrebleu.CHRF()
    return lambda rows: [
        chrf.sentence_score(row["candidate"], [row["reference"]]).score / 100
        if row["reference"]
        else "no_reference: chrF compares with a reference; --compare back_translation or reference has one"
        for row in rows
    ]
