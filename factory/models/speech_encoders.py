"""Speech encoders: the hidden states of a network that units are made of (`factory.models.codebook`).

    encoder = load_speech_encoder("whisper", "package:whisper-base", layer=4)
    for index, frames in encoder.encode(waves):
        ...

Frames come at 50 Hz, every 320 samples at 16 kHz, in float32. On a CPU an encoder takes one utterance at a time,
unpadded: its units do not depend on a batch at all, and a batch would be hardly faster. One utterance leaves a GPU
idle: there the stem of convolutions takes one utterance at a time, because it normalises over time, and the transformer
takes batches of similar lengths. Padding is masked; it changes the last bits of frames, and 1 unit of 10,000 at most.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from factory.models.device import select_device
from factory.models.padded import pad, plan_batches
from factory.models.weights import WeightsError, resolve
from factory.models.whisper_weights import layer_of, whisper_encoder_weights
from schemas.audio import SAMPLE_RATE

FRAME = 400
"""Samples of the shortest wave, 25 ms: the window of both kinds of encoder."""
WHISPER_LIMIT = 30 * SAMPLE_RATE
"""Samples of the longest wave that Whisper has positions for."""
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
    """

    model: str
    layer: int
    fingerprint: str
    device: torch.device
    batch_frames: int | None

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
            self._check(wave)
        for batch in plan_batches([self._count_frames(len(wave)) for wave in waves], self.batch_frames):
            stems, mask = pad([self._compute_stem(waves[index]) for index in batch])
            states = self._transform(stems, mask)
            for index, one in zip(batch, states, strict=True):
                yield index, one[: self._count_frames(len(waves[index]))]

    def frames(self, wave: np.ndarray) -> np.ndarray:
        """Return hidden states (T, D) of one wave: see `encode`."""
        [(_, states)] = self.encode([wave])
        return states.cpu().numpy()

    @abstractmethod
    def _check(self, wave: np.ndarray) -> None:
        """Raise ValueError where the length of a wave does not suit the network."""

    @abstractmethod
    def _count_frames(self, samples: int) -> int:
        """Return the number of frames of a wave."""

    @abstractmethod
    def _compute_stem(self, wave: np.ndarray) -> torch.Tensor:
        """Return what the convolutions compute of one wave (T, C)."""

    @abstractmethod
    def _transform(self, stems: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """Return hidden states (B, T, D) of padded stems (B, T, C).

        `mask` (B, T) is True in an utterance and False behind its end; None: nothing is padded.
        """

    def _to_device(self, wave: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(wave, np.float32)).to(self.device)


def load_speech_encoder(kind: str, model: str, layer: int) -> SpeechEncoder:
    """Load an encoder.

    Args:
        kind: `whisper` or `hubert`.
        model: A name of weights for `factory.models.weights.resolve`.
        layer: The layer that returns the hidden states, from 1.

    Raises:
        WeightsError: The kind is not known, the weights cannot be found or used, or they have no such layer.
    """
    kinds: dict[str, Callable[[str, int], SpeechEncoder]] = {"whisper": WhisperEncoder, "hubert": HubertEncoder}
    if kind not in kinds:
        raise WeightsError(f"encoder.kind must be one of {', '.join(kinds)}; got {kind!r}")
    return kinds[kind](model, layer)


class WhisperEncoder(SpeechEncoder):
    """The encoder of Whisper (Radford et al., 2022) up to a layer, in plain torch, without padding to 30 s.

    The weights are a CTranslate2 folder (`model.bin`) or a Hugging Face folder (`model.safetensors`). As in Hugging
    Face's `hidden_states`, only the output of the last layer is layer-normalised. T = ceil((samples // 160) / 2).
    """

    def __init__(self, model: str, layer: int) -> None:
        weights, self.heads = whisper_encoder_weights(resolve(model))
        self.layers = 1 + max((layer_of(name) for name in weights), default=-1)
        _check_layer(model, layer, self.layers)
        kept = {name: weight for name, weight in weights.items() if self._is_used(name, layer)}
        super().__init__(model, layer, _fingerprint(kept, layer))
        self.weights = {name: weight.to(self.device) for name, weight in kept.items()}
        self.window = torch.hann_window(FRAME, device=self.device)
        self.filters = _mel_filters(self.weights["conv1/weight"].shape[1]).to(self.device)

    def _is_used(self, name: str, layer: int) -> bool:
        if name.startswith("layer_norm/"):
            return layer == self.layers
        return layer_of(name) < layer

    def _check(self, wave: np.ndarray) -> None:
        if not FRAME <= len(wave) <= WHISPER_LIMIT:
            raise ValueError(f"Whisper takes 0.025 to 30 s of audio; got {len(wave) / SAMPLE_RATE:.3f} s")

    def _count_frames(self, samples: int) -> int:
        return (samples // 160 + 1) // 2

    def _compute_stem(self, wave: np.ndarray) -> torch.Tensor:
        x = F.gelu(self._convolve("conv1", self.log_mel(wave)[None], stride=1))
        x = F.gelu(self._convolve("conv2", x, stride=2)).transpose(1, 2)[0]
        return x + self.weights["position_encodings/encodings"][: len(x)]

    def _transform(self, stems: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        x, keys = stems, None if mask is None else mask[:, None, None]
        for number in range(self.layer):
            x = x + self._attend(f"layer_{number}/self_attention", x, keys)
            x = x + self._feed_forward(f"layer_{number}/ffn", x)
        return self._norm("layer_norm", x) if self.layer == self.layers else x

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
        return F.conv1d(x, self.weights[f"{name}/weight"], self.weights[f"{name}/bias"], stride=stride, padding=1)

    def _linear(self, name: str, x: torch.Tensor) -> torch.Tensor:
        return F.linear(x, self.weights[f"{name}/weight"], self.weights[f"{name}/bias"])

    def _norm(self, name: str, x: torch.Tensor) -> torch.Tensor:
        return F.layer_norm(x, x.shape[-1:], self.weights[f"{name}/gamma"], self.weights[f"{name}/beta"])

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


class HubertEncoder(SpeechEncoder):
    """Any HubertModel (HuBERT, mHuBERT) up to a layer. Layers count as in fairseq: layer 11 is `hidden_states[11]`.

    The wave is not normalised (fairseq's `normalize: false`). T = (samples - 400) // 320 + 1.
    """

    def __init__(self, model: str, layer: int) -> None:
        self.network = _load_hubert(model)
        _check_layer(model, layer, self.network.config.num_hidden_layers)
        del self.network.encoder.layers[layer:]
        if (
            self.network.config.do_stable_layer_norm
        ):  # a norm after the last layer; fairseq returns a layer's bare output
            self.network.encoder.layer_norm = torch.nn.Identity()
        super().__init__(model, layer, _fingerprint(self.network.state_dict(), layer))
        self.network.to(self.device)

    def _check(self, wave: np.ndarray) -> None:
        if len(wave) < FRAME:
            raise ValueError(f"HuBERT takes {FRAME} samples (0.025 s) or more; got {len(wave)}")

    def _count_frames(self, samples: int) -> int:
        return (samples - FRAME) // 320 + 1

    def _compute_stem(self, wave: np.ndarray) -> torch.Tensor:
        stem: torch.Tensor = self.network.feature_extractor(self._to_device(wave)[None])[0].T
        return stem

    def _transform(self, stems: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        projected = self.network.feature_projection(stems)
        states: torch.Tensor = self.network.encoder(projected, attention_mask=mask).last_hidden_state
        return states


def _load_hubert(model: str) -> Any:
    from transformers import HubertModel

    try:
        return HubertModel.from_pretrained(resolve(model), dtype=torch.float32).eval()  # type: ignore[no-untyped-call]
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        first_line = str(error).strip().split("\n", 1)[0]
        raise WeightsError(
            f"{model} is not a HubertModel that transformers can load ({first_line}): change encoder.model"
        ) from error


def _check_layer(model: str, layer: int, layers: int) -> None:
    if not 1 <= layer <= layers:
        raise WeightsError(f"{model} has layers 1 to {layers}; encoder.layer is {layer}")


def _fingerprint(weights: Mapping[str, torch.Tensor], layer: int) -> str:
    """Return 16 hexadecimal digits that identify a layer and the weights up to it."""
    running = hashlib.sha256(f"layer {layer}".encode())
    for name in sorted(weights):
        running.update(name.encode() + weights[name].contiguous().numpy().tobytes())
    return running.hexdigest()[:16]


def _mel_filters(mels: int) -> torch.Tensor:
    """Return Whisper's mel filters (mels, 201): Slaney's scale and normalisation, 0 to 8 kHz."""
    from torchaudio.functional import melscale_fbanks

    filters: torch.Tensor = melscale_fbanks(201, 0.0, 8000.0, mels, SAMPLE_RATE, norm="slaney", mel_scale="slaney")
    return filters.T.contiguous()
