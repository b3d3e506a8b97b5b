"""ready: what is wrong with a policy, or with a round's folder, known before the round begins in place of hours
later.
"""

from __future__ import annotations

import json
from itertools import chain
from pathlib import Path
from typing import Any
from uuid import uuid4

from factory.models.device import cpu_has_bf16, describe_dtype
from factory.passes.weights import count_units, local_weights
from factory.recipe.recipe import Recipe
from factory.storage.files import filesystem, put
from factory.storage.manifest import StoreError
from schemas.sequences import EOS, EOSP, PAD, SOSP, tag, unit_token
from trainers.checks import check_targets, check_tokens


def check_policy(policy: str, recipe: Recipe) -> None:
    """Raise ValueError when a policy lacks units of the codebook, languages or tasks of the recipe, or layers that LoRA is asked for."""
    folder = local_weights(policy)
    asked = [tag(name) for name in (*recipe.languages, *recipe.back_variants)]
    units = map(unit_token, range(count_units(recipe)))
    check_tokens(chain([EOS, PAD, SOSP, EOSP], asked, units), _vocabulary(folder), policy)
    if targets := recipe.preference.get("targets"):
        check_targets(targets, _layers(folder), policy)


def check_folder(place: str) -> None:
    """Raise StoreError where the folder at the URI `place` takes no file: a file is in its place, or the right is
    missing.
    """
    fs, path = filesystem(place)
    mark = f"{path}/.writable-{uuid4().hex[:8]}"
    try:
        put(fs, mark, b"")
        fs.delete_file(mark)
    except (StoreError, OSError) as error:
        reason = error.__cause__ or error
        raise StoreError(f"{place} cannot be written ({reason}): give another --run, or free that folder") from error


def arithmetic(recipe: Recipe) -> str:
    """Say in a line what a round will compute in, why, and which keys change that."""
    wanted = recipe.resources.dtype
    dtype = describe_dtype(wanted, on_gpu=recipe.resources.translator.num_gpus > 0)
    if dtype == wanted:
        return f"arithmetic: {dtype} (forced by resources.dtype)"
    why = (
        "each machine decides"
        if dtype.startswith("auto")
        else f"this CPU has {'' if cpu_has_bf16() else 'no '}bf16 units"
    )
    return f"arithmetic: {dtype} ({why}; force it with resources.dtype, sft.precision and preference.precision)"


def _vocabulary(folder: Path) -> dict[str, int]:
    """Return the added tokens of a policy, without loading a tokenizer."""
    file = folder / "tokenizer.json"
    if not file.is_file():
        raise ValueError(
            f"the policy {folder} has no tokenizer.json: give the folder that a round, or trainers.sft, wrote"
        )
    added: list[dict[str, Any]] = json.loads(file.read_text("utf-8"))["added_tokens"]
    return {token["content"]: token["id"] for token in added}


def _layers(folder: Path) -> list[str]:
    """Return the names of the matrices in a policy's weights, its linear layers and tables."""
    from safetensors import safe_open

    names = []
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, "numpy") as kept:
            names += [
                name.removesuffix(".weight") for name in kept.keys() if len(kept.get_slice(name).get_shape()) == 2
            ]
    return names
