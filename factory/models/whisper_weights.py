"""The weights of Whisper's encoder as plain tensors, from a CTranslate2 folder or a Hugging Face folder.

Their names are CTranslate2's without the first part: `conv1/weight`, `layer_0/self_attention/linear_0/weight` (query,
key and value in one matrix), `layer_0/ffn/linear_1/bias`, `layer_norm/gamma`, `position_encodings/encodings`.
"""

from __future__ import annotations

import json
import os
import re
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO

import numpy as np
import torch

from factory.models.weights import WeightsError

Tensors = dict[str, torch.Tensor]

_BINARY_VERSION = 6
_TYPES = {0: "<f4", 1: "i1", 2: "<i2", 3: "<i4", 4: "<f2"}

_NAMES = {
    r"^(model\.)?encoder\.": "",
    r"embed_positions\.weight": "position_encodings.encodings",
    r"layers\.(\d+)": r"layer_\1",
    r"self_attn_layer_norm": "self_attention.layer_norm",
    r"self_attn\.out_proj": "self_attention.linear_1",
    r"self_attn": "self_attention",
    r"fc1": "ffn.linear_0",
    r"fc2": "ffn.linear_1",
    r"final_layer_norm": "ffn.layer_norm",
    r"layer_norm\.weight": "layer_norm.gamma",
    r"layer_norm\.bias": "layer_norm.beta",
    r"\.": "/",
}
"""Patterns in Hugging Face's names and their replacements, applied in this order."""
_BACK = {
    r"^": "model.encoder.",
    r"/": ".",
    r"layer_(\d+)": r"layers.\1",
    r"self_attention\.layer_norm": "self_attn_layer_norm",
    r"self_attention\.linear_1": "self_attn.out_proj",
    r"self_attention": "self_attn",
    r"ffn\.linear_0": "fc1",
    r"ffn\.linear_1": "fc2",
    r"ffn\.layer_norm": "final_layer_norm",
    r"gamma$": "weight",
    r"beta$": "bias",
    r"position_encodings\.encodings": "embed_positions.weight",
}
"""The same, from CTranslate2's names to Hugging Face's."""


def whisper_encoder_weights(folder: Path) -> tuple[Tensors, int]:
    """Read the weights of a Whisper encoder.

    Args:
        folder: A CTranslate2 folder (`model.bin`) or a Hugging Face folder (`model.safetensors`).

    Returns:
        The weights in float32, and the number of attention heads.

    Raises:
        WeightsError: The folder holds neither file, or a file that is no unquantized Whisper.
    """
    if (folder / "model.bin").is_file():
        return _read_ctranslate2_encoder(folder)
    if (folder / "model.safetensors").is_file():
        return _read_hugging_face_encoder(folder)
    raise WeightsError(
        f"{folder} is not a Whisper: it holds neither model.bin (CTranslate2) nor model.safetensors (Hugging Face)"
    )


def layer_of(name: str) -> int:
    """Return the number of the layer that a weight of the encoder belongs to, -1 for a weight outside the layers."""
    number = re.match(r"layer_(\d+)/", name)
    return int(number[1]) if number else -1


def read_ctranslate2(path: str | Path, keep: Callable[[str], bool] = lambda name: True) -> dict[str, np.ndarray]:
    """Read the variables of a CTranslate2 `model.bin` (binary version 6), in their own types.

    The layout is that of `ctranslate2.specs.model_spec.ModelSpec._serialize`: version, name and revision of the spec;
    then, per variable, its name, rank, dimensions, type and bytes. Integers are little-endian.

    Args:
        path: The file.
        keep: Returns True for the names of the variables to read.

    Raises:
        WeightsError: The file has another version, or is truncated.
    """
    with Path(path).open("rb") as file:
        version = int.from_bytes(file.read(4), "little")
        if version != _BINARY_VERSION:
            raise WeightsError(
                f"{path} is not a CTranslate2 model of binary version {_BINARY_VERSION} (its version is {version})"
            )
        try:
            return _read_variables(file, keep)
        except (struct.error, ValueError) as error:  # fewer bytes than announced
            raise WeightsError(f"{path} is truncated or damaged ({error}): fetch it again") from error


def _read_variables(file: IO[bytes], keep: Callable[[str], bool]) -> dict[str, np.ndarray]:
    variables = {}
    _read_text(file)
    _, count = struct.unpack("<II", file.read(8))
    for _ in range(count):
        name = _read_text(file)
        (rank,) = struct.unpack("B", file.read(1))
        shape = struct.unpack(f"<{rank}I", file.read(4 * rank))
        kind, size = struct.unpack("<BI", file.read(5))
        if keep(name) and kind in _TYPES:
            variables[name] = np.frombuffer(bytearray(file.read(size)), _TYPES[kind]).reshape(shape)
        else:
            file.seek(size, os.SEEK_CUR)
    return variables


def _read_text(file: IO[bytes]) -> str:
    (length,) = struct.unpack("<H", file.read(2))
    return file.read(length)[:-1].decode()


def _read_ctranslate2_encoder(folder: Path) -> tuple[Tensors, int]:
    variables = read_ctranslate2(folder / "model.bin", lambda name: name.startswith("encoder/"))
    if any(name.endswith("weight_scale") for name in variables):
        raise WeightsError(
            f"{folder} holds quantized weights, which would give other units: use a float16 or float32 conversion"
        )
    if "encoder/num_heads" not in variables:
        raise WeightsError(f"{folder} is not a Whisper: its model.bin has no encoder")
    # torch.tensor copies into aligned memory: with another alignment a matrix product may differ in its last bits.
    tensors = {
        name.removeprefix("encoder/"): torch.tensor(value, dtype=torch.float32) for name, value in variables.items()
    }
    return tensors, int(tensors.pop("num_heads"))


def _read_hugging_face_encoder(folder: Path) -> tuple[Tensors, int]:
    """Read the encoder of a Hugging Face Whisper under CTranslate2's names."""
    from safetensors import SafetensorError, safe_open

    tensors = {}
    try:
        with safe_open(folder / "model.safetensors", "pt") as file:
            for name in file.keys():  # noqa: SIM118 (not a dict: it has no iterator)
                if re.match(r"(model\.)?encoder\.", name):
                    tensors[_ctranslate2_name(name)] = file.get_tensor(name).float().clone()
        for layer in range(1 + max((layer_of(name) for name in tensors), default=-1)):
            _join_attention(tensors, f"layer_{layer}/self_attention")
        heads = int(json.loads((folder / "config.json").read_text("utf-8"))["encoder_attention_heads"])
    except (SafetensorError, KeyError, OSError, ValueError) as error:
        raise WeightsError(
            f"{folder} is not a Hugging Face Whisper ({type(error).__name__}: {error}): expected its config.json and "
            "model.safetensors"
        ) from error
    return tensors, heads


def _ctranslate2_name(name: str) -> str:
    return _rename(name, _NAMES)


def _rename(name: str, patterns: Mapping[str, str]) -> str:
    for pattern, replacement in patterns.items():
        name = re.sub(pattern, replacement, name)
    return name


def write_hugging_face_encoder(weights: Tensors, heads: int, folder: Path) -> None:
    """Write the weights of an encoder (CTranslate2's names) so that `whisper_encoder_weights` reads them again.

    Args:
        weights: The weights by name.
        heads: The number of attention heads.
        folder: Where `config.json` and `model.safetensors` are written, under Hugging Face's names.
    """
    from safetensors.torch import save_file

    tensors: Tensors = {}
    for name, weight in weights.items():
        attention, joined, part = name.partition("/self_attention/linear_0/")
        if joined:
            names = [f"{attention}/self_attention/{which}_proj/{part}" for which in "qkv"]
            tensors |= zip(names, weight.detach().chunk(3), strict=True)
        else:
            tensors[name] = weight.detach()
    folder.mkdir(parents=True, exist_ok=True)
    named = {_rename(name, _BACK): weight.cpu().contiguous() for name, weight in tensors.items()}
    save_file(named, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"model_type": "whisper", "encoder_attention_heads": heads}))


def _join_attention(tensors: Tensors, name: str) -> None:
    """Replace query, key and value by one matrix; Whisper's key has no bias, one that was trained further may."""
    tensors.setdefault(f"{name}/k_proj/bias", torch.zeros_like(tensors[f"{name}/q_proj/bias"]))
    for part in ("weight", "bias"):
        tensors[f"{name}/linear_0/{part}"] = torch.cat([tensors.pop(f"{name}/{which}_proj/{part}") for which in "qkv"])
