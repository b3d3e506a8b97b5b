"""Losses and discriminators against their formulas and torchaudio."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from trainers.vocoder.discriminators import (
    Discriminators,
    SpectralLoss,
    discriminator_loss,
    feature_loss,
    generator_loss,
    magnitude,
    mel_basis,
)


def test_the_spectral_loss_is_zero_for_the_same_wave_and_blind_to_sign() -> None:
    wave = torch.randn(2, 4096, generator=torch.manual_seed(0)) * 0.1
    loss = SpectralLoss()
    assert loss(wave, wave).item() == pytest.approx(0, abs=1e-6)
    assert loss(-wave, wave).item() == pytest.approx(0, abs=1e-6)


def test_the_spectral_loss_is_its_formula() -> None:
    generator = torch.manual_seed(0)
    generated, real = (torch.randn(2, 4096, generator=generator) * 0.1 for _ in range(2))
    expected = 0.0
    for n_fft in (256, 512, 1024):
        window = torch.hann_window(n_fft)
        spectra = [
            torch.stft(wave, n_fft, n_fft // 4, window=window, return_complex=True) for wave in (generated, real)
        ]
        ours, target = (spectrum.abs().clamp(min=1e-4) for spectrum in spectra)
        error, energy = (target - ours).square().sum((1, 2)), target.square().sum((1, 2))
        expected += float((error / (energy + 1e-3)).sqrt().mean()) / 3
        expected += float(((ours + 1e-3).log() - (target + 1e-3).log()).abs().mean()) / 3
        if bands := {512: 40, 1024: 80}.get(n_fft):
            ours, target = (mel_basis(bands, n_fft) @ side for side in (ours, target))
            expected += float(((ours + 1e-3).log() - (target + 1e-3).log()).abs().mean())
    assert float(SpectralLoss()(generated, real)) == pytest.approx(expected, rel=1e-4)


def test_magnitudes_have_a_hop_of_a_quarter_of_the_window() -> None:
    wave = torch.cos(2 * torch.pi * 1000 * torch.arange(4096) / 16_000)[None]
    spectrum = magnitude(wave, 512)
    assert spectrum.shape == (1, 257, 33)
    assert spectrum[0, :, 16].argmax() == 32  # 1000 Hz / (16000 / 512)
    assert spectrum[0, 32, 16] == pytest.approx(128, rel=0.01)  # half the sum of the window, for a cosine


def test_mel_filters_agree_with_torchaudio() -> None:
    functional = pytest.importorskip("torchaudio.functional")
    for bands, n_fft, rate in ((80, 1024, 16_000), (40, 512, 22_050)):
        expected = functional.melscale_fbanks(n_fft // 2 + 1, 0.0, rate / 2, bands, rate).T
        np.testing.assert_allclose(mel_basis(bands, n_fft, rate), expected, atol=1e-5)


def test_the_gan_losses_are_least_squares() -> None:
    real = [(torch.tensor([1.0, 0.5]), [torch.tensor([1.0, -3.0])]), (torch.tensor([0.0]), [torch.tensor([0.0])])]
    fake = [(torch.tensor([0.0, 2.0]), [torch.tensor([2.0, -3.0])]), (torch.tensor([1.0]), [torch.tensor([0.5])])]
    assert float(discriminator_loss(real, fake)) == pytest.approx(((0.25 / 2 + 4 / 2) + (1 + 1)) / 2)
    assert float(generator_loss(fake)) == pytest.approx(((1 + 1) / 2 + 0) / 2)
    assert float(feature_loss(real, fake)) == pytest.approx((0.5 / (2 + 1e-3) + 0.5 / 1e-3) / 2)
    assert feature_loss(real, real) == 0


def test_gradients_of_features_reach_the_generated_side_alone() -> None:
    real, fake = (torch.ones(2, requires_grad=True) * scale for scale in (1.0, 2.0))
    real.retain_grad()
    fake.retain_grad()
    feature_loss([(real, [real])], [(fake, [fake])]).backward()
    assert real.grad is None and fake.grad is not None


def test_there_is_a_discriminator_per_period_and_per_resolution() -> None:
    judgements = Discriminators(periods=(2, 5), width=4)(torch.randn(3, 4001) * 0.05)
    assert len(judgements) == 2 + 3
    assert [len(features) for _, features in judgements] == [4] * 5
    assert all(scores.shape[:2] == (3, 1) for scores, _ in judgements)
    assert [scores.shape[3] for scores, _ in judgements[:2]] == [2, 5]


def test_the_networks_have_their_layers_and_start_without_biases() -> None:
    discriminators = Discriminators()
    folded = [(1, 16, 3), (16, 32, 3), (32, 64, 3), (64, 64, 1)]
    flat = [(1, 16, (1, 2)), (16, 16, (1, 2)), (16, 16, (2, 2)), (16, 16, (1, 1))]
    for stack in discriminators.by_period:
        assert [(conv.in_channels, conv.out_channels, conv.stride[0]) for conv in stack.convs] == folded
        assert {(conv.kernel_size, conv.padding, conv.stride[1]) for conv in stack.convs} == {((5, 1), (2, 0), 1)}
    for stack in discriminators.by_resolution:
        assert [(conv.in_channels, conv.out_channels, conv.stride) for conv in stack.convs] == flat
        assert {(conv.kernel_size, conv.padding) for conv in stack.convs} == {((3, 9), (1, 4))}
    for stack in (*discriminators.by_period, *discriminators.by_resolution):
        score = stack.score
        assert (score.out_channels, score.kernel_size, score.padding) == (1, (3, 1), (1, 0))
        assert all((conv.bias == 0).all() for conv in (*stack.convs, score))


def test_discriminators_learn_to_tell_noise_from_tones() -> None:
    torch.manual_seed(0)
    discriminators = Discriminators(periods=(2, 3), width=4)
    optimizer = torch.optim.AdamW(discriminators.parameters(), 3e-3)
    time = torch.arange(4000) / 16_000
    real = torch.sin(2 * torch.pi * torch.tensor([[200.0], [330.0]]) * time)
    generated = torch.randn(2, 4000)
    first = discriminator_loss(discriminators(real), discriminators(generated)).item()
    for _ in range(30):
        optimizer.zero_grad()
        discriminator_loss(discriminators(real), discriminators(generated)).backward()
        optimizer.step()
    of_real, of_generated = discriminators(real), discriminators(generated)
    assert discriminator_loss(of_real, of_generated).item() < 0.3 * first
    assert generator_loss(of_generated) > generator_loss(of_real)
    assert feature_loss(of_real, of_generated) > 0
