"""What a round counts while it runs, as Ray's own metrics: Ray's dashboard and its Prometheus endpoints have them with the prefix `ray_`.

They count what was made, by the driver, as part files come: a row that is made again after a kill counts again.
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
"""Every metric (a counter) and its tags: rows written, unit tokens made, seconds of source speech gone through, pairs chosen."""
FRAME_S = 0.02
"""Seconds of speech that one frame of every encoder stands for; `durations` count frames."""


def count(name: str, amount: float, **tags: str) -> None:
    """Add to one of `NAMES`; a tag for each of its keys."""
    if amount:
        _counter(name).inc(amount, tags)


@cache
def _counter(name: str) -> Counter:
    from ray.util.metrics import Counter

    return Counter(name, description=name.replace("_", " "), tag_keys=NAMES[name])


def measured(table: pa.Table) -> dict[str, float]:
    """Return what rows of any dataset hold, by `NAMES`: unit tokens that its stage made, and seconds of source speech."""
    names, found = set(table.column_names), {}
    if "candidates" in names:
        sides = pc.list_flatten(table["candidates"])
        found["roundtrip_tokens"] = sum(
            _lengths(pc.struct_field(sides, name)) for name in ("units", "back_translation_units")
        )
    elif "units" in names:
        found["roundtrip_tokens"] = _lengths(table["units"])
    if "durations" in names:
        found["roundtrip_audio_seconds"] = FRAME_S * (pc.sum(pc.list_flatten(table["durations"])).as_py() or 0)
    return found


def _lengths(lists: pa.ChunkedArray) -> float:
    return float(pc.sum(pc.list_value_length(lists)).as_py() or 0)
