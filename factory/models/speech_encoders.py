"""Speech to units: hidden states of a speech encoder, the centroids they are nearest to, and runs of one unit taken together.

    encoder = speech_encoder("whisper", "package:whisper-base", layer=4)
    codebook = Codebook.load("codebook.safetensors", encoder)
    units, durations = deduplicate(assign(encoder.frames(wave), codebook.centers))

An encoder takes one utterance at a time, unpadded, in float32: the units of an utterance never depend on what it is batched with.
Frames come at 50 Hz (hop 320 samples at 16 kHz).
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from uuid import uuid4

import numpy as np
import torch
from torch.nn import functional as F

from factory.models.device import device
from factory.models.weights import WeightsError, resolve
from factory.models.whisper_weights import layer_of, whisper_encoder_weights


class SpeechEncoder(Protocol):
    """What turns a wave into frames; `fingerprint` tells its weights up to `layer` apart, whatever they are called."""

    model: str
    layer: int
    fingerprint: str

    def frames(self, wave: np.ndarray) -> np.ndarray:
        """Return hidden states (T, D) float32 of a wave (N,) at 16 kHz."""
        ...


def speech_encoder(kind: str, model: str, layer: int) -> SpeechEncoder:
    """Load an encoder by its kind, `whisper` or `hubert`; raises ValueError for another kind."""
    kinds: dict[str, Callable[[str, int], SpeechEncoder]] = {"whisper": WhisperEncoder, "hubert": HubertEncoder}
    if kind not in kinds:
        raise ValueError(f"the encoder must be one of {', '.join(kinds)}; got {kind!r}")
    return kinds[kind](model, layer)


class WhisperEncoder:
    """The encoder of Whisper (Radford et al. 2022) up to a layer, in plain torch; nothing is padded to 30 s.

    `model` is a name for `resolve`: a CTranslate2 folder (`model.bin`) or a Hugging Face one (`model.safetensors`). As in Hugging Face's
    `hidden_states`, the last layer's output is layer-normalised and the others' are not. T = ceil((N // 160) / 2), at most 1500 (30 s).
    """

    def __init__(self, model: str, layer: int) -> None:
        weights, self.heads = whisper_encoder_weights(resolve(model))
        self.layers = 1 + max(layer_of(name) for name in weights)
        _check_layer(model, layer, self.layers)
        self.model, self.layer = model, layer
        kept = [name for name in weights if self._is_used(name)]
        self.fingerprint = _fingerprint({name: weights[name] for name in kept}, layer)
        self.device = _device()
        self.weights = {name: weights[name].to(self.device) for name in kept}
        self.window = torch.hann_window(400, device=self.device)
        self.filters = _mel_filters(self.weights["conv1/weight"].shape[1]).to(self.device)

    def _is_used(self, name: str) -> bool:
        if name.startswith("layer_norm/"):
            return self.layer == self.layers
        return layer_of(name) < self.layer

    @torch.inference_mode()
    def frames(self, wave: np.ndarray) -> np.ndarray:
        """Return hidden states (T, D) of a wave (N,), 400 <= N <= 480,000; raises ValueError for another length."""
        if not 400 <= len(wave) <= 480_000:
            raise ValueError(f"Whisper takes 0.025 to 30 s of audio; got {len(wave) / 16_000:.3f} s")
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
        """Return Whisper's log-mel spectrogram (mels, N // 160) of a wave (N,): 25 ms windows every 10 ms, 8 decades below the peak."""
        samples = torch.from_numpy(np.ascontiguousarray(wave, np.float32)).to(self.device)
        power = torch.stft(samples, 400, 160, window=self.window, return_complex=True)[:, :-1].abs() ** 2
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
        query, key, value = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in mixed.chunk(3, dim=-1))
        attended = F.scaled_dot_product_attention(query, key, value)
        return self._linear(f"{name}/linear_1", attended.transpose(1, 2).flatten(2))

    def _feed_forward(self, name: str, x: torch.Tensor) -> torch.Tensor:
        hidden = F.gelu(self._linear(f"{name}/linear_0", self._norm(f"{name}/layer_norm", x)))
        return self._linear(f"{name}/linear_1", hidden)


class HubertEncoder:
    """Any HubertModel (HuBERT, mHuBERT) up to a layer. Layers count as fairseq counts them: layer 11 is `hidden_states[11]`.

    The wave is not normalised (fairseq's `normalize: false`). T = (N - 400) // 320 + 1.
    """

    def __init__(self, model: str, layer: int) -> None:
        from transformers import HubertModel

        self.network = HubertModel.from_pretrained(resolve(model), dtype=torch.float32).eval()
        _check_layer(model, layer, self.network.config.num_hidden_layers)
        del self.network.encoder.layers[layer:]
        if self.network.config.do_stable_layer_norm:
            self.network.encoder.layer_norm = (
                torch.nn.Identity()
            )  # it follows the last layer; fairseq takes a layer's bare output
        self.model, self.layer = model, layer
        self.fingerprint = _fingerprint(self.network.state_dict(), layer)
        self.device = _device()
        self.network.to(self.device)

    @torch.inference_mode()
    def frames(self, wave: np.ndarray) -> np.ndarray:
        """Return hidden states (T, D) of a wave (N,), N >= 400; raises ValueError for a shorter one."""
        if len(wave) < 400:
            raise ValueError(f"HuBERT takes 400 samples (0.025 s) or more; got {len(wave)}")
        samples = torch.from_numpy(np.ascontiguousarray(wave, np.float32)).to(self.device)
        return self.network(samples[None]).last_hidden_state[0].cpu().numpy()


def assign(frames: np.ndarray, centers: np.ndarray) -> np.ndarray:
    """Return the ids (T,) int32 of the centers (K, D) that frames (T, D) are nearest to, in float32; a tie goes to the smaller id."""
    if frames.shape[1:] != centers.shape[1:]:
        raise ValueError(f"frames have {frames.shape[1:]} dimensions and the codebook's centroids {centers.shape[1:]}")
    x, c = (
        torch.tensor(frames, dtype=torch.float32),
        torch.tensor(centers, dtype=torch.float32),
    )  # copies, so that both are aligned
    distance = (c**2).sum(1) - 2 * (x @ c.T)  # |x|² is the same for all centers
    return distance.argmin(1).numpy().astype(np.int32)


def deduplicate(ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the ids (T,) with each run as one unit, and the runs' lengths in frames; both int32."""
    ids = np.asarray(ids, np.int32)
    starts = np.flatnonzero(np.diff(ids, prepend=ids[:1] - 1))
    return ids[starts], np.diff(starts, append=len(ids)).astype(np.int32)


def expand(units: np.ndarray, durations: np.ndarray) -> np.ndarray:
    """Return one id a frame: what `deduplicate` was given."""
    return np.repeat(np.asarray(units, np.int32), durations)


@dataclass(frozen=True)
class Codebook:
    """Centroids (K, D) float32 and the encoder they were made with; units of another encoder are noise, so loading checks it."""

    centers: np.ndarray
    model: str
    layer: int
    fingerprint: str = ""

    @property
    def k(self) -> int:
        """Number of units."""
        return len(self.centers)

    def save(self, path: str | Path) -> None:
        """Write a safetensors file with `model`, `layer`, `k` and `fingerprint` in its metadata; it appears whole or not at all."""
        path = Path(path)
        temporary = path.with_name(f".{path.name}.{uuid4().hex[:8]}.tmp")
        temporary.write_bytes(self._safetensors())
        temporary.replace(path)

    def _safetensors(self) -> bytes:
        """Lay the file out by hand: the library writes metadata in a random order, but one codebook shall be one file, of one digest."""
        centers = np.ascontiguousarray(self.centers, "<f4")
        told = {"model": self.model, "layer": str(self.layer), "k": str(self.k), "fingerprint": self.fingerprint}
        tensor = {"dtype": "F32", "shape": centers.shape, "data_offsets": [0, centers.nbytes]}
        header = json.dumps({"__metadata__": told, "centers": tensor}).encode()
        header += b" " * (-len(header) % 8)
        return len(header).to_bytes(8, "little") + header + centers.tobytes()

    @classmethod
    def load(cls, path: str | Path, encoder: SpeechEncoder | None = None) -> Codebook:
        """Read a codebook (`.safetensors`, or `.npy` with `{"model", "layer"}` in a `.json` of the same name).

        Raises WeightsError in a sentence when it belongs to another encoder or cannot be read.
        """
        path = Path(path)
        if not path.is_file():
            raise WeightsError(f"there is no codebook {path}")
        codebook = _load_npy(path) if path.suffix == ".npy" else _load_safetensors(path)
        if encoder is not None:
            codebook.check(encoder, str(path))
        return codebook

    def check(self, encoder: SpeechEncoder, name: str = "the codebook") -> None:
        """Raise WeightsError unless this codebook was made with `encoder`: by the weights where they are known, else by their name."""
        same = self.fingerprint == encoder.fingerprint if self.fingerprint else self.model == encoder.model
        if self.layer != encoder.layer or not same:
            alike = (self.model, self.layer) == (encoder.model, encoder.layer)
            weights = " with other weights" if alike else ""
            raise WeightsError(
                f"{name} belongs to layer {self.layer} of {self.model}{weights}, not to layer {encoder.layer} of {encoder.model}: "
                "its units would be noise; take the codebook of this encoder, or the encoder of this codebook"
            )


def convert_fairseq_kmeans(path: str | Path, sha256: str, model: str, layer: int) -> Codebook:
    """Turn fairseq's k-means, a joblib pickle of sklearn's MiniBatchKMeans, into a Codebook of (`model`, `layer`).

    A pickle can run any code: it is opened only after the sha256 of the very bytes that are opened was found to be the one given.
    """
    import joblib

    content = Path(path).read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != sha256.lower():
        raise WeightsError(
            f"{path} has sha256 {found}, not {sha256}: it was not opened, since a pickle can run any code"
        )
    return Codebook(np.asarray(joblib.load(io.BytesIO(content)).cluster_centers_, np.float32), model, layer)


def _load_safetensors(path: Path) -> Codebook:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "np") as file:
            told, centers = file.metadata() or {}, file.get_tensor("centers")
    except SafetensorError as error:
        raise WeightsError(f"{path} is no codebook: {error}") from error
    return _codebook(path, centers, told)


def _load_npy(path: Path) -> Codebook:
    sidecar = path.with_suffix(".json")
    if not sidecar.is_file():
        raise WeightsError(
            f'{path} does not say which encoder it belongs to: write {{"model": ..., "layer": ...}} to {sidecar}'
        )
    try:
        centers, told = np.load(path, allow_pickle=False), json.loads(sidecar.read_text("utf-8"))
    except (ValueError, EOFError) as error:  # a pickle, half a file, or no JSON
        raise WeightsError(f"{path} with {sidecar.name} is no codebook: {error}") from error
    return _codebook(sidecar, centers, told)


def _codebook(path: Path, centers: np.ndarray, told: Mapping[str, str | int]) -> Codebook:
    if not {"model", "layer"} <= set(told):
        raise WeightsError(
            f"{path} does not say which encoder its centroids belong to; it must name `model` and `layer`"
        )
    if centers.ndim != 2 or not np.issubdtype(centers.dtype, np.floating):
        raise WeightsError(f"{path} must hold centroids of shape (K, D); got {centers.shape} of {centers.dtype}")
    if not np.isfinite(centers).all():
        raise WeightsError(f"{path} holds centroids that are no numbers (NaN or infinity): make or fetch it again")
    return Codebook(
        np.asarray(centers, np.float32), str(told["model"]), int(told["layer"]), str(told.get("fingerprint", ""))
    )


def _device() -> torch.device:
    """Return the GPU where there is one; TF32 is turned off, since it changes units."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    return device()


def _check_layer(model: str, layer: int, layers: int) -> None:
    if not 1 <= layer <= layers:
        raise ValueError(f"{model} has layers 1 to {layers}; got {layer}")


def _fingerprint(weights: Mapping[str, torch.Tensor], layer: int) -> str:
    """Return 16 hexadecimal digits that name the weights that make the hidden states of a layer."""
    running = hashlib.sha256(f"layer {layer}".encode())
    for name in sorted(weights):
        running.update(name.encode() + weights[name].contiguous().numpy().tobytes())
    return running.hexdigest()[:16]


def _mel_filters(mels: int) -> torch.Tensor:
    """Return Whisper's mel filters (mels, 201): Slaney's scale and normalisation, 0 to 8 kHz."""
    from torchaudio.functional import melscale_fbanks

    return melscale_fbanks(201, 0.0, 8000.0, mels, 16_000, norm="slaney", mel_scale="slaney").T.contiguous()
