"""Discriminators and losses that train a vocoder: small enough for one CPU core, the same code on a GPU.

Multi-period discriminator, least-squares GAN and feature matching: HiFi-GAN (arXiv 2010.05646).
Multi-resolution spectrogram discriminator: UnivNet (arXiv 2106.07889).
Multi-resolution STFT loss: Parallel WaveGAN (arXiv 1910.11480).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from schemas.audio import SAMPLE_RATE

RESOLUTIONS = (256, 512, 1024)
"""Sizes of the FFT, in samples."""
PERIODS = (2, 3, 5, 7, 11)
"""Samples after which a wave is folded."""
MEL_BANDS = ((40, 512), (80, 1024))
"""Numbers of mel bands, and the size of the FFT that they are computed from."""
GAIN = 8.0
"""Speech has an RMS of about 0.05, which is too low for the first layers of the discriminators."""
COMPRESSION = 0.3
"""The power of the magnitudes that the discriminators see."""
FLOOR = 1e-3
"""Added to magnitudes before a logarithm."""
Judgements = list[tuple[Tensor, list[Tensor]]]
"""For each sub-discriminator: its scores (B, 1, H, W), and the features of its layers."""


def magnitude(wave: Tensor, n_fft: int) -> Tensor:
    """Return the magnitudes (B, n_fft/2 + 1, T) of waves (B, N): Hann window of `n_fft` samples, a quarter as hop."""
    window = torch.hann_window(n_fft, device=wave.device)
    spectrum = torch.view_as_real(torch.stft(wave, n_fft, n_fft // 4, window=window, return_complex=True))
    return spectrum.square().sum(-1).clamp(min=1e-8).sqrt()


def mel_basis(bands: int, n_fft: int, rate: int = SAMPLE_RATE) -> Tensor:
    """Return triangular filters (bands, n_fft/2 + 1) of height 1, equally spaced on HTK's mel scale up to rate / 2."""
    top = 2595 * math.log10(1 + rate / 2 / 700)
    edges = 700 * (10 ** (torch.linspace(0, top, bands + 2) / 2595) - 1)
    bins = torch.linspace(0, rate / 2, n_fft // 2 + 1)
    rising = (bins - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - bins) / (edges[2:] - edges[1:-1])[:, None]
    return torch.minimum(rising, falling).clamp(min=0)


class SpectralLoss(nn.Module):
    """Spectral convergence and log-magnitude L1, the mean over RESOLUTIONS, plus the log-mel L1 of each MEL_BANDS."""

    def __init__(self, rate: int = SAMPLE_RATE) -> None:
        """Compute the mel filters for waves of `rate` samples per second."""
        super().__init__()
        for bands, n_fft in MEL_BANDS:
            self.register_buffer(f"mel{n_fft}", mel_basis(bands, n_fft, rate), persistent=False)

    def forward(self, generated: Tensor, real: Tensor) -> Tensor:
        """Return the distance of two batches of waves (B, N), a scalar."""
        loss = generated.new_zeros(())
        for n_fft in RESOLUTIONS:
            ours, target = magnitude(generated, n_fft), magnitude(real, n_fft)
            error, energy = (target - ours).square().sum((1, 2)), target.square().sum((1, 2))
            convergence = (error / (energy + FLOOR)).sqrt().mean()
            loss = loss + (convergence + _log_l1(ours, target)) / len(RESOLUTIONS)
            basis = getattr(self, f"mel{n_fft}", None)
            loss = loss if basis is None else loss + _log_l1(basis @ ours, basis @ target)
        return loss


def _log_l1(one: Tensor, other: Tensor) -> Tensor:
    return F.l1_loss((one + FLOOR).log(), (other + FLOOR).log())


class _Convolutions(nn.Module):
    """A stack of 2-d convolutions, and one for the scores."""

    def __init__(self, channels: Sequence[int], kernel: tuple[int, int], strides: Sequence[tuple[int, int]]) -> None:
        super().__init__()
        padding = (kernel[0] // 2, kernel[1] // 2)
        shapes = zip(channels, channels[1:], strides, strict=False)
        self.convs = nn.ModuleList(nn.Conv2d(a, b, kernel, stride, padding) for a, b, stride in shapes)
        self.score = nn.Conv2d(channels[-1], 1, (3, 1), padding=(1, 0))
        for conv in (*self.convs, self.score):
            # with torch's default, quiet speech fades to the biases, and the discriminator never learns
            nn.init.kaiming_normal_(conv.weight, 0.1)
            nn.init.zeros_(conv.bias)
            nn.utils.parametrizations.weight_norm(conv)

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return scores (B, 1, H', W') and the features of each layer for an input (B, channels, H, W)."""
        x = x.contiguous(memory_format=torch.channels_last)
        features = []
        for conv in self.convs:
            x = F.leaky_relu(conv(x), 0.1)
            features.append(x)
        return self.score(x), features


class Discriminators(nn.Module):
    """Score a wave folded at several periods, and its spectrograms at several resolutions."""

    def __init__(self, periods: Sequence[int] = PERIODS, width: int = 16) -> None:
        """Build random discriminators, one per period and one per resolution, of `width` channels at first."""
        super().__init__()
        self.periods = periods
        folded = (1, width, 2 * width, 4 * width, 4 * width)
        self.by_period = nn.ModuleList(_Convolutions(folded, (5, 1), ((3, 1), (3, 1), (3, 1), (1, 1))) for _ in periods)
        flat = (1, width, width, width, width)
        self.by_resolution = nn.ModuleList(
            _Convolutions(flat, (3, 9), ((1, 2), (1, 2), (2, 2), (1, 1))) for _ in RESOLUTIONS
        )

    def forward(self, wave: Tensor) -> Judgements:
        """Return the scores and features of every sub-discriminator for waves (B, N)."""
        judgements = []
        wave = GAIN * wave
        for period, discriminator in zip(self.periods, self.by_period, strict=True):
            length = wave.shape[1] // period * period
            judgements.append(discriminator(wave[:, :length].view(len(wave), 1, -1, period)))
        for n_fft, discriminator in zip(RESOLUTIONS, self.by_resolution, strict=True):
            judgements.append(discriminator(magnitude(wave, n_fft).pow(COMPRESSION).transpose(1, 2)[:, None]))
        return judgements


def discriminator_loss(real: Judgements, generated: Judgements) -> Tensor:
    """Return the least-squares loss with target 1 for real and 0 for generated speech, the mean over discriminators."""
    terms = [
        (1 - r.float()).square().mean() + g.float().square().mean()
        for (r, _), (g, _) in zip(real, generated, strict=True)
    ]
    return torch.stack(terms).mean()


def generator_loss(generated: Judgements) -> Tensor:
    """Return the least-squares loss with target 1 for generated speech, the mean over discriminators."""
    return torch.stack([(1 - scores.float()).square().mean() for scores, _ in generated]).mean()


def feature_loss(real: Judgements, generated: Judgements) -> Tensor:
    """Return the L1 of features over the mean size of real features, the mean over layers and discriminators."""
    pairs = [
        (r.detach().float(), g.float())
        for (_, real_layers), (_, generated_layers) in zip(real, generated, strict=True)
        for r, g in zip(real_layers, generated_layers, strict=True)
    ]
    return torch.stack([F.l1_loss(g, r) / (r.abs().mean() + 1e-3) for r, g in pairs]).mean()
