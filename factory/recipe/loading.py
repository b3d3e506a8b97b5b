"""Reads a recipe: a file, the file that it extends, and the overrides of a command line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from factory.recipe.checks import check
from factory.recipe.paths import locate, resolve_paths
from factory.recipe.recipe import Recipe
from factory.recipe.typed import RecipeError, Settings, build, merge, override, read_yaml, require

FREE = ("vocoder", "policy.tasks", "sft.weights")
"""Mappings with free keys: a recipe that extends another replaces them as a whole, other sections key by key."""


def load(path: str | Path | None = None, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe, check it, and resolve its paths.

    Args:
        path: a YAML file; None gives the defaults.
        overrides: `section.key=value`, applied in their order.

    Raises:
        RecipeError: the file does not exist or is not YAML, a key is unknown, a value has the wrong type or does not
        fit.
    """
    values = _read(Path(locate(str(path)))) if path is not None else {}
    for text in overrides:
        override(values, text)
    return from_values(values)


def from_values(values: Settings) -> Recipe:
    """Return the recipe of nested settings, checked and with its paths resolved. Raises RecipeError."""
    recipe = build(Recipe, values)
    check(recipe)
    return resolve_paths(recipe)


def _read(path: Path, extending: tuple[Path, ...] = ()) -> Settings:
    """Read a file and merge it into the file that it extends."""
    if not path.is_file():
        others = ", ".join(sorted(map(str, path.parent.glob("[!.]*.yaml")))) or "none"
        raise RecipeError(f"the recipe {path} does not exist; recipes in that folder: {others}")
    values = read_yaml(path.read_text("utf-8"), str(path))
    require(values is None or isinstance(values, dict), f"{path} must hold sections of keys", values)
    values = dict(values or {})
    extended = values.pop("extends", None)
    if extended is None:
        return values
    require(isinstance(extended, str), f"extends in {path} must name a recipe in the same folder", repr(extended))
    base = path.parent / extended
    if base.resolve() in (path.resolve(), *extending):
        raise RecipeError(f"{path} extends {extended}, which extends {path} again: remove one `extends`")
    return merge(_read(base, (path.resolve(), *extending)), values, FREE)
