"""Reads and writes encoded audio. Every waveform is float32, mono, 16 kHz, in [-1, 1]."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Mapping
from typing import BinaryIO, cast

import numpy as np
import pyarrow.fs as pafs
import soundfile
import soxr

from factory.corpora.base import AudioError
from factory.corpora.decode import decode
from factory.storage.files import filesystem, get
from factory.storage.manifest import StoreError
from schemas.audio import SAMPLE_RATE, SILENCE

OPUS_BITRATE = 24_000
"""Bits per second of speech in Opus: transparent enough for listening, a tenth of 16-bit PCM."""
OPUS_LEVEL = (256_000 - OPUS_BITRATE) / 250_000
"""The compression level that gives OPUS_BITRATE: libsndfile maps levels 1..0 to 6..256 kbit/s per channel."""
_SUFFIXES = (
    ".3gp .3gpp .aac .ac3 .aif .aifc .aiff .amr .ape .asf .au .awb .bwf .caf .flac .m4a .m4b .mka .mp2 .mp3 .mp4 .mpga "
    ".oga .ogg .opus .rf64 .snd .sph .spx .tta .voc .w64 .wav .wave .weba .webm .wma .wv"
)
AUDIO_SUFFIXES = frozenset(_SUFFIXES.split())
"""Suffixes of files that `read` can decode. They say which files are recordings; the content says in which format."""
_FORMATS = {"OGG/OPUS": ("OGG", "OPUS"), "FLAC": ("FLAC", "PCM_16"), "WAV": ("WAV", "PCM_16")}


def read(audio: Mapping[str, object] | None, min_s: float = 0.1, max_s: float = 30.0) -> np.ndarray:
    """Decode speech in any format.

    Args:
        audio: `{"bytes", "path"}` as in Hugging Face's Audio feature; `bytes` wins, and `path` may be a URI.
        min_s: shortest duration in seconds.
        max_s: longest duration in seconds; a longer recording is not decoded much further than this.

    Returns:
        The mean of the channels as a waveform of shape (N,), float32 at 16 kHz, in [-1, 1]. N is what was decoded, not
        what the file states.

    Raises:
        AudioError: with the slug missing_file, not_audio, truncated, empty, nan, too_short, too_long or silent.
        StoreError: an object store fails, which says nothing about the recording.
    """
    wave = resample(*_decode(audio or {}, max_s))
    if not len(wave):
        raise AudioError("empty", "the file holds no samples")
    if not np.isfinite(wave).all():
        raise AudioError("nan", "the samples hold NaN or infinity")
    wave = np.clip(wave, -1, 1)
    seconds, peak = len(wave) / SAMPLE_RATE, float(np.abs(wave).max(initial=0))
    if seconds < min_s:
        raise AudioError("too_short", f"{seconds:.2f} s of audio, at least {min_s:.2f} s is needed")
    if peak < SILENCE:
        raise AudioError("silent", f"the loudest sample is {peak:.5f}, below -60 dBFS ({SILENCE})")
    return wave


def resample(wave: np.ndarray, rate: int, to: int = SAMPLE_RATE) -> np.ndarray:
    """Resample a waveform (soxr, high quality).

    Args:
        wave: shape (N,).
        rate: its sampling rate in Hz.
        to: the new sampling rate in Hz.

    Returns:
        The waveform, float32, of shape (N * to / rate,).
    """
    wave = np.asarray(wave, np.float32)
    return wave if rate == to else cast(np.ndarray, soxr.resample(wave, rate, to))


def encode(wave: np.ndarray, format: str = "OGG/OPUS") -> bytes:
    """Encode a waveform of shape (N,) at 16 kHz as `OGG/OPUS` (OPUS_BITRATE), `FLAC` or `WAV` (both 16 bits)."""
    if format not in _FORMATS:
        raise ValueError(f"audio is written as {' or '.join(_FORMATS)}; got {format!r}")
    container, subtype = _FORMATS[format]
    level = OPUS_LEVEL if subtype == "OPUS" else None
    sink = io.BytesIO()
    soundfile.write(
        sink, np.asarray(wave, np.float32), SAMPLE_RATE, format=container, subtype=subtype, compression_level=level
    )
    return sink.getvalue()


def _decode(audio: Mapping[str, object], max_s: float) -> tuple[np.ndarray, int]:
    """Return the mean of the channels, (N,), and its rate in Hz."""
    content, path = cast(bytes | None, audio.get("bytes")), str(audio.get("path") or "")
    if content is None and not path:
        raise AudioError("missing_file", "the row holds neither audio bytes nor a path")
    try:
        with io.BytesIO(content) if content is not None else _open(path) as file:
            if not file.seek(0, os.SEEK_END):
                raise AudioError("empty", "the file holds no bytes")
            return decode(file, max_s)
    except OSError as error:  # a disk or network drive failed
        raise AudioError("missing_file", f"{path} cannot be read to its end ({error})") from error


def _open(path: str) -> BinaryIO:
    if "://" not in path:
        return _open_local(path)
    try:
        fs, inner = filesystem(path)
    except (StoreError, ValueError) as error:
        raise AudioError("missing_file", f"{path!r} is not the URI of a known storage ({error})") from error
    if isinstance(fs, pafs.LocalFileSystem):
        return _open_local(inner)
    try:
        return io.BytesIO(get(fs, inner))
    except FileNotFoundError as error:
        raise AudioError("missing_file", f"there is no file {path}") from error
    except StoreError:
        raise
    except Exception as error:  # each client of a store raises its own types
        raise StoreError(
            f"{path} could not be read ({error}): fix the store or the path, then run the same command again"
        ) from error


def _open_local(path: str) -> BinaryIO:
    """Open a regular file of this machine; folders, pipes and devices are refused."""
    try:
        is_file = stat.S_ISREG(os.stat(path).st_mode)  # opening a pipe would wait for its writer
        file = open(path, "rb") if is_file else None  # noqa: SIM115  # the caller closes it
    except FileNotFoundError as error:
        raise AudioError("missing_file", f"there is no file {path}") from error
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        raise AudioError("missing_file", f"the file {path!r} cannot be opened ({error})") from error
    if file is None:
        raise AudioError("missing_file", f"{path!r} is not a regular file")
    return file
