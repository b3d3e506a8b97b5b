"""The weights of Whisper's encoder as plain tensors, from a CTranslate2 folder or a Hugging Face one.

Names are CTranslate2's without their first part: `conv1/weight`, `layer_0/self_attention/linear_0/weight` (query, key and value in one
matrix), `layer_0/ffn/linear_1/bias`, `layer_norm/gamma`, `position_encodings/encodings`.
"""

from __future__ import annotations

import json
import os
import re
import struct
from collections.abc import Callable
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


def whisper_encoder_weights(folder: Path) -> tuple[Tensors, int]:
    """Return the weights (float32) of the Whisper in `folder` and its number of attention heads.

    Raises WeightsError where there is neither `model.bin` nor `model.safetensors`.
    """
    if (folder / "model.bin").is_file():
        return _from_ctranslate2(folder)
    if (folder / "model.safetensors").is_file():
        return _from_hugging_face(folder)
    raise WeightsError(
        f"{folder} is no Whisper: it holds neither model.bin (CTranslate2) nor model.safetensors (Hugging Face)"
    )


def layer_of(name: str) -> int:
    """Return the number of the layer that a weight of Whisper's encoder belongs to, -1 outside of the layers."""
    number = re.match(r"layer_(\d+)/", name)
    return int(number[1]) if number else -1


def read_ctranslate2(path: str | Path, keep: Callable[[str], bool] = lambda name: True) -> dict[str, np.ndarray]:
    """Return the variables of a CTranslate2 `model.bin` (binary version 6) whose names `keep` accepts, in their own types.

    The layout is that of `ctranslate2.specs.model_spec.ModelSpec._serialize`: version, name and revision of the spec, then for each
    variable its name, rank, dimensions, type and bytes; integers are little-endian. Raises WeightsError for another version.
    """
    variables = {}
    with Path(path).open("rb") as file:
        (version,) = struct.unpack("<I", file.read(4))
        if version != _BINARY_VERSION:
            raise WeightsError(
                f"{path} is no CTranslate2 model of binary version {_BINARY_VERSION} (it says {version})"
            )
        _text(file)
        _, count = struct.unpack("<II", file.read(8))
        for _ in range(count):
            name = _text(file)
            (rank,) = file.read(1)
            shape = struct.unpack(f"<{rank}I", file.read(4 * rank))
            kind, size = struct.unpack("<BI", file.read(5))
            if keep(name) and kind in _TYPES:
                variables[name] = np.frombuffer(bytearray(file.read(size)), _TYPES[kind]).reshape(shape)
            else:
                file.seek(size, os.SEEK_CUR)
    return variables


def _text(file: IO[bytes]) -> str:
    (length,) = struct.unpack("<H", file.read(2))
    return file.read(length)[:-1].decode()


def _from_ctranslate2(folder: Path) -> tuple[Tensors, int]:
    variables = read_ctranslate2(folder / "model.bin", lambda name: name.startswith("encoder/"))
    if any(name.endswith("weight_scale") for name in variables):
        raise WeightsError(
            f"{folder} holds quantized weights, which would make other units; take a float16 or float32 conversion"
        )
    # torch.tensor copies into aligned memory: matrix products may give other bits where their inputs lie otherwise
    tensors = {
        name.removeprefix("encoder/"): torch.tensor(value, dtype=torch.float32) for name, value in variables.items()
    }
    return tensors, int(tensors.pop("num_heads"))


def _from_hugging_face(folder: Path) -> tuple[Tensors, int]:
    """Return the weights of a Hugging Face Whisper under CTranslate2's names."""
    from safetensors import safe_open

    tensors = {}
    with safe_open(folder / "model.safetensors", "pt") as file:
        for name in file.keys():  # noqa: SIM118 (no dict: it cannot be iterated)
            if re.match(r"(model\.)?encoder\.", name):
                tensors[_ctranslate2_name(name)] = file.get_tensor(name).float().clone()
    for layer in range(1 + max(layer_of(name) for name in tensors)):
        _join_attention(tensors, f"layer_{layer}/self_attention")
    return tensors, json.loads((folder / "config.json").read_text("utf-8"))["encoder_attention_heads"]


def _ctranslate2_name(name: str) -> str:
    for pattern, replacement in _NAMES.items():
        name = re.sub(pattern, replacement, name)
    return name


def _join_attention(tensors: Tensors, name: str) -> None:
    """Put query, key and value into one matrix; Whisper's key has no bias."""
    tensors[f"{name}/k_proj/bias"] = torch.zeros_like(tensors[f"{name}/q_proj/bias"])
    for part in ("weight", "bias"):
        tensors[f"{name}/linear_0/{part}"] = torch.cat([tensors.pop(f"{name}/{which}_proj/{part}") for which in "qkv"])
