"""The audio column of other people's tables: what its type means, as `{bytes, path}`."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import soundfile

from factory.corpora.base import CorpusError, failed_row
from factory.corpora.decode import AudioError
from schemas.datasets import Row

Audio = dict[str, Any]
"""An encoded file, `bytes`, or the `path` to one."""
_RATES = ("sampling_rate", "sample_rate")
_LOUDEST = 8.0
"""Peak of an array of floats: a loud recording that was resampled goes beyond 1, one of integers goes to thousands."""


def audio_reader(schema: pa.Schema, where: str) -> Callable[[Row], Audio | None]:
    """Return how a row's recording is read from its column `audio`.

    Known are a struct of bytes and path, encoded bytes, a path, a struct of `array` and `sampling_rate`, and an array
    beside a column `sampling_rate` (Hz). Raises CorpusError naming the type that is there where it is another.
    """
    kind = schema.field("audio").type
    parts = {field.name: field.type for field in kind} if pa.types.is_struct(kind) else {}
    if _is_array(parts.get("array")) and "sampling_rate" in parts:
        return lambda row: _of_array((row["audio"] or {}).get("array"), (row["audio"] or {}).get("sampling_rate"))
    if {"bytes", "path"} & set(parts) and _is_bytes(parts.get("bytes")) and _is_text(parts.get("path")):
        return lambda row: _of_struct(row["audio"])
    if _is_bytes(kind):
        return lambda row: None if row["audio"] is None else {"bytes": row["audio"], "path": None}
    if _is_text(kind):
        return lambda row: {"bytes": None, "path": row["audio"]} if row["audio"] else None
    rate = next((name for name in _RATES if name in schema.names), None)
    if _is_array(kind) and rate is not None:
        return lambda row: _of_array(row["audio"], row[rate])
    raise CorpusError(f"{where} has audio as {_told(kind)}; {_EXPECTED}")


def with_audio(told: Row, read: Callable[[Row], Audio | None], row: Row) -> Row:
    """Return a row of UTTERANCE with the recording that `read` finds in somebody else's row, or as failed."""
    try:
        return told | {"audio": read(row)}
    except AudioError as error:
        return failed_row(told, str(error))


_EXPECTED = (
    "expected bytes, path (as Hugging Face's Audio feature), encoded bytes, a path, "
    "or an array of samples with its sampling_rate"
)


def _is_bytes(kind: pa.DataType | None) -> bool:
    known = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view, pa.types.is_null)
    return kind is None or any(is_kind(kind) for is_kind in known)


def _is_text(kind: pa.DataType | None) -> bool:
    known = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view, pa.types.is_null)
    return kind is None or any(is_kind(kind) for is_kind in known)


def _is_array(kind: pa.DataType | None) -> bool:
    """Whether a column holds numbers: (N,), or (channels, N)."""
    known = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list, pa.types.is_list_view)
    if kind is None or not any(is_kind(kind) for is_kind in known):
        return False
    inner = kind.value_type
    return pa.types.is_floating(inner) or pa.types.is_integer(inner) or _is_array(inner)


def _told(kind: pa.DataType) -> str:
    fields = ", ".join(f"{field.name} ({field.type})" for field in kind) if pa.types.is_struct(kind) else ""
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
    """Encode an array of samples, (N,) or (channels, N), as WAV: floats in [-1, 1] as they are, integers as 16 bit.

    Raises AudioError where the samples are no wave at this rate.
    """
    if samples is None:
        return None
    try:
        if int(rate) <= 0:
            raise ValueError("a sampling rate is above 0")
        wave = np.asarray(samples)
        wave = wave.T if wave.ndim == 2 and wave.shape[0] < wave.shape[1] else wave
        is_pcm = np.issubdtype(wave.dtype, np.integer)
        peak, full = np.abs(wave.astype(np.float64)).max(initial=0), 2**15 if is_pcm else _LOUDEST
        if peak > full:
            raise ValueError(f"a sample is {peak:g}; expected floats in [-1, 1], or integers of 16 bits")
        sink, subtype = io.BytesIO(), "PCM_16" if is_pcm else "FLOAT"
        soundfile.write(sink, wave.astype(np.int16 if is_pcm else np.float32), int(rate), format="WAV", subtype=subtype)
    except (ValueError, TypeError, OverflowError, soundfile.LibsndfileError) as error:
        found = getattr(error, "error_string", error)
        raise AudioError("not_audio", f"the array is no wave at {rate} Hz ({found})") from error
    return {"bytes": sink.getvalue(), "path": None}
