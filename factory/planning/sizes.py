"""How many parameters a policy has: from its files, or from the size in its name."""

from __future__ import annotations

import math
import re
from pathlib import Path

from factory.recipe.recipe import Recipe

_SIZE = re.compile(r"(?<![A-Za-z0-9.])(\d+(?:\.\d+)?)[bB](?![A-Za-z0-9])")


def find_parameters(recipe: Recipe) -> float | None:
    """Return the policy's parameters; None for an audio LLM whose size is not known.

    They are those that the recipe expects, those in the files of an audio LLM, or the size in its name (7B); for other
    policies they follow from the shape of a small model.
    """
    shape = recipe.policy
    if recipe.expected.parameters:
        return recipe.expected.parameters
    if recipe.chats:
        return count_weights(Path(shape.start or "")) or read_size(shape.start or "")
    return 12 * shape.hidden**2 * shape.layers + 2_500 * shape.hidden


def count_weights(folder: Path) -> float | None:
    """Return the numbers in the weights of a folder; None if it has no safetensors."""
    from safetensors import safe_open

    total = 0
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, "numpy") as tensors:
            total += sum(math.prod(tensors.get_slice(name).get_shape()) for name in tensors.keys())  # noqa: SIM118
    return float(total) or None


def read_size(name: str) -> float | None:
    """Return the parameters that a name states, such as 7e9 for `Qwen/Qwen2-Audio-7B-Instruct`; None if it has none."""
    found = _SIZE.search(name.rpartition("/")[2])
    return float(found.group(1)) * 1e9 if found else None
