"""Decodes audio files of any format and finds the ones that are cut off or damaged.

libav decodes all formats but one, so the result is that of `ffmpeg`. Opus in Ogg, the format that Roundtrip writes,
goes through libsndfile: it decodes speech of 16 kHz at 16 kHz, where libav gives 48 kHz that would have to be
resampled. For other formats both give the same samples, or the same within float rounding (Vorbis).
"""

from __future__ import annotations

import os
from typing import BinaryIO

import numpy as np
import soundfile

from factory.corpora.base import AudioError
from factory.corpora.containers import has_end, is_chained, share_present
from factory.corpora.libav import EXTRA_S, Decoded, Source, decode_with_libav


def decode(file: BinaryIO, max_s: float) -> tuple[np.ndarray, int]:
    """Decode a file to the mean of its channels at its own rate.

    Args:
        file: open for reading and seeking; nothing but this file is read.
        max_s: longest duration in seconds; not much more than this is ever decoded.

    Returns:
        The waveform of shape (N,), float32, and its sampling rate in Hz.

    Raises:
        AudioError: not_audio, truncated or too_long.
        OSError: the file cannot be read to its end.
    """
    size = file.seek(0, os.SEEK_END)
    share = share_present(file, size)
    head = file.read(36)
    file.seek(0)
    is_ogg = head.startswith(b"OggS")
    is_complete = not is_ogg or has_end(file, size)
    is_opus = is_ogg and head.endswith(b"OpusHead") and not is_chained(file)  # libsndfile reads only the first stream
    source = Source(file)
    try:
        decoded = _decode_with_libsndfile(source, max_s) if is_opus else decode_with_libav(source, max_s)
    except AudioError as error:
        if source.error:
            raise source.error from error
        if share == 1 and is_complete:
            raise
        raise AudioError(
            "truncated", "the end of the file is missing, and nothing can be decoded without it"
        ) from error
    if source.error:
        raise source.error
    _check_length(decoded, max_s, share, is_complete)
    return decoded.wave, decoded.rate


def _check_length(decoded: Decoded, max_s: float, share: float, is_complete: bool) -> None:
    """Raise AudioError if the audio is too long, or if a part of it is missing."""
    seconds = decoded.seconds
    if seconds > max_s:
        raise AudioError("too_long", f"more than {max_s:.2f} s of audio, at most {max_s:.2f} s is allowed")
    stated_s = max(decoded.stated_s, seconds / share if share else 0)
    if stated_s - seconds > decoded.tolerance_s:
        raise AudioError("truncated", f"{seconds:.2f} s could be decoded, but the file states {stated_s:.2f} s")
    if not is_complete or not share or (share < 1 and not seconds):
        raise AudioError("truncated", f"{seconds:.2f} s could be decoded, and the end of the file is missing")
    if decoded.refused:
        raise AudioError(
            "truncated", f"{seconds:.2f} s could be decoded, but {decoded.refused} packets of the file could not"
        )


def _decode_with_libsndfile(source: Source, max_s: float) -> Decoded:
    try:
        with soundfile.SoundFile(source) as sound:
            wave = sound.read(int((max_s + EXTRA_S) * sound.samplerate), dtype="float32", always_2d=True)
            return Decoded(wave.mean(axis=1), sound.samplerate, sound.frames / sound.samplerate)
    except soundfile.LibsndfileError as error:
        raise AudioError("not_audio", f"the format cannot be decoded ({error.error_string})") from error
