"""Encoded audio in, a wave out, and back: every wave here is float32, mono, 16 kHz, in [-1, 1]."""

from __future__ import annotations

import io
import os
import stat
from typing import Any, BinaryIO

import numpy as np
import pyarrow.fs as pafs
import soundfile
import soxr

from factory.corpora.decode import AudioError, decode
from factory.storage.files import filesystem, get
from factory.storage.manifest import StoreError
from schemas.audio import SAMPLE_RATE

SILENCE = 1e-3
"""Peak below which a recording counts as silent: -60 dBFS."""
OPUS_BITRATE = 24_000
"""Bits a second that speech is stored with in Opus; transparent enough for listening, a tenth of 16-bit PCM."""
OPUS_LEVEL = (256_000 - OPUS_BITRATE) / 250_000
"""The compression level that gives OPUS_BITRATE: libsndfile maps levels of 1..0 to 6..256 kbit/s a channel."""
AUDIO_SUFFIXES = frozenset(
    # fmt: off
    {
        ".3gp",
        ".3gpp",
        ".aac",
        ".ac3",
        ".aif",
        ".aifc",
        ".aiff",
        ".amr",
        ".ape",
        ".asf",
        ".au",
        ".awb",
        ".bwf",
        ".caf",
        ".flac",
        ".m4a",
        ".m4b",
        ".mka",
        ".mp2",
        ".mp3",
        ".mp4",
        ".mpga",
        ".oga",
        ".ogg",
        ".opus",
        ".rf64",
        ".snd",
        ".sph",
        ".spx",
        ".tta",
        ".voc",
        ".w64",
        ".wav",
        ".wave",
        ".weba",
        ".webm",
        ".wma",
        ".wv",
    }
    # fmt: on
)
"""The suffixes of files that `read` can decode. A file is recognised by its content; suffixes only say which files are speech."""
_FORMATS = {"OGG/OPUS": ("OGG", "OPUS"), "FLAC": ("FLAC", "PCM_16"), "WAV": ("WAV", "PCM_16")}


def read(audio: dict[str, Any] | None, min_s: float = 0.1, max_s: float = 30.0) -> np.ndarray:
    """Decode speech, whatever it is stored as.

    Args:
        audio: `{"bytes", "path"}`, bytes first, as Hugging Face's Audio feature has them; the path may be a URI.
        min_s: seconds; a shorter recording is refused.
        max_s: seconds; a longer one is refused, and is not decoded much further than this.

    Returns:
        The mean of the channels as a wave of shape (N,), float32 at 16 kHz, in [-1, 1]. Its length is what was decoded.

    Raises:
        AudioError: with the slug missing_file, not_audio, truncated, empty, nan, too_short, too_long or silent.
        StoreError: where an object store fails, which says nothing about the recording.
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
    """Bring a wave of shape (N,) from `rate` to another sampling rate (soxr, high quality); float32."""
    wave = np.asarray(wave, np.float32)
    return wave if rate == to else soxr.resample(wave, rate, to)


def encode(wave: np.ndarray, format: str = "OGG/OPUS") -> bytes:
    """Encode a wave of shape (N,) at 16 kHz as `OGG/OPUS` (OPUS_BITRATE bits a second), `FLAC` or `WAV` (16 bit, lossless)."""
    if format not in _FORMATS:
        raise ValueError(f"audio is written as {' or '.join(_FORMATS)}; got {format!r}")
    container, subtype = _FORMATS[format]
    level = OPUS_LEVEL if subtype == "OPUS" else None
    sink = io.BytesIO()
    soundfile.write(
        sink, np.asarray(wave, np.float32), SAMPLE_RATE, format=container, subtype=subtype, compression_level=level
    )
    return sink.getvalue()


def _decode(audio: dict[str, Any], max_s: float) -> tuple[np.ndarray, int]:
    """Return the mean of the channels and its rate; bytes, files and URIs go the same way from here."""
    content, path = audio.get("bytes"), str(audio.get("path") or "")
    if content is None and not path:
        raise AudioError("missing_file", "the row holds neither audio bytes nor a path")
    try:
        with io.BytesIO(content) if content is not None else _open(path) as file:
            if not file.seek(0, os.SEEK_END):
                raise AudioError("empty", "the file holds no bytes")
            return decode(file, max_s)
    except OSError as error:  # of a disk or a network drive
        raise AudioError("missing_file", f"{path} cannot be read to its end ({error})") from error


def _open(path: str) -> BinaryIO:
    if "://" not in path:
        return _open_local(path)
    try:
        fs, inner = filesystem(path)
    except (StoreError, ValueError) as error:
        raise AudioError("missing_file", f"{path!r} leads to no storage ({error})") from error
    if isinstance(fs, pafs.LocalFileSystem):
        return _open_local(inner)
    try:
        return io.BytesIO(get(fs, inner))
    except FileNotFoundError as error:
        raise AudioError("missing_file", f"there is no file {path}") from error
    except StoreError:
        raise
    except Exception as error:  # each store's client has errors of its own
        raise StoreError(
            f"{path} could not be read ({error}): mend the store or the path, then run the same command again"
        ) from error


def _open_local(path: str) -> BinaryIO:
    """Open a file of this machine; a folder, a pipe or a device is none."""
    try:
        is_file = stat.S_ISREG(os.stat(path).st_mode)  # to open a pipe would wait for its writer
        file = open(path, "rb") if is_file else None  # noqa: SIM115  # the caller closes it
    except FileNotFoundError as error:
        raise AudioError("missing_file", f"there is no file {path}") from error
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        raise AudioError("missing_file", f"the file {path!r} cannot be opened ({error})") from error
    if file is None:
        raise AudioError("missing_file", f"{path!r} is no file")
    return file
