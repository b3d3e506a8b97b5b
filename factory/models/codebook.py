"""Units: the codebook of a speech encoder, and the assignment of its frames to units.

codebook = Codebook.load("codebook.safetensors", encoder)
units, durations = deduplicate(assign(encoder.frames(wave), codebook.centers))
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import numpy as np
import torch

from factory.models.speech_encoder import SpeechEncoder
from factory.models.weights import WeightsError


def assign(frames: np.ndarray | torch.Tensor, centers: np.ndarray | torch.Tensor) -> np.ndarray:
    """Assign frames to their nearest centroids, in float32.

    Args:
        frames: Hidden states of a speech encoder (T, D). A tensor is assigned on its device.
        centers: Centroids (K, D), on the device of the frames.

    Returns:
        The indices of the centroids (T,), int32; of two centroids at the same distance the smaller index.

    Raises:
        WeightsError: Frames and centroids have different dimensions.
    """
    if frames.shape[1:] != centers.shape[1:]:
        raise WeightsError(
            f"the encoder's frames have {frames.shape[1:]} dimensions, the codebook's centroids {centers.shape[1:]}: "
            "use the codebook of this encoder"
        )
    x, c = (_copy(values) for values in (frames, centers))
    distances = (c**2).sum(1) - 2 * (x @ c.T)  # without |x|^2, which is the same for all centroids
    return np.asarray(distances.argmin(1).cpu().numpy(), np.int32)


def _copy(values: np.ndarray | torch.Tensor) -> torch.Tensor:
    """Return values as float32 in aligned memory: with another alignment the last bits of a product may differ."""
    return torch.as_tensor(values).to(torch.float32, copy=True, memory_format=torch.contiguous_format)


def deduplicate(ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Merge runs of one unit.

    Args:
        ids: One unit per frame (T,).

    Returns:
        The units without repetitions (N,), and the frames of each (N,); both int32.
    """
    ids = np.asarray(ids, np.int32)
    starts = np.flatnonzero(np.diff(ids, prepend=ids[:1] - 1))
    return ids[starts], np.diff(starts, append=len(ids)).astype(np.int32)


def expand(units: np.ndarray, durations: np.ndarray) -> np.ndarray:
    """Return one unit per frame (T,) int32: the inverse of `deduplicate`."""
    return np.repeat(np.asarray(units, np.int32), durations)


@dataclass(frozen=True)
class Codebook:
    """Centroids and the encoder that they were made with. Units of another encoder are noise, so `load` compares them.

    Attributes:
        centers: The centroids (K, D), float32.
        model: The name of the encoder's weights.
        layer: The encoder's layer.
        fingerprint: The fingerprint of the encoder's weights; empty if it is not known.
    """

    centers: np.ndarray
    model: str
    layer: int
    fingerprint: str = ""

    @property
    def k(self) -> int:
        """Number of units."""
        return len(self.centers)

    def save(self, path: str | Path) -> None:
        """Write a safetensors file with `model`, `layer`, `k` and `fingerprint` in its metadata, atomically."""
        path = Path(path)
        temporary = path.with_name(f".{path.name}.{uuid4().hex[:8]}.tmp")
        temporary.write_bytes(self._to_safetensors())
        temporary.replace(path)

    def _to_safetensors(self) -> bytes:
        """Return the file's bytes; equal codebooks are equal files, while the library orders metadata at random."""
        centers = np.ascontiguousarray(self.centers, "<f4")
        metadata = {"model": self.model, "layer": str(self.layer), "k": str(self.k), "fingerprint": self.fingerprint}
        tensor = {"dtype": "F32", "shape": centers.shape, "data_offsets": [0, centers.nbytes]}
        header = json.dumps({"__metadata__": metadata, "centers": tensor}).encode()
        header += b" " * (-len(header) % 8)
        return len(header).to_bytes(8, "little") + header + centers.tobytes()

    @classmethod
    def load(cls, path: str | Path, encoder: SpeechEncoder | None = None) -> Codebook:
        """Read a codebook.

        Args:
            path: A `.safetensors` file, or a `.npy` file with `{"model": ..., "layer": ...}` in a `.json` of the same
                name.
            encoder: The encoder that the codebook must belong to; None for any.

        Raises:
            WeightsError: The file is missing, is no codebook, or belongs to another encoder.
        """
        path = Path(path)
        if not path.is_file():
            raise WeightsError(f"there is no codebook {path}: expected a .safetensors or .npy file")
        codebook = _load_npy(path) if path.suffix == ".npy" else _load_safetensors(path)
        if encoder is not None:
            codebook.check(encoder, str(path))
        return codebook

    def check(self, encoder: SpeechEncoder, name: str = "the codebook") -> None:
        """Compare the codebook's encoder with another one, by the fingerprints if known, else by the names.

        Args:
            encoder: The encoder that the codebook must belong to.
            name: The codebook's name in the error.

        Raises:
            WeightsError: The codebook belongs to another encoder.
        """
        same = self.fingerprint == encoder.fingerprint if self.fingerprint else self.model == encoder.model
        if self.layer != encoder.layer or not same:
            same_name = (self.model, self.layer) == (encoder.model, encoder.layer)
            weights = " with other weights" if same_name else ""
            raise WeightsError(
                f"{name} belongs to layer {self.layer} of {self.model}{weights}, not to layer {encoder.layer} of "
                f"{encoder.model}: its units would be noise; use the codebook of this encoder, or the encoder of this "
                "codebook"
            )


def convert_fairseq_kmeans(path: str | Path, sha256: str, model: str, layer: int) -> Codebook:
    """Convert fairseq's k-means, a joblib pickle of sklearn's MiniBatchKMeans, into a Codebook.

    A pickle can run any code. This function opens the bytes only after their sha256 was compared with the given one.

    Args:
        path: The pickle.
        sha256: The expected digest of the file, in hexadecimal digits.
        model: The name of the encoder's weights.
        layer: The encoder's layer.

    Raises:
        WeightsError: The file cannot be read, or has another digest.
    """
    import joblib

    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise WeightsError(f"{path} cannot be read ({error}): expected a k-means of fairseq") from error
    digest = hashlib.sha256(content).hexdigest()
    if digest != sha256.lower():
        raise WeightsError(
            f"{path} has sha256 {digest}, not {sha256}: it was not opened, because a pickle can run any code"
        )
    return Codebook(np.asarray(joblib.load(io.BytesIO(content)).cluster_centers_, np.float32), model, layer)


def _load_safetensors(path: Path) -> Codebook:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "np") as file:
            metadata, centers = file.metadata() or {}, file.get_tensor("centers")
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path} is not a codebook ({error}): make or fetch it again") from error
    return _validate(path, centers, metadata)


def _load_npy(path: Path) -> Codebook:
    sidecar = path.with_suffix(".json")
    if not sidecar.is_file():
        raise WeightsError(
            f'{path} does not say which encoder it belongs to: write {{"model": ..., "layer": ...}} to {sidecar}'
        )
    try:
        centers, metadata = np.load(path, allow_pickle=False), json.loads(sidecar.read_text("utf-8"))
    except (ValueError, EOFError, OSError) as error:  # a pickle, half a file, or no JSON
        raise WeightsError(f"{path} with {sidecar.name} is not a codebook ({error}): make or fetch it again") from error
    return _validate(sidecar, centers, metadata)


def _validate(path: Path, centers: np.ndarray, metadata: Mapping[str, str | int]) -> Codebook:
    """Return a codebook of these centroids; `path` names the file in errors."""
    if not isinstance(metadata, dict) or not {"model", "layer"} <= set(metadata):
        raise WeightsError(f"{path} does not say which encoder it belongs to: it must name `model` and `layer`")
    if centers.ndim != 2 or not np.issubdtype(centers.dtype, np.floating):
        raise WeightsError(f"{path} must hold centroids of shape (K, D); got {centers.shape} of {centers.dtype}")
    if not np.isfinite(centers).all():
        raise WeightsError(f"{path} holds centroids that are not numbers (NaN or infinity): make or fetch it again")
    try:
        layer = int(metadata["layer"])
    except (TypeError, ValueError) as error:
        raise WeightsError(f"{path} has the layer {metadata['layer']!r}; expected a whole number") from error
    fingerprint = str(metadata.get("fingerprint", ""))
    return Codebook(np.asarray(centers, np.float32), str(metadata["model"]), layer, fingerprint)
