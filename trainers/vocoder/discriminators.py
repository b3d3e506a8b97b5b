"""Discriminators and spectral losses that train a vocoder: small enough for a CPU core, the same code on a GPU.

Multi-period discriminator: HiFi-GAN (arXiv 2010.05646). Multi-resolution spectrogram discriminator: UnivNet (arXiv 2106.07889).
Least-squares GAN and feature matching losses as in HiFi-GAN. Multi-resolution STFT loss: Parallel WaveGAN (arXiv 1910.11480).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

RESOLUTIONS = (256, 512, 1024)
Judged = list[tuple[Tensor, list[Tensor]]]
"""Of each sub-discriminator: its verdicts, and the features before them."""
LOUDER = 8.0
"""Speech at an RMS of about 0.05 reaches the judges at a scale that their first layer can use."""


def magnitude(wave: Tensor, n_fft: int) -> Tensor:
    """[B, samples] -> magnitudes [B, n_fft/2 + 1, T], Hann window of `n_fft` samples, hop of a quarter."""
    window = torch.hann_window(n_fft, device=wave.device)
    spectrum = torch.view_as_real(torch.stft(wave, n_fft, n_fft // 4, window=window, return_complex=True))
    return spectrum.square().sum(-1).clamp(min=1e-8).sqrt()


def mel_basis(bands: int, n_fft: int, rate: int = 16_000) -> Tensor:
    """Return triangular filters [bands, n_fft/2 + 1], equally spaced in mel (HTK) up to rate / 2, each of height one."""
    top = 2595 * math.log10(1 + rate / 2 / 700)
    edges = 700 * (10 ** (torch.linspace(0, top, bands + 2) / 2595) - 1)
    bins = torch.linspace(0, rate / 2, n_fft // 2 + 1)
    rising = (bins - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - bins) / (edges[2:] - edges[1:-1])[:, None]
    return torch.minimum(rising, falling).clamp(min=0)


class SpectralLoss(nn.Module):
    """Spectral convergence and log-magnitude L1 at three resolutions, plus twice the log-mel L1 at 40 and 80 bands."""

    def __init__(self, rate: int = 16_000) -> None:
        super().__init__()
        for bands, n_fft in ((40, 512), (80, 1024)):
            self.register_buffer(f"mel{n_fft}", mel_basis(bands, n_fft, rate), persistent=False)

    def forward(self, fake: Tensor, real: Tensor) -> Tensor:
        """Two waves [B, samples] -> a scalar."""
        loss = fake.new_zeros(())
        for n_fft in RESOLUTIONS:
            made, true = magnitude(fake, n_fft), magnitude(real, n_fft)
            convergence = ((true - made).square().sum((1, 2)) / (true.square().sum((1, 2)) + 1e-3)).sqrt().mean()
            loss = loss + (convergence + _log_l1(made, true)) / len(RESOLUTIONS)
            basis = getattr(self, f"mel{n_fft}", None)
            loss = loss if basis is None else loss + _log_l1(basis @ made, basis @ true, 1e-3)
        return loss


def _log_l1(made: Tensor, true: Tensor, floor: float = 1e-3) -> Tensor:
    return F.l1_loss((made + floor).log(), (true + floor).log())


class _Convolutions(nn.Module):
    """A stack of 2-d convolutions and the verdict's; returns what `Judged` holds."""

    def __init__(self, channels: Sequence[int], kernel: tuple[int, int], strides: Sequence[tuple[int, int]]) -> None:
        super().__init__()
        padding = (kernel[0] // 2, kernel[1] // 2)
        shapes = zip(channels, channels[1:], strides, strict=False)
        self.convs = nn.ModuleList(nn.Conv2d(a, b, kernel, stride, padding) for a, b, stride in shapes)
        self.verdict = nn.Conv2d(channels[-1], 1, (3, 1), padding=(1, 0))
        for conv in (*self.convs, self.verdict):
            nn.init.kaiming_normal_(
                conv.weight, 0.1
            )  # torch's default lets quiet speech fade to the biases: such judges never learn
            nn.init.zeros_(conv.bias)
            nn.utils.parametrizations.weight_norm(conv)

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """[B, channels, H, W] -> verdicts [B, 1, H', W'], features."""
        x = x.contiguous(memory_format=torch.channels_last)
        features = []
        for conv in self.convs:
            x = F.leaky_relu(conv(x), 0.1)
            features.append(x)
        return self.verdict(x), features


class Discriminators(nn.Module):
    """Looks at a wave folded at several periods and at its spectrograms of several resolutions."""

    def __init__(self, periods: Sequence[int] = (2, 3, 5, 7, 11), width: int = 16) -> None:
        super().__init__()
        self.periods = periods
        folded = (1, width, 2 * width, 4 * width, 4 * width)
        self.by_period = nn.ModuleList(_Convolutions(folded, (5, 1), ((3, 1), (3, 1), (3, 1), (1, 1))) for _ in periods)
        flat = (1, width, width, width, width)
        self.by_resolution = nn.ModuleList(
            _Convolutions(flat, (3, 9), ((1, 2), (1, 2), (2, 2), (1, 1))) for _ in RESOLUTIONS
        )

    def forward(self, wave: Tensor) -> Judged:
        """[B, samples] -> the verdicts and features of every sub-discriminator."""
        judged = []
        wave = LOUDER * wave
        for period, sub in zip(self.periods, self.by_period, strict=True):
            length = wave.shape[1] // period * period
            judged.append(sub(wave[:, :length].view(len(wave), 1, -1, period)))
        for n_fft, sub in zip(RESOLUTIONS, self.by_resolution, strict=True):
            judged.append(sub(magnitude(wave, n_fft).pow(0.3).transpose(1, 2)[:, None]))
        return judged


def discriminator_loss(real: Judged, fake: Judged) -> Tensor:
    """Least squares: real speech should be judged 1, made speech 0; the mean over sub-discriminators."""
    terms = [
        (1 - r.float()).square().mean() + f.float().square().mean() for (r, _), (f, _) in zip(real, fake, strict=True)
    ]
    return torch.stack(terms).mean()


def generator_loss(fake: Judged) -> Tensor:
    """Least squares: made speech should be judged 1; the mean over sub-discriminators."""
    return torch.stack([(1 - f.float()).square().mean() for f, _ in fake]).mean()


def feature_loss(real: Judged, fake: Judged) -> Tensor:
    """L1 between features of real and made speech, relative to the real ones' size; the mean over layers and sub-discriminators."""
    pairs = [
        (r.detach().float(), f.float())
        for (_, rs), (_, fs) in zip(real, fake, strict=True)
        for r, f in zip(rs, fs, strict=True)
    ]
    return torch.stack([F.l1_loss(f, r) / (r.abs().mean() + 1e-3) for r, f in pairs]).mean()
