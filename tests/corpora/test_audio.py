"""Audio is read whatever it is stored as, and what cannot be used says why."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile

from factory.corpora.audio import AudioError, encode, read


def sweep(seconds: float = 1.0, rate: int = 16_000) -> np.ndarray:
    """A tone that glides from 200 to 1,400 Hz at -10 dBFS."""
    t = np.arange(int(seconds * rate)) / rate
    return (0.3 * np.sin(2 * np.pi * (200 * t + 600 * t**2 / seconds))).astype(np.float32)


def wav(wave: np.ndarray, rate: int = 16_000, subtype: str = "FLOAT") -> dict[str, bytes]:
    sink = io.BytesIO()
    soundfile.write(sink, wave, rate, format="WAV", subtype=subtype)
    return {"bytes": sink.getvalue()}


def snr(clean: np.ndarray, heard: np.ndarray) -> float:
    return float(10 * np.log10((clean**2).sum() / ((clean - heard) ** 2).sum()))


def test_bytes_and_paths_give_the_same_wave(tmp_path: Path) -> None:
    audio = wav(sweep())
    (tmp_path / "a.wav").write_bytes(audio["bytes"])
    wave = read(audio)
    assert (wave.dtype, wave.shape) == (np.float32, (16_000,))
    np.testing.assert_array_equal(wave, sweep())
    for path in (str(tmp_path / "a.wav"), f"file://{tmp_path}/a.wav"):
        np.testing.assert_array_equal(read({"path": path, "bytes": None}), wave)


@pytest.mark.parametrize("rate", [8_000, 22_050, 24_000, 44_100, 48_000])
def test_other_rates_are_resampled(rate: int) -> None:
    wave = read(wav(sweep(1.0, rate), rate))
    assert len(wave) == 16_000
    assert snr(sweep()[200:-200], wave[200:-200]) > 40


def test_channels_are_averaged_and_overshoot_is_clipped() -> None:
    both = np.stack([sweep(), -0.5 * sweep()], axis=1)
    np.testing.assert_allclose(read(wav(both)), 0.25 * sweep(), atol=1e-7)
    assert np.abs(read(wav(5 * sweep()))).max() == 1.0


@pytest.mark.parametrize(
    ("audio", "slug"),
    [
        (None, "missing_file"),
        ({"bytes": None, "path": None}, "missing_file"),
        ({"path": "/no/such.wav"}, "missing_file"),
        ({"path": "file:///no/such.wav"}, "missing_file"),
        ({"bytes": b"RIFF but no audio"}, "not_audio"),
        ({"bytes": encode(sweep(), "FLAC")[:5000]}, "not_audio"),
        ({"bytes": b""}, "empty"),
        (wav(np.zeros(0, np.float32)), "empty"),
        (wav(np.where(np.arange(16_000) == 99, np.nan, sweep())), "nan"),
        (wav(np.where(np.arange(16_000) == 99, np.inf, sweep())), "nan"),
        (wav(0.003 * sweep()), "silent"),
        (wav(np.zeros(16_000)), "silent"),
        (wav(sweep(0.05)), "too_short"),
        (wav(sweep(2.5)), "too_long"),
    ],
)
def test_what_cannot_be_used_says_why(audio: dict | None, slug: str) -> None:
    with pytest.raises(AudioError) as caught:
        read(audio, min_s=0.1, max_s=2.0)
    assert caught.value.slug == slug
    assert str(caught.value).startswith(f"{slug}: ")


def test_files_that_are_no_audio(tmp_path: Path) -> None:
    for name in ("noise.raw", "notes.txt"):
        (tmp_path / name).write_bytes(b"some text" * 100)
        with pytest.raises(AudioError, match="^not_audio: "):
            read({"path": str(tmp_path / name)})
    (tmp_path / "empty.wav").touch()
    with pytest.raises(AudioError, match="^empty: "):
        read({"path": str(tmp_path / "empty.wav")})


def test_reasons_are_the_same_every_time() -> None:
    told = set()
    for _ in range(2):
        with pytest.raises(AudioError) as caught:
            read({"bytes": b"no audio at all" * 10})
        told.add(str(caught.value))
    assert len(told) == 1


def test_opus_is_small_and_close() -> None:
    wave = sweep(5.0)
    packed = encode(wave)
    assert len(packed) * 8 / 5 < 30_000, "about 24 kbit/s"
    heard = read({"bytes": packed})
    assert len(heard) == len(wave)
    assert snr(wave, heard) > 20


def test_flac_is_lossless_to_16_bits() -> None:
    heard = read({"bytes": encode(sweep(), "FLAC")})
    assert np.abs(heard - sweep()).max() <= 2**-15


def test_another_format_is_refused() -> None:
    with pytest.raises(ValueError, match="OGG/OPUS or FLAC or WAV; got 'MP3'"):
        encode(sweep(), "MP3")
