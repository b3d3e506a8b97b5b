"""The paths in a recipe: where each leads, and which files are missing."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path

from factory.models.weights import may_be_on_hub
from factory.recipe.recipe import Recipe

ROOT = Path(__file__).resolve().parent.parent.parent
"""The checkout of this project, or the folder that its packages are installed in."""
_GET_ASSETS = "the package has no assets/: a checkout of the repository has it; set ROUNDTRIP_HOME to the checkout"
_CORPORA = ("mono", "test", "paired", "text", "dev")


def locate(path: str) -> str:
    """Return where a path leads: from the current folder if it exists there, else from the checkout or ROUNDTRIP_HOME.

    URIs, package names and Hub names are returned as they are. A cluster job has only the code of the checkout, so that
    `ROUNDTRIP_HOME` names folders for assets (a list like PATH). Options of a corpus (after `?`) and the sha256 of
    weights (after `#`) are kept.
    """
    bare = _without_options(path)
    if Path(bare).exists():
        return path
    return next((str(home / path) for home in _homes() if (home / bare).exists()), path)


def resolve_paths(recipe: Recipe) -> Recipe:
    """Return the recipe with every path as `locate` finds it."""
    return _map_paths(recipe, locate)


def portable_paths(recipe: Recipe) -> Recipe:
    """Return the recipe for other machines: paths in the checkout or ROUNDTRIP_HOME are relative again."""
    return _map_paths(recipe, _portable)


def local_paths(recipe: Recipe) -> dict[str, str]:
    """Return the paths of a recipe on a disk, by key; URIs, packages and possible names on the Hub are left out."""
    local = {key: path for key, path in _paths(recipe).items() if "://" not in path and not path.startswith("package:")}
    return {key: path for key, path in local.items() if _is_file(key) or path_exists(path) or not may_be_on_hub(path)}


def list_missing_files(recipe: Recipe, keys: Collection[str] | None = None) -> list[str]:
    """Return a sentence for each local path of a recipe that does not exist, and one on how to get shipped assets.

    URIs are not checked.

    Args:
        recipe: the recipe.
        keys: the keys to check; None checks all.
    """
    paths = {key: path for key, path in local_paths(recipe).items() if keys is None or key in keys}
    missing = {key: path for key, path in paths.items() if not path_exists(path)}
    sentences = [
        f"{key} is {path}, which does not exist: put it there, or name another path with --set {key}=…"
        for key, path in missing.items()
    ]
    shipped = any(path.startswith("assets/") for path in missing.values()) and not (ROOT / "assets").is_dir()
    return [*sentences, _GET_ASSETS] if shipped else sentences


def path_exists(path: str) -> bool:
    """Return True if a path of a recipe leads to a file or folder on this disk."""
    return Path(_without_options(locate(path))).expanduser().exists()


def _homes() -> list[Path]:
    return [ROOT, *map(Path, filter(None, os.environ.get("ROUNDTRIP_HOME", "").split(os.pathsep)))]


def _portable(path: str) -> str:
    relative = next((path[len(f"{home}/") :] for home in _homes() if path.startswith(f"{home}/")), path)
    return relative if locate(relative) in (path, relative) else path


def _without_options(path: str) -> str:
    """Return a path without the sha256 of weights (after `#`) and the options of a corpus (after `?`)."""
    return path if Path(path).exists() else path.partition("#")[0].partition("?")[0]


def _is_file(key: str) -> bool:
    """Return True if the key always names a file, never a model on the Hub."""
    return key.startswith("corpus.") or key == "encoder.codebook"


def _paths(recipe: Recipe) -> dict[str, str]:
    """Return every path of a recipe by its dotted key."""
    paths: dict[str, str | None] = {f"corpus.{name}": getattr(recipe.corpus, name) for name in _CORPORA}
    paths |= {"encoder.codebook": recipe.encoder.codebook, "encoder.model": recipe.encoder.model}
    paths |= {"recognizer.model": recipe.recognizer.model}
    paths |= {"aligner.model": recipe.aligner.model} if recipe.aligner else {}
    paths |= {f"vocoder.{lang}": path for lang, path in recipe.vocoder.items()}
    paths |= {f"evaluate.cascade.{lang}": path for lang, path in (recipe.evaluate.cascade or {}).items()}
    paths |= {"policy.start": recipe.policy.start, "policy.base": recipe.policy.base}
    return {key: path for key, path in paths.items() if path}


def _map_paths(recipe: Recipe, change: Callable[[str], str]) -> Recipe:
    """Return the recipe with a function applied to every path."""

    def optional(path: str | None) -> str | None:
        return change(path) if path else path

    corpus, encoder, policy = recipe.corpus, recipe.encoder, recipe.policy
    cascade = recipe.evaluate.cascade
    return replace(
        recipe,
        corpus=replace(
            corpus,
            mono=change(corpus.mono),
            test=change(corpus.test),
            paired=change(corpus.paired),
            text=optional(corpus.text),
            dev=change(corpus.dev),
        ),
        encoder=replace(encoder, model=change(encoder.model), codebook=change(encoder.codebook)),
        recognizer=replace(recipe.recognizer, model=change(recipe.recognizer.model)),
        aligner=recipe.aligner and replace(recipe.aligner, model=change(recipe.aligner.model)),
        vocoder={lang: change(path) for lang, path in recipe.vocoder.items()},
        policy=replace(policy, start=optional(policy.start), base=optional(policy.base)),
        evaluate=replace(recipe.evaluate, cascade=cascade and {lang: change(path) for lang, path in cascade.items()}),
    )
