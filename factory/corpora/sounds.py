"""The audio column of other people's tables: what its type means, as `{bytes, path}`."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import soundfile

from factory.corpora.base import CorpusError, Row

Audio = dict[str, Any]
"""An encoded file, `bytes`, or the `path` to one."""
_RATES = ("sampling_rate", "sample_rate")


def audio_reader(schema: pa.Schema, where: str) -> Callable[[Row], Audio | None]:
    """Return how a row's recording is read from its column `audio`.

    Known are a struct of bytes and path, encoded bytes, a path, a struct of `array` and `sampling_rate`, and an array
    beside a column `sampling_rate` (Hz). Raises CorpusError naming the type that is there where it is another.
    """
    kind = schema.field("audio").type
    names = [field.name for field in kind] if pa.types.is_struct(kind) else []
    if {"array", *_RATES[:1]} <= set(names):
        return lambda row: _of_array((row["audio"] or {}).get("array"), (row["audio"] or {}).get("sampling_rate"))
    if {"bytes", "path"} & set(names):
        return lambda row: _of_struct(row["audio"])
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return lambda row: None if row["audio"] is None else {"bytes": row["audio"], "path": None}
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return lambda row: {"bytes": None, "path": row["audio"]} if row["audio"] else None
    rate = next((name for name in _RATES if name in schema.names), None)
    if _is_array(kind) and rate is not None:
        return lambda row: _of_array(row["audio"], row[rate])
    raise CorpusError(f"{where} has audio as {_told(kind)}; {_EXPECTED}")


_EXPECTED = (
    "expected bytes, path (as Hugging Face's Audio feature), encoded bytes, a path, "
    "or an array of samples with its sampling_rate"
)


def _is_array(kind: pa.DataType) -> bool:
    listed = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    return listed and (pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type))


def _told(kind: pa.DataType) -> str:
    fields = ", ".join(field.name for field in kind) if pa.types.is_struct(kind) else ""
    return (
        f"a struct of {fields}"
        if fields
        else f"{kind}, without a column sampling_rate"
        if _is_array(kind)
        else str(kind)
    )


def _of_struct(audio: Mapping[str, Any] | None) -> Audio | None:
    return None if audio is None else {"bytes": audio.get("bytes"), "path": audio.get("path")}


def _of_array(samples: Any, rate: Any) -> Audio | None:
    """Encode an array of samples, (N,) or (channels, N), as WAV: floats in [-1, 1] as they are, integers as 16 bit."""
    if samples is None or not rate:
        return None
    wave = np.asarray(samples)
    wave = wave.T if wave.ndim == 2 and wave.shape[0] < wave.shape[1] else wave
    wave = wave.astype(np.int16) if np.issubdtype(wave.dtype, np.integer) else wave.astype(np.float32)
    sink = io.BytesIO()
    soundfile.write(sink, wave, int(rate), format="WAV", subtype="PCM_16" if wave.dtype == np.int16 else "FLOAT")
    return {"bytes": sink.getvalue(), "path": None}
