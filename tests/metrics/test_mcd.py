"""Mel cepstral distance against the package that defines it, and its edges."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from mel_cepstral_distance import compare_audio_files
from scipy.io import wavfile

from factory.metrics import METRICS, mcd
from schemas.audio import SAMPLE_RATE


def syllables(seconds: float, pitch: float, seed: int = 0) -> np.ndarray:
    """Return harmonics of a gliding pitch, loud and soft eight times a second, over a little noise."""
    rng, t = np.random.default_rng(seed), np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    phase = 2 * np.pi * np.cumsum(pitch * (1 + 0.2 * np.sin(7 * t))) / SAMPLE_RATE
    tone = sum(np.sin(k * phase) / k for k in range(1, 25))
    wave = tone * (0.55 + 0.45 * np.sin(2 * np.pi * 8 * t)) + 0.02 * rng.standard_normal(len(t))
    return (0.4 * wave / np.abs(wave).max()).astype(np.float32)


def reference(folder: Path, one: np.ndarray, two: np.ndarray) -> float:
    """Return the package's own distance with an exact alignment."""
    for name, wave in (("one.wav", one), ("two.wav", two)):
        wavfile.write(folder / name, SAMPLE_RATE, wave)
    return float(compare_audio_files(folder / "one.wav", folder / "two.wav", dtw_radius=None)[0])


@pytest.mark.parametrize(
    ("one", "two"),
    [
        (syllables(0.25, 120), syllables(0.3, 190, 1)),
        (syllables(0.2, 240), syllables(0.12, 100, 1)),
        (syllables(0.1, 120), np.random.default_rng(0).standard_normal(3000).astype(np.float32)),
    ],
)
def test_the_package_gives_the_same_distance(one: np.ndarray, two: np.ndarray, tmp_path: Path) -> None:
    assert mcd.score(one, two) == pytest.approx(reference(tmp_path, one, two), abs=1e-6)


def test_the_package_gives_the_same_distance_for_16_bits(tmp_path: Path) -> None:
    one, two = ((syllables(0.2, pitch) * 32767).astype(np.int16) for pitch in (120, 180))
    assert mcd.score(one / 32768, two / 32768) == pytest.approx(reference(tmp_path, one, two), abs=1e-6)


@pytest.mark.slow
def test_it_is_much_faster_than_the_package(tmp_path: Path) -> None:
    one, two = syllables(0.8, 120), syllables(0.8, 190, 1)
    mcd.score(one, two)  # compiles
    seconds = []
    for measure in (lambda: reference(tmp_path, one, two), lambda: mcd.score(one, two)):
        start = time.process_time()
        measure()
        seconds.append(time.process_time() - start)
    assert seconds[0] > 5 * seconds[1]


def test_it_is_a_distance() -> None:
    one, two, other = syllables(0.3, 120), syllables(0.3, 125), syllables(0.3, 260)
    assert mcd.score(one, one) == 0
    assert mcd.score(one, 0.25 * one) == pytest.approx(0, abs=1e-4), "the peak is normalised"
    assert mcd.score(one, other) == pytest.approx(mcd.score(other, one), rel=0.05), "ties are broken by side"
    assert mcd.score(one, two) < mcd.score(one, other)


def test_silence_and_waves_without_a_frame() -> None:
    silence, window = np.zeros(SAMPLE_RATE // 10, np.float32), np.ones(512, np.float32)
    assert mcd.score(silence, silence) == 0
    assert np.isnan(mcd.score(silence, window))
    assert np.isnan(mcd.score(window, silence))
    assert np.isnan(mcd.score(np.zeros(0, np.float32), silence))
    assert mcd.log_mel_energies(window).shape == (0, 20)
    assert mcd.log_mel_energies(np.ones(513, np.float32)).shape == (1, 20)
    np.testing.assert_array_equal(mcd.log_mel_energies(silence), np.log10(np.finfo(float).eps))


def test_the_frames_of_a_wave() -> None:
    for samples, frames in ((513, 1), (512 + 128, 1), (512 + 129, 2), (1600, 9)):
        assert len(mcd.log_mel_energies(np.ones(samples, np.float32))) == frames


def test_the_signature_names_every_setting() -> None:
    expected = "mel-cepstral-distance:0.0.4|alpha:1|M:20|i:2..16|win:32ms|hop:8ms|sr:16000|dtw:exact,mel|norm:peak"
    assert mcd.signature("fr") == mcd.signature("en") == METRICS["mcd"].signature("fr") == expected
