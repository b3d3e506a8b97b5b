"""DNSMOS rates clean speech above noisy speech, as its package does, and gives no score without speech."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from speechmos import dnsmos as package

from factory.corpora.audio import read
from factory.models.dnsmos import WINDOW, Dnsmos, cut

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    """Real recordings of English, one after the other (26 s)."""
    rows = pq.read_table(ROOT / "assets/phrasebook/test/en.parquet", columns=["audio"]).slice(0, 12).to_pylist()
    return np.concatenate([read(row["audio"]) for row in rows])


@pytest.fixture(scope="module")
def model() -> Dnsmos:
    return Dnsmos()


@pytest.fixture(scope="module")
def clean(speech: np.ndarray, model: Dnsmos) -> float:
    """The score of the shortest speech that is not repeated, the fastest to rate."""
    [score] = model.rate([speech[:WINDOW]])
    assert isinstance(score, float)
    return score


def test_the_package_gives_the_same_score_and_noise_a_lower_one(
    speech: np.ndarray, model: Dnsmos, clean: float
) -> None:
    noise = np.random.default_rng(0).normal(0, 0.05, WINDOW).astype(np.float32)
    [noisy] = model.rate([np.clip(speech[:WINDOW] + noise, -1, 1)])
    assert clean == pytest.approx(package.run(speech[:WINDOW], 16_000)["ovrl_mos"], abs=1e-6)
    assert isinstance(noisy, float) and 1 < noisy + 0.5 < clean < 5


def test_the_score_of_speech_is_the_mean_of_its_windows(speech: np.ndarray, model: Dnsmos, clean: float) -> None:
    whole, second = model.rate([speech[:176_000], speech[16_000 : 16_000 + WINDOW]])
    assert isinstance(whole, float) and isinstance(second, float) and clean != second
    assert whole == pytest.approx((clean + second) / 2, abs=1e-6)


class Recorder:
    """Takes the place of the package's network, and keeps the windows that the package gives it."""

    def __init__(self) -> None:
        self.windows: list[np.ndarray] = []

    def run(self, outputs: None, inputs: dict[str, np.ndarray]) -> Any:
        self.windows.append(inputs["input_1"][0])
        return np.ones((1, 1, 3))


@pytest.mark.parametrize("samples", [16_000, 40_001, WINDOW - 1, WINDOW, 159_999, 160_000, 176_000, 263_000, 422_670])
def test_the_package_rates_the_same_windows_at_any_length(speech: np.ndarray, samples: int) -> None:
    recorder, short = Recorder(), speech[:samples]
    theirs = package.DNSMOS.__new__(package.DNSMOS)
    theirs.onnx_sess = theirs.p808_onnx_sess = recorder
    theirs.audio_melspec = lambda audio: audio[None]
    theirs(short, 16_000, False)
    windows = recorder.windows[1::2]  # each follows a window for a second network
    assert len(windows) == len(cut(short)) >= 1
    assert all(np.array_equal(one, other) for one, other in zip(windows, cut(short), strict=True))


def test_silence_and_short_sounds_have_no_score(speech: np.ndarray, model: Dnsmos) -> None:
    quiet = np.full(32_000, 0.0009, np.float32)
    assert model.rate([np.zeros(0, np.float32), speech[:15_999], quiet]) == ["too_short", "too_short", "silent"]
