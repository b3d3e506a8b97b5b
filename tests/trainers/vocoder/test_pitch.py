"""The pitch of made-up waves."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from trainers.vocoder.pitch import track_pitch


def test_the_pitch_of_a_glide_is_followed() -> None:
    f0 = np.linspace(90, 280, 16_000 * 2)
    wave = np.stack([np.cos(k * 2 * np.pi * np.cumsum(f0) / 16_000) / k for k in range(1, 12)]).sum(0)
    noise = np.random.default_rng(0).standard_normal(len(f0))
    tracked, voiced = track_pitch(torch.tensor(0.2 * wave + 0.005 * noise, dtype=torch.float32), 100)
    assert voiced[2:-2].all()
    np.testing.assert_allclose(tracked[3:-3], f0[160::320][3:-3], rtol=0.01)


@pytest.mark.parametrize("hz", [63.0, 101.3, 233.7, 440.0])
def test_a_steady_tone_is_tracked_finer_than_a_sample(hz: float) -> None:
    wave = torch.cos(2 * torch.pi * hz * torch.arange(16_000) / 16_000)
    tracked, voiced = track_pitch(wave, 50)
    assert voiced[5:-5].all()
    np.testing.assert_allclose(tracked[5:-5], hz, rtol=2e-3)


def test_noise_and_silence_are_unvoiced() -> None:
    noise = torch.randn(16_000, generator=torch.manual_seed(0)) * 0.1
    assert track_pitch(noise, 50)[1].mean() < 0.1
    f0, voiced = track_pitch(torch.zeros(16_000), 50)
    assert not voiced.any() and (f0 == 150).all() and f0.shape == voiced.shape == (50,)


def test_pitch_is_interpolated_over_unvoiced_frames() -> None:
    samples = torch.arange(8_000) / 16_000
    wave = torch.cat([torch.cos(2 * torch.pi * hz * samples) for hz in (100.0, 200.0)])
    wave[6_400:9_600] = 0
    tracked, voiced = track_pitch(wave, 50)
    gap = ~voiced
    assert gap[22:28].all() and voiced[5:15].all() and voiced[35:45].all()
    assert (np.diff(tracked[gap]) >= 0).all() and 120 < tracked[25] < 180
