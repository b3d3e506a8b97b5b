"""Reads the audio column of a table by its type."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import soundfile

from factory.corpora.base import Audio, AudioError, CorpusError, mark_failed
from schemas.datasets import Row

AudioReader = Callable[[Row], Audio | None]
"""Returns the recording of a row with the columns of the corpus."""
_RATES = ("sampling_rate", "sample_rate")
_MAX_PEAK = 8.0
"""Largest peak of an array of floats: resampling may exceed 1 a little, but integers as floats reach thousands."""


def make_audio_reader(schema: pa.Schema, source: str) -> AudioReader:
    """Return a function that reads the column `audio` of a row.

    Supported types are a struct of bytes and path, encoded bytes, a path, a struct of `array` and `sampling_rate`, and
    an array next to a column `sampling_rate` (Hz). Raises CorpusError for another type; `source` is named in it.
    """
    kind = schema.field("audio").type
    parts = {field.name: field.type for field in kind} if pa.types.is_struct(kind) else {}
    if _is_array(parts.get("array")) and "sampling_rate" in parts:
        return lambda row: _from_array((row["audio"] or {}).get("array"), (row["audio"] or {}).get("sampling_rate"))
    if {"bytes", "path"} & set(parts) and _is_bytes(parts.get("bytes")) and _is_text(parts.get("path")):
        return lambda row: _from_struct(row["audio"])
    if _is_bytes(kind):
        return lambda row: None if row["audio"] is None else {"bytes": row["audio"], "path": None}
    if _is_text(kind):
        return lambda row: {"bytes": None, "path": row["audio"]} if row["audio"] else None
    rate = next((name for name in _RATES if name in schema.names), None)
    if _is_array(kind) and rate is not None:
        return lambda row: _from_array(row["audio"], row[rate])
    raise CorpusError(f"{source} has audio as {_describe(kind)}; {_EXPECTED}")


def add_audio(utterance: Row, read: AudioReader, row: Row) -> Row:
    """Return `utterance` with the recording of `row`, or as failed if that is not audio."""
    try:
        return utterance | {"audio": read(row)}
    except AudioError as error:
        return mark_failed(utterance, str(error))


_EXPECTED = (
    "expected bytes, path (as Hugging Face's Audio feature), encoded bytes, a path, "
    "or an array of samples with its sampling_rate"
)


def _is_bytes(kind: pa.DataType | None) -> bool:
    tests = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view, pa.types.is_null)
    return kind is None or any(test(kind) for test in tests)


def _is_text(kind: pa.DataType | None) -> bool:
    tests = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view, pa.types.is_null)
    return kind is None or any(test(kind) for test in tests)


def _is_array(kind: pa.DataType | None) -> bool:
    """Return whether a column holds lists of numbers: (N,) or (channels, N)."""
    tests = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list, pa.types.is_list_view)
    if kind is None or not any(test(kind) for test in tests):
        return False
    inner = kind.value_type
    return pa.types.is_floating(inner) or pa.types.is_integer(inner) or _is_array(inner)


def _describe(kind: pa.DataType) -> str:
    if pa.types.is_struct(kind) and kind.num_fields:
        return f"a struct of {', '.join(f'{field.name} ({field.type})' for field in kind)}"
    return f"{kind}, without a column sampling_rate" if _is_array(kind) else str(kind)


def _from_struct(audio: Row | None) -> Audio | None:
    return None if audio is None else {"bytes": audio.get("bytes"), "path": audio.get("path")}


def _from_array(samples: Any, rate: Any) -> Audio | None:
    """Encode samples, (N,) or (channels, N), as WAV: floats in [-1, 1] as floats, integers as 16 bits.

    Raises AudioError if the samples are not audio at this rate.
    """
    if samples is None:
        return None
    try:
        if int(rate) <= 0:
            raise ValueError("a sampling rate is above 0")
        wave = np.asarray(samples)
        wave = wave.T if wave.ndim == 2 and wave.shape[0] < wave.shape[1] else wave
        is_pcm = np.issubdtype(wave.dtype, np.integer)
        peak, limit = np.abs(wave.astype(np.float64)).max(initial=0), 2**15 if is_pcm else _MAX_PEAK
        if peak > limit:
            raise ValueError(f"a sample is {peak:g}; expected floats in [-1, 1], or integers of 16 bits")
        sink, subtype = io.BytesIO(), "PCM_16" if is_pcm else "FLOAT"
        soundfile.write(sink, wave.astype(np.int16 if is_pcm else np.float32), int(rate), format="WAV", subtype=subtype)
    except (ValueError, TypeError, OverflowError, soundfile.LibsndfileError) as error:
        reason = getattr(error, "error_string", error)
        raise AudioError("not_audio", f"the array is not audio at {rate} Hz ({reason})") from error
    return {"bytes": sink.getvalue(), "path": None}
