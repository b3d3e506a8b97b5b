"""w2v-BERT 2.0 (Seamless Communication, 2023): mel features, two per frame, below a conformer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from factory.models.hub_network import load_extractor, load_network, save_network, used_weights
from factory.models.speech_encoder import SpeechEncoder, check_layer, make_fingerprint
from schemas.audio import SAMPLE_RATE

SHORTEST = 560
"""Samples of the two windows of 25 ms, 10 ms apart, that make a frame."""


class W2vBertEncoder(SpeechEncoder):
    """Any Wav2Vec2BertModel up to a layer, behind its own feature extractor: layer 16 is `hidden_states[16]`.

    T = ((samples - 400) // 160 + 1) // 2. The features are normalised over the utterance.
    """

    network: Any

    def __init__(self, model: str, layer: int) -> None:
        self.network, self.extractor = load_network(model, "wav2vec2-bert"), load_extractor(model)
        check_layer(model, layer, self.network.config.num_hidden_layers)
        del self.network.encoder.layers[layer:]
        super().__init__(model, layer, make_fingerprint(used_weights(self.network), layer))
        self.network.to(self.device)
        self.width = self.network.config.hidden_size

    def check(self, wave: np.ndarray) -> None:
        if len(wave) < SHORTEST:
            raise ValueError(f"wav2vec2-bert takes {SHORTEST} samples (0.035 s) or more; got {len(wave)}")

    def count_frames(self, samples: int) -> int:
        return ((samples - 400) // 160 + 1) // 2

    def compute_stem(self, wave: np.ndarray) -> torch.Tensor:
        settings = {"sampling_rate": SAMPLE_RATE, "return_tensors": "pt", "pad_to_multiple_of": None}
        stem: torch.Tensor = self.extractor(np.asarray(wave, np.float32), **settings)["input_features"][0]
        return stem.to(self.device)

    def transform(self, stems: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        projected, _ = self.network.feature_projection(stems)
        states: torch.Tensor = self.network.encoder(projected, attention_mask=mask).last_hidden_state
        return states

    def save(self, folder: Path) -> None:
        """Write the network with the layers that are left, and its feature extractor."""
        save_network(self.network, self.layer, folder)
        self.extractor.save_pretrained(folder)
