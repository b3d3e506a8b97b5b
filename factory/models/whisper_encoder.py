"""The encoder of Whisper up to a layer, in plain torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from factory.models.speech_encoder import FRAME, SpeechEncoder, check_layer, make_fingerprint
from factory.models.weights import resolve
from factory.models.whisper_weights import layer_of, whisper_encoder_weights, write_hugging_face_encoder
from schemas.audio import SAMPLE_RATE

WHISPER_LIMIT = 30 * SAMPLE_RATE
"""Samples of the longest wave that Whisper has positions for."""


class WhisperEncoder(SpeechEncoder):
    """The encoder of Whisper (Radford et al., 2022) up to a layer, in plain torch, without padding to 30 s.

    The weights are a CTranslate2 folder (`model.bin`) or a Hugging Face folder (`model.safetensors`). As in Hugging
    Face's `hidden_states`, only the output of the last layer is layer-normalised. T = ceil((samples // 160) / 2).
    """

    network: nn.ParameterDict

    def __init__(self, model: str, layer: int) -> None:
        weights, self.heads = whisper_encoder_weights(resolve(model))
        self.layers = 1 + max((layer_of(name) for name in weights), default=-1)
        check_layer(model, layer, self.layers)
        kept = {name: weight for name, weight in weights.items() if self._is_used(name, layer)}
        super().__init__(model, layer, make_fingerprint(kept, layer))
        self.network = nn.ParameterDict(kept).to(self.device)
        self.width = len(kept["conv2/bias"])
        self.window = torch.hann_window(FRAME, device=self.device)
        self.filters = _mel_filters(self.network["conv1/weight"].shape[1]).to(self.device)

    def _is_used(self, name: str, layer: int) -> bool:
        if name.startswith("layer_norm/"):
            return layer == self.layers
        return layer_of(name) < layer

    def check(self, wave: np.ndarray) -> None:
        if not FRAME <= len(wave) <= WHISPER_LIMIT:
            raise ValueError(f"Whisper takes 0.025 to 30 s of audio; got {len(wave) / SAMPLE_RATE:.3f} s")

    def count_frames(self, samples: int) -> int:
        return (samples // 160 + 1) // 2

    def compute_stem(self, wave: np.ndarray) -> torch.Tensor:
        x = F.gelu(self._convolve("conv1", self.log_mel(wave)[None], stride=1))
        x = F.gelu(self._convolve("conv2", x, stride=2)).transpose(1, 2)[0]
        positions: torch.Tensor = self.network["position_encodings/encodings"]
        return x + positions[: len(x)]

    def transform(self, stems: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """Return hidden states (B, T, D) of padded stems (B, T, C): see SpeechEncoder."""
        x, keys = stems, None if mask is None else mask[:, None, None]
        for number in range(self.layer):
            x = x + self._attend(f"layer_{number}/self_attention", x, keys)
            x = x + self._feed_forward(f"layer_{number}/ffn", x)
        return self._norm("layer_norm", x) if "layer_norm/gamma" in self.network else x

    def save(self, folder: Path) -> None:
        """Write the encoder as Hugging Face stores a Whisper; without its last norm it ends at the same layer."""
        write_hugging_face_encoder(dict(self.network), self.heads, folder)

    def log_mel(self, wave: np.ndarray) -> torch.Tensor:
        """Compute Whisper's log-mel spectrogram (mels, samples // 160) of a wave (samples,).

        Windows of 25 ms every 10 ms; values more than 8 decades below the peak are clipped.
        """
        power = (
            torch.stft(self._to_device(wave), FRAME, 160, window=self.window, return_complex=True)[:, :-1].abs() ** 2
        )
        log = (self.filters @ power).clamp(min=1e-10).log10()
        return (torch.maximum(log, log.max() - 8) + 4) / 4

    def _convolve(self, name: str, x: torch.Tensor, stride: int) -> torch.Tensor:
        return F.conv1d(x, self.network[f"{name}/weight"], self.network[f"{name}/bias"], stride=stride, padding=1)

    def _linear(self, name: str, x: torch.Tensor) -> torch.Tensor:
        return F.linear(x, self.network[f"{name}/weight"], self.network[f"{name}/bias"])

    def _norm(self, name: str, x: torch.Tensor) -> torch.Tensor:
        return F.layer_norm(x, x.shape[-1:], self.network[f"{name}/gamma"], self.network[f"{name}/beta"])

    def _attend(self, name: str, x: torch.Tensor, keys: torch.Tensor | None) -> torch.Tensor:
        """Attend to the frames that `keys` (B, 1, 1, T) allows; None: to all."""
        mixed = self._linear(f"{name}/linear_0", self._norm(f"{name}/layer_norm", x))
        heads = (*mixed.shape[:-1], 3, self.heads, -1)
        query, key, value = mixed.view(heads).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(query, key, value, keys)
        return self._linear(f"{name}/linear_1", attended.transpose(1, 2).flatten(2))

    def _feed_forward(self, name: str, x: torch.Tensor) -> torch.Tensor:
        hidden = F.gelu(self._linear(f"{name}/linear_0", self._norm(f"{name}/layer_norm", x)))
        return self._linear(f"{name}/linear_1", hidden)


def _mel_filters(mels: int) -> torch.Tensor:
    """Return Whisper's mel filters (mels, 201): Slaney's scale and normalisation, 0 to 8 kHz."""
    from torchaudio.functional import melscale_fbanks

    filters: torch.Tensor = melscale_fbanks(201, 0.0, 8000.0, mels, SAMPLE_RATE, norm="slaney", mel_scale="slaney")
    return filters.T.contiguous()
