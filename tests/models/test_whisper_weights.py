"""Files that are not an unquantized Whisper are refused with a sentence."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from factory.models.weights import WeightsError
from factory.models.whisper_weights import layer_of, read_ctranslate2, whisper_encoder_weights


def model_bin(variables: dict[str, np.ndarray], version: int = 6) -> bytes:
    """Return a CTranslate2 file in the layout of its `ModelSpec._serialize`."""
    types = {"float32": 0, "int8": 1, "int16": 2, "int32": 3, "float16": 4}
    content = struct.pack("<IH", version, 2) + b"W\0" + struct.pack("<II", 3, len(variables))
    for name, value in variables.items():
        content += struct.pack("<H", len(name) + 1) + name.encode() + b"\0"
        content += struct.pack(f"<B{value.ndim}I", value.ndim, *value.shape)
        content += struct.pack("<BI", types[str(value.dtype)], value.nbytes) + value.tobytes()
    return content


def test_variables_are_read_in_their_own_types(tmp_path: Path) -> None:
    variables = {
        "encoder/a": np.arange(6, dtype=np.float16).reshape(2, 3),
        "decoder/b": np.ones(4, np.int8),
        "encoder/num_heads": np.array(2, np.int16),
        "encoder/c": np.array([[1.5]], np.float32),
    }
    (tmp_path / "model.bin").write_bytes(model_bin(variables))
    kept = read_ctranslate2(tmp_path / "model.bin", lambda name: name.startswith("encoder/"))
    assert list(kept) == ["encoder/a", "encoder/num_heads", "encoder/c"]
    for name, value in kept.items():
        assert value.dtype == variables[name].dtype
        np.testing.assert_array_equal(value, variables[name])
    assert list(read_ctranslate2(tmp_path / "model.bin")) == list(variables)


def test_an_encoder_is_read_in_float32(tmp_path: Path) -> None:
    weights = {"encoder/layer_0/ffn/linear_0/weight": np.ones((2, 2), np.float16), "decoder/x": np.ones(1, np.float16)}
    (tmp_path / "model.bin").write_bytes(model_bin(weights | {"encoder/num_heads": np.array(8, np.int16)}))
    tensors, heads = whisper_encoder_weights(tmp_path)
    assert heads == 8
    assert {name: (tensor.dtype, tensor.tolist()) for name, tensor in tensors.items()} == {
        "layer_0/ffn/linear_0/weight": (torch.float32, [[1.0, 1.0], [1.0, 1.0]])
    }


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "binary version 6"),
        (b"\x01\x00\x00\x00other", r"binary version 6 \(its version is 1\)"),
        (model_bin({"encoder/a": np.ones(4, np.float32)})[:-3], "truncated or damaged"),
        (model_bin({"encoder/a": np.ones(4, np.float32)})[:20], "truncated or damaged"),
        (model_bin({"encoder/layer_0/ffn/linear_0/weight_scale": np.ones(1, np.float32)}), "holds quantized weights"),
        (model_bin({"decoder/a": np.ones(1, np.float32)}), "is not a Whisper: its model.bin has no encoder"),
    ],
)
def test_other_ctranslate2_files_are_refused(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(content)
    with pytest.raises(WeightsError, match=message):
        whisper_encoder_weights(tmp_path)


def test_other_hugging_face_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="neither model.bin"):
        whisper_encoder_weights(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"half a file")
    with pytest.raises(WeightsError, match="is not a Hugging Face Whisper"):
        whisper_encoder_weights(tmp_path)
    save_file({"encoder.layers.0.fc1.weight": torch.ones(2, 2)}, tmp_path / "model.safetensors")
    with pytest.raises(WeightsError, match="is not a Hugging Face Whisper"):
        whisper_encoder_weights(tmp_path)
    save_file({"bert.weight": torch.ones(2, 2)}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({"hidden_size": 2}))
    with pytest.raises(WeightsError, match="KeyError: 'encoder_attention_heads'"):
        whisper_encoder_weights(tmp_path)


def test_layers_have_numbers() -> None:
    names = ("layer_0/ffn", "layer_12/x", "layer_norm/gamma", "conv1/weight")
    assert [layer_of(name) for name in names] == [0, 12, -1, -1]
