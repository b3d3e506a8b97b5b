"""Encoders that hear the wave itself: HuBERT, wav2vec 2.0 and WavLM, a stem of convolutions below a transformer.

Layers count as in fairseq: layer 11 is `hidden_states[11]`, the bare output of the eleventh block. A network that
normalises each layer of its stem (the large ones) hears a wave of mean 0 and variance 1, as in its training; where the
stem normalises over time (the base ones), the loudness of a wave has no effect, and it is left as it is.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from factory.models.hub_network import load_network, save_network, used_weights
from factory.models.speech_encoder import FRAME, SpeechEncoder, check_layer, make_fingerprint


class WaveEncoder(SpeechEncoder):
    """A network of transformers that hears waves, up to a layer. T = (samples - 400) // 320 + 1."""

    network: Any
    kind: ClassVar[str]
    """Its model type in transformers."""

    def __init__(self, model: str, layer: int) -> None:
        self.network = load_network(model, self.kind)
        config = self.network.config
        check_layer(model, layer, config.num_hidden_layers)
        del self.network.encoder.layers[layer:]
        self._norm = self.network.encoder.layer_norm
        if config.do_stable_layer_norm:  # a norm after the last layer; fairseq returns a layer's bare output
            self.network.encoder.layer_norm = torch.nn.Identity()
        self.normalises_wave = config.feat_extract_norm == "layer"
        super().__init__(model, layer, make_fingerprint(used_weights(self.network), layer))
        self.network.to(self.device)
        self.width = config.hidden_size

    def check(self, wave: np.ndarray) -> None:
        if len(wave) < FRAME:
            raise ValueError(f"{self.kind} takes {FRAME} samples (0.025 s) or more; got {len(wave)}")

    def count_frames(self, samples: int) -> int:
        return (samples - FRAME) // 320 + 1

    def compute_stem(self, wave: np.ndarray) -> torch.Tensor:
        """Return what the convolutions compute of one wave (T, C), normalised as in the network's own training."""
        samples = self._to_device(wave)
        if self.normalises_wave:
            samples = torch.nn.functional.layer_norm(samples, samples.shape, eps=1e-7)  # as transformers
        stem: torch.Tensor = self.network.feature_extractor(samples[None])[0].T
        return stem

    def transform(self, stems: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """Return hidden states (B, T, D) of padded stems (B, T, C): see SpeechEncoder."""
        projected = self.network.feature_projection(stems)
        if isinstance(projected, tuple):  # wav2vec 2.0 and WavLM return the normalised stem as well
            projected = projected[0]
        states: torch.Tensor = self.network.encoder(projected, attention_mask=mask).last_hidden_state
        return states

    def save(self, folder: Path) -> None:
        """Write the network with the layers that are left, and with its norm."""
        used, self.network.encoder.layer_norm = self.network.encoder.layer_norm, self._norm
        save_network(self.network, self.layer, folder)
        self.network.encoder.layer_norm = used


class HubertEncoder(WaveEncoder):
    """HuBERT (Hsu et al., 2021) and mHuBERT."""

    kind = "hubert"


class Wav2Vec2Encoder(WaveEncoder):
    """wav2vec 2.0 (Baevski et al., 2020) and XLS-R."""

    kind = "wav2vec2"


class WavLMEncoder(WaveEncoder):
    """WavLM (Chen et al., 2021)."""

    kind = "wavlm"
