"""Audio in many formats for tests, written by ffmpeg."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from factory.corpora.audio import read
from factory.corpora.base import AudioError
from tests.ffmpeg import decoded, encoded
from tests.ffmpeg import wav as write_wav

STATES_LENGTH = {
    "wav": (".wav", "-c:a", "pcm_s16le"),
    "wav 24": (".wav", "-c:a", "pcm_s24le"),
    "wav float": (".wav", "-c:a", "pcm_f32le"),
    "wav ulaw": (".wav", "-c:a", "pcm_mulaw"),
    "wav adpcm": (".wav", "-c:a", "adpcm_ima_wav"),
    "wav mp3": (".wav", "-c:a", "libmp3lame"),
    "rf64": (".wav", "-rf64", "always"),
    "w64": (".w64",),
    "aiff": (".aiff",),
    "aifc": (".aifc", "-f", "aiff", "-c:a", "pcm_mulaw"),
    "caf": (".caf", "-c:a", "pcm_s16le"),
    "caf alac": (".caf", "-c:a", "alac"),
    "au": (".au",),
    "flac": (".flac",),
    "ogg vorbis": (".ogg", "-c:a", "libvorbis"),
    "ogg flac": (".oga", "-c:a", "flac"),
    "opus": (".opus",),
    "ogg vorbis pipe": ("pipe:ogg", "-c:a", "libvorbis"),
    "mp3": (".mp3",),
    "mp3 vbr": (".mp3", "-q:a", "5"),
    "m4a": (".m4a",),
    "m4a index first": (".m4a", "-movflags", "+faststart"),
    "m4a alac": (".m4a", "-c:a", "alac"),
    "mp4 opus": (".mp4", "-c:a", "libopus"),
    "mp4 in fragments": (".mp4", "-movflags", "frag_keyframe+empty_moov", "-frag_duration", "300000"),
    "3gp amr": (".3gp", "-c:a", "libopencore_amrnb", "-ar", "8000", "-ac", "1"),
    "3gp aac": (".3gp", "-c:a", "aac"),
    "webm": (".webm", "-c:a", "libopus"),
    "webm vorbis": (".webm", "-c:a", "libvorbis"),
    "mka flac": (".mka", "-c:a", "flac"),
    "mka mp3": (".mka", "-c:a", "libmp3lame"),
    "wma": (".wma",),
    "wma 1": (".wma", "-c:a", "wmav1"),
    "wv": (".wv",),
    "tta": (".tta",),
}
"""Suffix and ffmpeg's options of files that state where they end."""
STATES_NO_LENGTH = {
    "mp3 without a header": (".mp3", "-write_xing", "0"),
    "mp3 vbr pipe": ("pipe:mp3", "-q:a", "5"),
    "mp2": (".mp2",),
    "aac": (".aac",),
    "amr": (".amr", "-c:a", "libopencore_amrnb", "-ar", "8000", "-ac", "1"),
    "ac3": (".ac3", "-ar", "48000"),
    "wav pipe": ("pipe:wav",),
    "flac pipe": ("pipe:flac",),
    "au pipe": ("pipe:au",),
    "caf pipe": ("pipe:caf", "-c:a", "pcm_s16le"),
    "webm pipe": ("pipe:webm", "-c:a", "libopus"),
    "mka pipe": ("pipe:matroska", "-c:a", "flac"),
    "wma pipe": ("pipe:asf", "-c:a", "wmav2"),
    "voc": (".voc", "-c:a", "pcm_s16le"),
}
FORMATS = {**STATES_LENGTH, **STATES_NO_LENGTH}


def make(name: str, seconds: float = 1.3, rate: int = 16_000, channels: int = 1) -> bytes:
    """Return a file in one of the FORMATS."""
    suffix, *options = FORMATS[name]
    content = encoded(suffix, tuple(options), seconds, rate, channels)
    assert content, f"ffmpeg could not write {name}"
    return content


def wav(wave: np.ndarray, rate: int = 16_000, subtype: str = "FLOAT") -> dict[str, bytes]:
    """Return a waveform as the audio of a row."""
    return {"bytes": write_wav(wave, rate, subtype)}


def refuse(audio: Mapping[str, object], **limits: float) -> str:
    """Return the reason why audio is refused."""
    with pytest.raises(AudioError) as caught:
        read(audio, **limits)
    return str(caught.value)


def check_same_as_ffmpeg(wave: np.ndarray, content: bytes) -> None:
    """Check that a waveform is what ffmpeg decodes; the two resamplers may differ by 1 ms."""
    reference = decoded(content)
    assert abs(len(wave) - len(reference)) <= 16
    length = min(len(wave), len(reference))
    assert np.corrcoef(wave[:length], reference[:length])[0, 1] > 0.99


def snr(clean: np.ndarray, noisy: np.ndarray) -> float:
    """Return the signal-to-noise ratio in dB."""
    return float(10 * np.log10((clean**2).sum() / ((clean - noisy) ** 2).sum()))
