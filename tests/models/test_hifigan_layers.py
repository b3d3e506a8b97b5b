"""The layers of the vocoder against torch's own, and the harmonic source against its spectrum."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from factory.models.hifigan_layers import Conv, PitchPredictor, SourceFilter, Upsample, harmonic_source
from schemas.audio import SAMPLE_RATE


@pytest.mark.parametrize(("kernel", "dilation", "stride"), [(7, 1, 1), (3, 5, 1), (11, 3, 1), (8, 1, 4)])
def test_a_convolution_is_torch_s_1_d_convolution(kernel: int, dilation: int, stride: int) -> None:
    conv, x = Conv(4, 6, kernel, dilation, stride), torch.randn(2, 4, 40)
    expected = nn.functional.conv1d(x, conv.weight, conv.bias, stride, conv.padding[0], dilation)
    assert expected.shape == (2, 6, 40 // stride)
    torch.testing.assert_close(conv(x[:, :, None])[:, :, 0], expected)


@pytest.mark.parametrize(("kernel", "rate"), [(11, 5), (8, 4), (4, 2)])
def test_upsampling_is_torch_s_transposed_convolution(kernel: int, rate: int) -> None:
    up, x = Upsample(4, 2, kernel, rate), torch.randn(2, 4, 10)
    expected = nn.functional.conv_transpose1d(x, up.weight, up.bias, rate, (kernel - rate) // 2)
    assert expected.shape == (2, 2, 10 * rate)
    torch.testing.assert_close(up(x[:, :, None])[:, :, 0], expected)


def test_the_pitch_of_an_utterance_does_not_depend_on_its_padding() -> None:
    torch.manual_seed(0)
    predictor, units = PitchPredictor(10, dim=8).eval(), torch.tensor([[1, 2, 3, 4]])
    padded, mask = torch.tensor([[1, 2, 3, 4, 9, 9]]), torch.tensor([[1.0, 1, 1, 1, 0, 0]])[:, :, None]
    assert predictor(units).shape == (1, 4, 2)
    torch.testing.assert_close(predictor(padded, mask)[:, :4], predictor(units))


def test_flat_filters_return_the_source() -> None:
    source = torch.randn(2, 2, 640, generator=torch.manual_seed(0))
    wave = SourceFilter(256, 64)(torch.zeros(2, 258, 10), source)
    expected = 1.5 * source.sum(1)  # squared Hann windows that overlap by three quarters add up to 3/2
    np.testing.assert_allclose(wave[:, 128:-128], expected[:, 128:-128], atol=1e-4)


def test_a_filter_is_causal_and_has_its_magnitude() -> None:
    source = torch.zeros(1, 2, 640)
    source[0, 0, 320] = 1
    tilt = torch.linspace(0, -3, 129)
    x = torch.cat([tilt, torch.full((129,), -12.0)])[None, :, None].expand(1, 258, 10)
    wave = SourceFilter(256, 64)(x, source)[0]
    assert wave[:318].abs().max() < 1e-3 * wave.abs().max()
    np.testing.assert_allclose(torch.fft.rfft(wave[320:576]).abs().log(), tilt + math.log(1.5), atol=0.05)


def test_the_source_has_the_pitch_and_equal_harmonics() -> None:
    source = harmonic_source(torch.full((1, 50), math.log(200 / 150)), torch.ones(1, 50), 320, SAMPLE_RATE)
    spectrum = torch.fft.rfft(source[0, 0]).abs() / 8000
    peaks = torch.nonzero(spectrum > 0.05).flatten()
    assert peaks.tolist() == [200 * k for k in range(1, 40)] or peaks.tolist() == [200 * k for k in range(1, 41)]
    np.testing.assert_allclose(spectrum[200:7900:200], spectrum[200], rtol=0.02)
    assert source[0, 0].square().mean().item() == pytest.approx(1, rel=0.05)


def test_the_source_is_silent_where_unvoiced_and_its_noise_repeats() -> None:
    voiced = torch.tensor([[0.0, 1.0, 1.0, 0.0]])
    source = harmonic_source(torch.zeros(1, 4), voiced, 320, SAMPLE_RATE)
    assert source[0, 0, :320].abs().max() == 0
    assert source[0, 0, 320:960].abs().max() > 1
    assert torch.equal(source[:, 1], harmonic_source(torch.ones(1, 4), voiced, 320, SAMPLE_RATE)[:, 1])
