"""The layers of a unit HiFi-GAN: convolutions, residual blocks, predictors, the harmonic source and its filters.

Inside the network a signal is [batch, channels, 1, time], and convolutions have (1, k) windows in channels_last. Their
parameters have the shapes of 1-d convolutions, as in checkpoints. On an AMD EPYC, 1-d convolutions took 0.9 to 1.2
times the CPU time (Voices in `docs/results.md`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SLOPE = 0.1
"""The negative slope of HiFi-GAN's leaky ReLU."""
REFERENCE_HZ = 150.0
"""The pitch predictor's output is log(f0 / 150 Hz)."""


class Conv(nn.Conv1d):
    """A 1-d convolution over [batch, channels, 1, time], run as a 2-d one; only a stride changes the length."""

    def __init__(self, inputs: int, outputs: int, kernel: int, dilation: int = 1, stride: int = 1) -> None:
        padding = (kernel - stride + 1) // 2 if stride > 1 else dilation * (kernel - 1) // 2
        super().__init__(inputs, outputs, kernel, dilation=dilation, stride=stride, padding=padding)

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, inputs, 1, T] to [B, outputs, 1, T / stride]."""
        weight = self.weight.unsqueeze(2)
        return F.conv2d(x, weight, self.bias, (1, self.stride[0]), (0, int(self.padding[0])), (1, self.dilation[0]))


class Upsample(nn.ConvTranspose1d):
    """A transposed convolution over [batch, channels, 1, time] that multiplies the length by `rate`."""

    def __init__(self, inputs: int, outputs: int, kernel: int, rate: int) -> None:
        super().__init__(inputs, outputs, kernel, rate, padding=(kernel - rate) // 2)

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Map [B, inputs, 1, T] to [B, outputs, 1, rate * T]."""
        weight = self.weight.unsqueeze(2)
        return F.conv_transpose2d(x, weight, self.bias, (1, self.stride[0]), (0, int(self.padding[0])))


class ResBlock(nn.Module):
    """HiFi-GAN's ResBlock1: per dilation, a dilated and a plain convolution inside a skip connection."""

    def __init__(self, channels: int, kernel: int, dilations: Sequence[int]) -> None:
        super().__init__()
        self.convs1 = nn.ModuleList(Conv(channels, channels, kernel, dilation) for dilation in dilations)
        self.convs2 = nn.ModuleList(Conv(channels, channels, kernel) for _ in dilations)

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, C, 1, T] to the same shape."""
        for dilated, plain in zip(self.convs1, self.convs2, strict=True):
            x = x + plain(F.leaky_relu(dilated(F.leaky_relu(x, SLOPE)), SLOPE))
        return x


class DurationPredictor(nn.Module):
    """fairseq's VariancePredictor: log(frames + 1) of every deduplicated unit. The parameters have fairseq's names."""

    def __init__(
        self,
        encoder_embed_dim: int = 128,
        var_pred_hidden_dim: int = 128,
        var_pred_kernel_size: int = 3,
        var_pred_dropout: float = 0.5,
    ) -> None:
        super().__init__()
        hidden, kernel = var_pred_hidden_dim, var_pred_kernel_size
        self.conv1 = nn.Sequential(nn.Conv1d(encoder_embed_dim, hidden, kernel, padding=(kernel - 1) // 2), nn.ReLU())
        self.ln1 = nn.LayerNorm(hidden)
        self.conv2 = nn.Sequential(nn.Conv1d(hidden, hidden, kernel, padding=1), nn.ReLU())
        self.ln2 = nn.LayerNorm(hidden)
        self.proj = nn.Linear(hidden, 1)
        self.dropout = var_pred_dropout

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Predict durations.

        Args:
            x: Embedded units [B, N, embed].
            mask: Ones, and zeros after the end of an utterance [B, N, 1]; None if the utterances have equal lengths.

        Returns:
            log(frames + 1) per unit [B, N].
        """
        for conv, norm in ((self.conv1, self.ln1), (self.conv2, self.ln2)):
            x = norm(conv(x.transpose(1, 2)).transpose(1, 2))
            x = F.dropout(x, self.dropout, self.training)
            x = x if mask is None else x * mask
        durations: Tensor = self.proj(x)
        return durations.squeeze(2)


class PitchPredictor(nn.Module):
    """Log pitch and voicing of every frame, from the units around it, by residual dilated convolutions."""

    def __init__(
        self,
        units: int,
        dim: int = 128,
        kernel: int = 5,
        dilations: Sequence[int] = (1, 2, 4, 8, 16),
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.embed = nn.Embedding(units, dim)
        self.convs = nn.ModuleList(
            nn.Conv1d(dim, dim, kernel, padding=d * (kernel - 1) // 2, dilation=d) for d in dilations
        )
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in dilations)
        self.proj = nn.Linear(dim, 2)
        self.dropout = dropout

    def forward(self, units: Tensor, mask: Tensor | None = None) -> Tensor:
        """Predict pitch and voicing.

        Args:
            units: One unit per frame [B, T].
            mask: Ones, and zeros after the end of an utterance [B, T, 1]; None if the utterances have equal lengths.

        Returns:
            log(f0 / 150 Hz) and the logit of voicing per frame [B, T, 2].
        """
        x: Tensor = self.embed(units)
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = x if mask is None else x * mask
            x = x + F.dropout(F.relu(conv(norm(x).transpose(1, 2)).transpose(1, 2)), self.dropout, self.training)
        predicted: Tensor = self.proj(x)
        return predicted


def harmonic_source(log_f0: Tensor, voiced: Tensor, hop: int, rate: int, seed: int = 0) -> Tensor:
    """Compute the excitation of a voice: the harmonics of its pitch, and noise (NSF; Wang et al., arXiv 1904.12088).

    The harmonics up to `rate` / 2 are cosines of equal size, summed in closed form (Dirichlet's kernel) and scaled to
    unit power. The noise depends on the seed and the length alone.

    Args:
        log_f0: log(f0 / 150 Hz) per frame [B, T], interpolated through unvoiced frames.
        voiced: 1 for a voiced frame, 0 for an unvoiced frame [B, T].
        hop: Samples per frame.
        rate: Samples per second.
        seed: The seed of the noise.

    Returns:
        The harmonics and white noise [B, 2, T * hop].
    """
    frames = log_f0.shape[1]
    f0 = REFERENCE_HZ * F.interpolate(log_f0.float()[:, None], scale_factor=hop, mode="linear")[:, 0].exp()
    half = math.pi * torch.remainder(torch.cumsum(f0.double() / rate, 1), 1.0).float().clamp(1e-4, 1 - 1e-4)
    order = torch.floor(rate / 2 / f0)
    pulses = (torch.sin((2 * order + 1) * half) / torch.sin(half) - 1) / torch.sqrt(2 * order)
    gate = voiced.float().repeat_interleave(hop, 1)
    noise = torch.randn(frames * hop, generator=torch.Generator().manual_seed(seed)).to(pulses.device)
    return torch.stack([pulses * gate, noise.expand_as(pulses)], 1)


class SourceFilter(nn.Module):
    """Shapes a harmonic-plus-noise source by two filters per frame: minimum phase for harmonics, zero phase for noise.

    The filters vary with time, by multiplication in the STFT domain as in DDSP (Engel et al., arXiv 2001.04643). An
    unvoiced sound is noise by construction: a network trained with spectral losses alone makes steady tones of it.
    """

    fold: Tensor
    window: Tensor

    def __init__(self, n_fft: int, hop: int) -> None:
        super().__init__()
        self.n_fft, self.hop, self.bins = n_fft, hop, n_fft // 2 + 1
        fold = torch.full((n_fft, 1), 0.0)
        fold[: n_fft // 2 + 1] = 2.0
        fold[0] = fold[n_fft // 2] = 1.0
        self.register_buffer("fold", fold, persistent=False)
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)

    def forward(self, x: Tensor, source: Tensor) -> Tensor:
        """Filter a source.

        Args:
            x: Log magnitudes of the harmonic filter and of the noise filter [B, n_fft + 2, L].
            source: The harmonics and the noise [B, 2, L * hop].

        Returns:
            Waves [B, L * hop].
        """
        harmonic, noise = (part.float().clamp(-12, 5) for part in (x[:, : self.bins], x[:, self.bins :]))
        pad, samples = (self.n_fft - self.hop) // 2, source.shape[2]
        padded = F.pad(source, (pad, pad)).flatten(0, 1)
        spectra = torch.stft(padded, self.n_fft, self.hop, window=self.window, center=False, return_complex=True)
        spectra = spectra.view(len(x), 2, self.bins, -1)
        shaped = spectra[:, 0] * self.minimum_phase(harmonic) + spectra[:, 1] * noise.exp()
        pieces = torch.fft.irfft(shaped, self.n_fft, dim=1) * self.window[:, None]
        wave = F.fold(pieces, (1, samples + 2 * pad), (1, self.n_fft), stride=(1, self.hop))
        return wave[:, 0, 0, pad : pad + samples]

    def minimum_phase(self, log_magnitude: Tensor) -> Tensor:
        """Map log magnitudes [B, bins, L] to spectra of minimum phase: the cepstrum is folded onto positive times."""
        cepstrum = torch.fft.irfft(log_magnitude, self.n_fft, dim=1)
        log_spectrum: Tensor = torch.fft.rfft(cepstrum * self.fold, dim=1)
        return log_spectrum.exp()
