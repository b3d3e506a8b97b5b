"""Speech that ffmpeg encodes and decodes: the reference for other decoders."""

from __future__ import annotations

import io
import subprocess
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import imageio_ffmpeg
import numpy as np
import soundfile

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()


def tone(seconds: float = 1.0, rate: int = 16_000) -> np.ndarray:
    """Return a tone of shape (N,) that rises from 200 to 1,400 Hz at -10 dBFS."""
    t = np.arange(int(seconds * rate)) / rate
    return (0.3 * np.sin(2 * np.pi * (200 * t + 600 * t**2 / seconds))).astype(np.float32)


def run(*arguments: str, content: bytes | None = None) -> bytes:
    """Run ffmpeg, and return its standard output, even if it fails."""
    done = subprocess.run([FFMPEG, "-v", "error", *arguments], input=content, capture_output=True, check=False)
    return done.stdout


@cache
def encoded(
    suffix: str, options: tuple[str, ...] = (), seconds: float = 1.0, rate: int = 16_000, channels: int = 1
) -> bytes:
    """Return the tone as the bytes of an audio file.

    Args:
        suffix: the file's suffix; `pipe:FORMAT` writes to a pipe, where the encoder cannot seek.
        options: options of ffmpeg.
        seconds: the length.
        rate: samples per second.
        channels: the number of channels; each is quieter than the one before.
    """
    waves = np.stack([tone(seconds, rate) / (1 + channel) for channel in range(channels)], axis=1)
    with TemporaryDirectory() as folder:
        source, target = Path(folder, "tone.wav"), Path(folder, f"tone{suffix}")
        soundfile.write(source, waves, rate, subtype="PCM_16")
        if suffix.startswith("pipe:"):
            return run("-i", str(source), *options, "-f", suffix.removeprefix("pipe:"), "pipe:1")
        run("-i", str(source), *options, str(target))
        return target.read_bytes()


def decoded(content: bytes) -> np.ndarray:
    """Return the mean of a file's channels by ffmpeg, of shape (N,), at 16 kHz."""
    with TemporaryDirectory() as folder:
        source = Path(folder, "speech")
        source.write_bytes(content)
        raw = run("-i", str(source), "-map", "0:a:0", "-ac", "1", "-ar", "16000", "-f", "f32le", "pipe:1")
        return np.frombuffer(raw, np.float32)


def wav(wave: np.ndarray, rate: int = 16_000, subtype: str = "FLOAT", format: str = "WAV") -> bytes:
    """Return a wave of shape (N,) or (N, channels) as the bytes of an audio file, by libsndfile."""
    sink = io.BytesIO()
    soundfile.write(sink, wave, rate, format=format, subtype=subtype)
    return sink.getvalue()
