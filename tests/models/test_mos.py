"""The MOS model rates speech above noise, and as its package does."""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib.metadata import version

import numpy as np
import pytest
import soxr

from factory.models.mos import Mos
from schemas.audio import SAMPLE_RATE

SENTENCES = (
    "The train to the station leaves at two.",
    "Where is the nearest hotel, please?",
    "The doctor will see you in twenty minutes.",
    "Our neighbour sold his old car last week.",
)


@pytest.fixture(scope="module")
def mos() -> Mos:
    return Mos()


@pytest.fixture(scope="module")
def speech() -> list[np.ndarray]:
    """The sentences in a small English voice."""
    from hibari import Hibari

    voice = Hibari(threads=1)
    return [soxr.resample(voice(text), 24_000, SAMPLE_RATE).astype(np.float32) for text in SENTENCES]


def test_speech_is_rated_above_noise_at_any_length(speech: list[np.ndarray], mos: Mos) -> None:
    noisy = speech[0] + np.random.default_rng(0).normal(0, 0.1, len(speech[0])).astype(np.float32)
    long = np.concatenate(speech)
    assert len(long) > 7.68 * SAMPLE_RATE, "longer than a window of the network"
    clean, noise, longer, empty = mos.rate([speech[0], noisy, long, np.zeros(0, np.float32)])
    assert noise + 1 < clean <= 5
    assert 3 < longer <= 5
    assert np.isnan(empty)


@pytest.mark.parametrize("samples", [1, 319, 320, 321, 16_000, 50_001, 120_319, 120_320, 120_321, 122_880, 130_000])
def test_the_package_gives_the_same_rating_at_any_length(speech: list[np.ndarray], mos: Mos, samples: int) -> None:
    import torch

    wave = np.concatenate(speech)[:samples]
    with torch.inference_mode():
        expected = mos.model(torch.from_numpy(wave)[None]).item()
    assert mos.rate([wave])[0] == pytest.approx(expected, abs=1e-5)


def test_a_short_wave_takes_less_time_than_the_whole_window(speech: list[np.ndarray], mos: Mos) -> None:
    import torch

    def cost(rate: Callable[[], object]) -> float:
        began = time.process_time()
        for _ in range(3):
            rate()
        return time.process_time() - began

    wave = speech[0][:16_000]
    with torch.inference_mode():
        whole = min(cost(lambda: mos.model(torch.from_numpy(wave)[None])) for _ in range(3))
    assert min(cost(lambda: mos.rate([wave])) for _ in range(3)) < 0.7 * whole


def test_the_model_is_named_with_its_version() -> None:
    assert Mos.signature() == f"distillmos:{version('distillmos')}|scale:1..5"
