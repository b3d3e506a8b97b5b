"""Networks of transformers by name, with clear errors where a name is that of something else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

from factory.models.weights import WeightsError, resolve

T = TypeVar("T")
UNUSED = ("masked_spec_embed", "adapter.", "intermediate_ffn.")
"""Weights that no frame depends on, so that a checkpoint may lack them."""


def load_network(model: str, kind: str) -> Any:
    """Return the bare network of a checkpoint, in float32.

    Args:
        model: A name of weights; a checkpoint with a head, such as one for CTC, gives the network below the head.
        kind: The model type that the checkpoint must have.

    Raises:
        WeightsError: The weights cannot be found, are of another type, or lack a part of the network.
    """
    import torch
    import transformers

    library, folder = cast(Any, transformers), resolve(model)
    found = _explained(model, kind, lambda: library.AutoConfig.from_pretrained(folder)).model_type
    if found != kind:
        raise WeightsError(f"{model} is a network of type {found}, and encoder.kind is {kind}: change one of them")
    settings = {"dtype": torch.float32, "output_loading_info": True}
    network, loaded = _explained(model, kind, lambda: library.AutoModel.from_pretrained(folder, **settings))
    if missing := sorted(key for key in loaded["missing_keys"] if not key.startswith(UNUSED)):
        raise WeightsError(f"{model} lacks weights of its network ({', '.join(missing[:3])}): change encoder.model")
    return network.eval()


def save_network(network: Any, layers: int, folder: Path) -> None:
    """Write a network of which the first `layers` layers are left, so that `load_network` gives it again."""
    network.config.num_hidden_layers = layers
    network.save_pretrained(folder)


def used_weights(network: Any) -> dict[str, Any]:
    """Return the weights that frames depend on, by name."""
    return {name: weight for name, weight in network.state_dict().items() if not name.startswith(UNUSED)}


def load_extractor(model: str) -> Any:
    """Return the feature extractor of a checkpoint. Raises WeightsError if it has none."""
    import transformers

    library, folder = cast(Any, transformers), resolve(model)
    return _explained(model, "feature extractor", lambda: library.AutoFeatureExtractor.from_pretrained(folder))


def _explained(model: str, expected: str, load: Callable[[], T]) -> T:
    try:
        return load()
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        first_line = str(error).strip().split("\n", 1)[0]
        raise WeightsError(
            f"{model} is not a {expected} that transformers can load ({first_line}): change encoder.model"
        ) from error
