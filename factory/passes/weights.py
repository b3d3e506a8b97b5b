"""Names of weights as actors find them on their own node, and digests of weights as fingerprints count them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path

from factory.models.weights import policy_digest, resolve, weights_digest
from factory.recipe.recipe import Recipe
from factory.recipe.sections import AlignerConfig, EncoderConfig, RecognizerConfig


def local_weights(name: str) -> Path:
    """Return the local files of named weights: a path, a URI, `package:NAME` or a hub name."""
    return resolve(name)


def actor_weights(name: str) -> str:
    """Return the name by which an actor finds these weights: the absolute path of local files, else the name itself."""
    path, mark, digest = name.partition("#")
    return f"{Path(path).absolute()}{mark}{digest}" if Path(path).exists() else name


def actor_vocoders(recipe: Recipe) -> dict[str, str]:
    """Return the vocoder of each language, by the name that an actor finds it by; {} if nothing is spoken."""
    return list_voices(recipe) if recipe.writes_speech else {}


def list_voices(recipe: Recipe) -> dict[str, str]:
    """Return the vocoder of each language, by the name that an actor finds it by."""
    return {lang: actor_weights(name) for lang, name in recipe.vocoder.items()}


def actor_encoder(recipe: Recipe) -> EncoderConfig:
    """Return the recipe's encoder, with its weights by the names that an actor finds them by."""
    encoder = recipe.encoder
    return replace(encoder, model=actor_weights(encoder.model), codebook=actor_weights(encoder.codebook))


def actor_aligner(aligner: AlignerConfig) -> AlignerConfig:
    """Return an aligner with its weights by the name that an actor finds them by."""
    return replace(aligner, model=actor_weights(aligner.model))


def actor_recognizer(recipe: Recipe) -> RecognizerConfig:
    """Return the recipe's recognizer, with its weights by the name that an actor finds them by."""
    return replace(recipe.recognizer, model=actor_weights(recipe.recognizer.model))


def compute_digests(names: Mapping[str, str]) -> dict[str, str]:
    """Return the digest of each of these weights by key, for a fingerprint: their content counts, not their path.

    The key `policy` names a policy, whose digest is the one that trainings note too.
    """
    return {key: policy_digest(name) if key == "policy" else _compute_digest(name) for key, name in names.items()}


@cache
def _compute_digest(name: str) -> str:
    return weights_digest(local_weights(name))


def count_units(recipe: Recipe) -> int:
    """Return the number of units in the recipe's codebook."""
    from factory.models.codebook import Codebook

    return Codebook.load(local_weights(recipe.encoder.codebook)).k
