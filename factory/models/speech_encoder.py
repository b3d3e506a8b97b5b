"""What all speech encoders share: waves in, hidden states out, one utterance at a time or in batches.

Frames come at 50 Hz, every 320 samples at 16 kHz, in float32. On a CPU an encoder takes one utterance at a time,
unpadded: its units do not depend on a batch at all, and a batch would be hardly faster. One utterance leaves a GPU
idle: there the stem takes one utterance at a time, because it normalises over time, and the transformer takes batches
of similar lengths. Padding is masked; it changes the last bits of frames, and 1 unit of 10,000 at most.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from factory.models.device import select_device
from factory.models.padded import pad, plan_batches
from factory.models.weights import WeightsError

FRAME = 400
"""Samples of the shortest wave, 25 ms: the window of all kinds of encoder."""
BATCH_FRAMES = 12_000
"""Frames of a batch of the transformer on a GPU, padding included: 240 s of speech, whatever the rows of a call are."""


class SpeechEncoder(ABC):
    """A network that turns waves into frames.

    Attributes:
        model: The name of the weights.
        layer: The layer that returns the hidden states, from 1.
        fingerprint: A digest of the layer and of the weights up to it; the name of the weights does not count.
        device: Where it computes.
        batch_frames: Frames of a batch of the transformer, padding included; None: one utterance at a time.
        network: The weights of `transform`, which a training may change. The stem stays as it is.
        width: The dimensions of a frame.
    """

    model: str
    layer: int
    fingerprint: str
    device: torch.device
    batch_frames: int | None
    network: nn.Module
    width: int

    def __init__(self, model: str, layer: int, fingerprint: str) -> None:
        """Choose the GPU of this process, or the CPU; turn TF32 off, because it changes units."""
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
        self.model, self.layer, self.fingerprint = model, layer, fingerprint
        self.device = select_device()
        self.batch_frames = None if self.device.type == "cpu" else BATCH_FRAMES

    @torch.inference_mode()
    def encode(self, waves: Sequence[np.ndarray]) -> Iterator[tuple[int, torch.Tensor]]:
        """Compute the hidden states of waves.

        Args:
            waves: Waves (samples,) of floats at 16 kHz, of 0.025 s or more.

        Yields:
            The index of each wave and its hidden states (T, D) float32, in the order in which they are computed.

        Raises:
            ValueError: A wave is too short, or too long for the network.
        """
        for wave in waves:
            self.check(wave)
        for batch in plan_batches([self.count_frames(len(wave)) for wave in waves], self.batch_frames):
            stems, mask = pad([self.compute_stem(waves[index]) for index in batch])
            states = self.transform(stems, mask)
            for index, one in zip(batch, states, strict=True):
                yield index, one[: self.count_frames(len(waves[index]))]

    def frames(self, wave: np.ndarray) -> np.ndarray:
        """Return hidden states (T, D) of one wave: see `encode`."""
        [(_, states)] = self.encode([wave])
        return states.cpu().numpy()

    @abstractmethod
    def check(self, wave: np.ndarray) -> None:
        """Raise ValueError where the length of a wave does not suit the network."""

    @abstractmethod
    def count_frames(self, samples: int) -> int:
        """Return the number of frames of a wave."""

    @abstractmethod
    def compute_stem(self, wave: np.ndarray) -> torch.Tensor:
        """Return what the convolutions compute of one wave (T, C)."""

    @abstractmethod
    def transform(self, stems: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """Return hidden states (B, T, D) of padded stems (B, T, C).

        `mask` (B, T) is True in an utterance and False behind its end; None: nothing is padded.
        """

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write the weights into a folder, from which `load_speech_encoder` gives the same encoder again."""

    def _to_device(self, wave: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(wave, np.float32)).to(self.device)


def check_layer(model: str, layer: int, layers: int) -> None:
    if not 1 <= layer <= layers:
        raise WeightsError(f"{model} has layers 1 to {layers}; encoder.layer is {layer}")


def make_fingerprint(weights: Mapping[str, torch.Tensor], layer: int) -> str:
    """Return 16 hexadecimal digits that identify a layer and the weights up to it."""
    running = hashlib.sha256(f"layer {layer}".encode())
    for name in sorted(weights):
        running.update(name.encode() + weights[name].contiguous().numpy().tobytes())
    return running.hexdigest()[:16]
