"""Encoded audio in, a wave out, and back: every wave here is float32, mono, 16 kHz, in [-1, 1]."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr

RATE = 16_000
SILENCE = 1e-3
"""Peak below which a recording counts as silent: -60 dBFS."""
OPUS_BITRATE = 24_000
"""Bits a second that speech is stored with in Opus; transparent enough for listening, a tenth of 16-bit PCM."""
OPUS_LEVEL = (256_000 - OPUS_BITRATE) / 250_000
"""The compression level that gives OPUS_BITRATE: libsndfile maps levels of 1..0 to 6..256 kbit/s a channel."""


class AudioError(ValueError):
    """Audio that cannot be used; its text is `slug: sentence`, so that reasons can be counted."""

    def __init__(self, slug: str, sentence: str) -> None:
        super().__init__(f"{slug}: {sentence}")
        self.slug = slug


def read(audio: dict[str, Any] | None, min_s: float = 0.1, max_s: float = 30.0) -> np.ndarray:
    """Decode `{"bytes", "path"}` (bytes first, as Hugging Face's Audio feature has them) to a wave of shape (N,), float32 at 16 kHz.

    Channels are averaged; `min_s` and `max_s` are the seconds that are accepted. Raises AudioError with the slug missing_file, not_audio,
    truncated, empty, nan, too_short, too_long or silent.
    """
    wave, rate = _decode(_source(audio), max_s)
    if not len(wave):
        raise AudioError("empty", "the file holds no samples")
    if not np.isfinite(wave).all():
        raise AudioError("nan", "the samples hold NaN or infinity")
    wave = np.clip(resample(wave, rate), -1, 1)
    seconds, peak = len(wave) / RATE, float(np.abs(wave).max(initial=0))
    if seconds < min_s:
        raise AudioError("too_short", f"{seconds:.2f} s of audio, at least {min_s:.2f} s is needed")
    if peak < SILENCE:
        raise AudioError("silent", f"the loudest sample is {peak:.5f}, below -60 dBFS ({SILENCE})")
    return wave


def resample(wave: np.ndarray, rate: int, to: int = RATE) -> np.ndarray:
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
    soundfile.write(sink, np.asarray(wave, np.float32), RATE, format=container, subtype=subtype, compression_level=level)
    return sink.getvalue()


_FORMATS = {"OGG/OPUS": ("OGG", "OPUS"), "FLAC": ("FLAC", "PCM_16"), "WAV": ("WAV", "PCM_16")}


def _source(audio: dict[str, Any] | None) -> io.BytesIO | str:
    audio = audio or {}
    content, path = audio.get("bytes"), str(audio.get("path") or "")
    if content is None and not path:
        raise AudioError("missing_file", "the row holds neither audio bytes nor a path")
    if content is None and "://" in path:
        content = _fetch(path)
    if content is None and not Path(path).is_file():
        raise AudioError("missing_file", f"there is no file {path}")
    if not (Path(path).stat().st_size if content is None else len(content)):
        raise AudioError("empty", "the file holds no bytes")
    return path if content is None else io.BytesIO(content)


def _fetch(uri: str) -> bytes:
    from factory.files import filesystem, get

    try:
        return get(*filesystem(uri))
    except FileNotFoundError as error:
        raise AudioError("missing_file", f"there is no file {uri}") from error


def _whole(file: soundfile.SoundFile) -> np.ndarray:
    """Decode all samples (N, channels); a file that ends long before it said it would is no recording of what was said."""
    wave = file.read(dtype="float32", always_2d=True)
    if len(wave) < 0.98 * file.frames:
        seconds, said = len(wave) / file.samplerate, file.frames / file.samplerate
        raise AudioError("truncated", f"{seconds:.2f} s could be decoded of the {said:.2f} s that the file says it holds")
    return wave


def _decode(source: io.BytesIO | str, max_s: float) -> tuple[np.ndarray, int]:
    """Return the channels' mean (float32) and the file's rate; the length is judged before anything is decoded."""
    try:
        with soundfile.SoundFile(source) as file:
            rate, seconds = file.samplerate, file.frames / file.samplerate
            if seconds <= max_s:
                return _whole(file).mean(axis=1), rate
    except (soundfile.LibsndfileError, TypeError) as error:  # TypeError: named .raw, so that it asks for the sampling rate
        told = getattr(error, "error_string", error)
        raise AudioError("not_audio", f"the bytes are in no format that can be decoded ({told})") from error
    raise AudioError("too_long", f"{seconds:.2f} s of audio, at most {max_s:.2f} s are taken")
