"""The MOS model rates speech above noise, and as its package does."""

from __future__ import annotations

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
def speech() -> list[np.ndarray]:
    """The sentences in a small English voice."""
    from hibari import Hibari

    voice = Hibari(threads=1)
    return [soxr.resample(voice(text), 24_000, SAMPLE_RATE).astype(np.float32) for text in SENTENCES]


def test_speech_is_rated_above_noise_at_any_length(speech: list[np.ndarray]) -> None:
    noisy = speech[0] + np.random.default_rng(0).normal(0, 0.1, len(speech[0])).astype(np.float32)
    long = np.concatenate(speech)
    assert len(long) > 7.68 * SAMPLE_RATE, "longer than a window of the network"
    clean, noise, longer, empty = Mos().rate([speech[0], noisy, long, np.zeros(0, np.float32)])
    assert noise + 1 < clean <= 5
    assert 3 < longer <= 5
    assert np.isnan(empty)


def test_the_package_gives_the_same_rating(speech: list[np.ndarray]) -> None:
    import torch
    from distillmos import ConvTransformerSQAModel

    model = ConvTransformerSQAModel().eval()
    with torch.no_grad():
        expected = model(torch.from_numpy(speech[1])[None]).item()
    assert Mos().rate([speech[1]])[0] == pytest.approx(expected, abs=1e-5)
    assert Mos().signature() == f"distillmos:{version('distillmos')}|scale:1..5"
