"""What the folder of a speech language model says about itself, read without loading any weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypedDict, cast

from factory.models.weights import WeightsError

CONFIG, ADAPTER, ENCODER, LLM = "config.json", "adapter.safetensors", "encoder", "llm"
MODEL_TYPE = "roundtrip_speech_lm"


class AdapterConfig(TypedDict):
    """The shape of an adapter."""

    width: int
    """Dimensions of a frame."""
    out: int
    """Dimensions of an embedding."""
    layers: int
    stride: int
    """Frames per embedding."""


class EncoderPart(TypedDict):
    """What the encoder of a speech language model is; its weights are in the folder."""

    kind: str
    layer: int


class FrontConfig(TypedDict):
    """The content of `config.json`."""

    model_type: str
    encoder: EncoderPart
    adapter: AdapterConfig


def read_front_config(folder: str | Path) -> FrontConfig:
    """Return the `config.json` of a speech language model. Raises WeightsError for the folder of something else."""
    path = Path(folder)
    try:
        config = json.loads((path / CONFIG).read_text("utf-8"))
        if config["model_type"] != MODEL_TYPE:
            raise KeyError(MODEL_TYPE)
        return cast(FrontConfig, config)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise explain_none(path, error) from error


def explain_none(path: Path, error: Exception) -> WeightsError:
    """Return the error for a folder that is no speech language model."""
    return WeightsError(
        f"{path} is no speech language model ({type(error).__name__}: {error}): expected {CONFIG}, {ADAPTER}, "
        f"{ENCODER}/ and {LLM}/, as a training writes them"
    )
