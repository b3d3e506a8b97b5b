"""Speech encoders: the hidden states of a network that units are made of (`factory.models.codebook`).

    encoder = load_speech_encoder("whisper", "package:whisper-base", layer=4)
    frames = encoder.frames(wave)

An encoder takes one utterance at a time, unpadded, in float32: the units of an utterance do not depend on a batch.
Frames come at 50 Hz, every 320 samples at 16 kHz.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
import torch
from torch.nn import functional as F

from factory.models.device import select_device
from factory.models.weights import WeightsError, resolve
from factory.models.whisper_weights import layer_of, whisper_encoder_weights
from schemas.audio import SAMPLE_RATE

FRAME = 400
"""Samples of the shortest wave, 25 ms: the window of both kinds of encoder."""
WHISPER_LIMIT = 30 * SAMPLE_RATE
"""Samples of the longest wave that Whisper has positions for."""


class SpeechEncoder(Protocol):
    """A network that turns a wave into frames.

    Attributes:
        model: The name of the weights.
        layer: The layer that returns the hidden states, from 1.
        fingerprint: A digest of the layer and of the weights up to it; the name of the weights does not count.
    """

    model: str
    layer: int
    fingerprint: str

    def frames(self, wave: np.ndarray) -> np.ndarray:
        """Return hidden states (T, D) float32 of a wave (samples,) at 16 kHz."""
        ...


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


class WhisperEncoder:
    """The encoder of Whisper (Radford et al., 2022) up to a layer, in plain torch, without padding to 30 s.

    The weights are a CTranslate2 folder (`model.bin`) or a Hugging Face folder (`model.safetensors`). As in Hugging
    Face's `hidden_states`, only the output of the last layer is layer-normalised. T = ceil((samples // 160) / 2).
    """

    def __init__(self, model: str, layer: int) -> None:
        weights, self.heads = whisper_encoder_weights(resolve(model))
        self.layers = 1 + max((layer_of(name) for name in weights), default=-1)
        _check_layer(model, layer, self.layers)
        self.model, self.layer = model, layer
        kept = [name for name in weights if self._is_used(name)]
        self.fingerprint = _fingerprint({name: weights[name] for name in kept}, layer)
        self.device = _select_exact_device()
        self.weights = {name: weights[name].to(self.device) for name in kept}
        self.window = torch.hann_window(FRAME, device=self.device)
        self.filters = _mel_filters(self.weights["conv1/weight"].shape[1]).to(self.device)

    def _is_used(self, name: str) -> bool:
        if name.startswith("layer_norm/"):
            return self.layer == self.layers
        return layer_of(name) < self.layer

    @torch.inference_mode()
    def frames(self, wave: np.ndarray) -> np.ndarray:
        """Compute hidden states.

        Args:
            wave: A wave (samples,) of floats at 16 kHz, of 0.025 to 30 s.

        Returns:
            Hidden states (T, D) float32, at most 1,500 frames.

        Raises:
            ValueError: The wave is too short or too long.
        """
        if not FRAME <= len(wave) <= WHISPER_LIMIT:
            raise ValueError(f"Whisper takes 0.025 to 30 s of audio; got {len(wave) / SAMPLE_RATE:.3f} s")
        x = self.log_mel(wave)[None]
        x = F.gelu(self._convolve("conv1", x, stride=1))
        x = F.gelu(self._convolve("conv2", x, stride=2)).transpose(1, 2)
        x = x + self.weights["position_encodings/encodings"][: x.shape[1]]
        for number in range(self.layer):
            x = x + self._attend(f"layer_{number}/self_attention", x)
            x = x + self._feed_forward(f"layer_{number}/ffn", x)
        if self.layer == self.layers:
            x = self._norm("layer_norm", x)
        return x[0].cpu().numpy()

    def log_mel(self, wave: np.ndarray) -> torch.Tensor:
        """Compute Whisper's log-mel spectrogram (mels, samples // 160) of a wave (samples,).

        Windows of 25 ms every 10 ms; values more than 8 decades below the peak are clipped.
        """
        samples = torch.from_numpy(np.ascontiguousarray(wave, np.float32)).to(self.device)
        power = torch.stft(samples, FRAME, 160, window=self.window, return_complex=True)[:, :-1].abs() ** 2
        log = (self.filters @ power).clamp(min=1e-10).log10()
        return (torch.maximum(log, log.max() - 8) + 4) / 4

    def _convolve(self, name: str, x: torch.Tensor, stride: int) -> torch.Tensor:
        return F.conv1d(x, self.weights[f"{name}/weight"], self.weights[f"{name}/bias"], stride=stride, padding=1)

    def _linear(self, name: str, x: torch.Tensor) -> torch.Tensor:
        return F.linear(x, self.weights[f"{name}/weight"], self.weights[f"{name}/bias"])

    def _norm(self, name: str, x: torch.Tensor) -> torch.Tensor:
        return F.layer_norm(x, x.shape[-1:], self.weights[f"{name}/gamma"], self.weights[f"{name}/beta"])

    def _attend(self, name: str, x: torch.Tensor) -> torch.Tensor:
        mixed = self._linear(f"{name}/linear_0", self._norm(f"{name}/layer_norm", x))
        heads = (*mixed.shape[:-1], 3, self.heads, -1)
        query, key, value = mixed.view(heads).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(query, key, value)
        return self._linear(f"{name}/linear_1", attended.transpose(1, 2).flatten(2))

    def _feed_forward(self, name: str, x: torch.Tensor) -> torch.Tensor:
        hidden = F.gelu(self._linear(f"{name}/linear_0", self._norm(f"{name}/layer_norm", x)))
        return self._linear(f"{name}/linear_1", hidden)


class HubertEncoder:
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
        self.model, self.layer = model, layer
        self.fingerprint = _fingerprint(self.network.state_dict(), layer)
        self.device = _select_exact_device()
        self.network.to(self.device)

    @torch.inference_mode()
    def frames(self, wave: np.ndarray) -> np.ndarray:
        """Compute hidden states.

        Args:
            wave: A wave (samples,) of floats at 16 kHz, of 0.025 s or more.

        Returns:
            Hidden states (T, D) float32.

        Raises:
            ValueError: The wave is too short.
        """
        if len(wave) < FRAME:
            raise ValueError(f"HuBERT takes {FRAME} samples (0.025 s) or more; got {len(wave)}")
        samples = torch.from_numpy(np.ascontiguousarray(wave, np.float32)).to(self.device)
        states: np.ndarray = self.network(samples[None]).last_hidden_state[0].cpu().numpy()
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


def _select_exact_device() -> torch.device:
    """Return the GPU of this process, or the CPU; turn TF32 off, because it changes units."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    return select_device()


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
