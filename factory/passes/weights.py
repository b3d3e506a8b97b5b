"""Named weights, as a pass hands them to its actors, and their digests, as fingerprints count them."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from factory.models.weights import policy_digest, resolve, weights_digest
from factory.recipe.paths import locate
from factory.recipe.recipe import Recipe


def local_weights(name: str) -> Path:
    """Return the local files of named weights: a path of the recipe, `package:NAME` or a hub name."""
    return resolve(locate(name))


def actor_weights(name: str) -> str:
    """Return by which name an actor finds these weights on its own node: a whole path for what lies on a disk, else the name itself."""
    place, mark, wanted = locate(name).partition("#")
    return f"{Path(place).absolute()}{mark}{wanted}" if Path(place).exists() else locate(name)


def digests(named: dict[str, str]) -> dict[str, str]:
    """Return the digest of each of these weights by key, for a fingerprint: their content counts, not their path.

    The key `policy` names a policy, whose digest is the one that trainings note too.
    """
    return {key: policy_digest(locate(name)) if key == "policy" else _digest(name) for key, name in named.items()}


@cache
def _digest(name: str) -> str:
    return weights_digest(local_weights(name))


def count_units(recipe: Recipe) -> int:
    """Return how many units the recipe's codebook has."""
    from factory.models.codebook import Codebook

    return Codebook.load(local_weights(recipe.encoder.codebook)).k
