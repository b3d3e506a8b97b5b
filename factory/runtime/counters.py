"""Counters of a round as Ray metrics. Ray's dashboard and its Prometheus endpoints show them with the prefix `ray_`.

The driver counts the rows of a part file when the file is written. A row that is produced again after a kill is
counted again.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from ray.util.metrics import Counter

NAMES = {
    "roundtrip_rows": ("stage", "status"),
    "roundtrip_tokens": ("stage",),
    "roundtrip_audio_seconds": ("stage",),
    "roundtrip_pairs": ("stage", "direction"),
}
"""Counter -> its tags: rows written, unit tokens produced, seconds of source speech processed, pairs selected."""
FRAME_S = 0.02
"""Seconds of speech per frame of every encoder; the column `durations` counts frames."""


def count(name: str, amount: float, **tags: str) -> None:
    """Add `amount` to a counter.

    Args:
        name: A key of `NAMES`.
        amount: What to add; 0 creates no counter.
        tags: A value for every tag of the counter.
    """
    if amount:
        _counter(name).inc(amount, tags)


@cache
def _counter(name: str) -> Counter:
    from ray.util.metrics import Counter

    return Counter(name, description=name.replace("_", " "), tag_keys=NAMES[name])


def measure(table: pa.Table) -> dict[str, float]:
    """Return the amounts that the rows of any dataset add to the counters.

    Args:
        table: Rows of any schema. Units of candidates count where there are candidates, else the column `units`.

    Returns:
        `roundtrip_tokens` in unit tokens and `roundtrip_audio_seconds` in seconds; only those that the columns give.
    """
    names, amounts = set(table.column_names), {}
    if "candidates" in names:
        candidates = pc.list_flatten(table["candidates"])
        columns = [pc.struct_field(candidates, name) for name in ("units", "back_translation_units")]
        amounts["roundtrip_tokens"] = sum(map(_total_length, columns))
    elif "units" in names:
        amounts["roundtrip_tokens"] = _total_length(table["units"])
    if "durations" in names:
        frames = pc.sum(pc.list_flatten(table["durations"])).as_py() or 0
        amounts["roundtrip_audio_seconds"] = FRAME_S * frames
    return amounts


def _total_length(lists: pa.ChunkedArray) -> float:
    return float(pc.sum(pc.list_value_length(lists)).as_py() or 0)
