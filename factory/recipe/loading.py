"""Reads a recipe: the file, the one that it extends, and the overrides of a command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from factory.recipe.paths import locate
from factory.recipe.recipe import Recipe
from factory.recipe.typed import RecipeError, build, lay_over, merged, need, read_yaml

FREE = ("vocoder", "policy.tasks", "sft.weights")
"""Mappings whose keys are free: a recipe that extends another replaces them whole, other sections key by key."""


def load(path: str | Path | None = None, overrides: list[str] | tuple[str, ...] = ()) -> Recipe:
    """Read a recipe (None: all defaults) and lay `section.key=value` overrides over it.

    Raises RecipeError in a sentence: no such file, no YAML, an unknown key, a wrong type, a value that no part knows.
    """
    values = _read(Path(locate(str(path)))) if path is not None else {}
    for override in overrides:
        lay_over(values, override)
    return build(Recipe, values)


def _read(path: Path, above: tuple[Path, ...] = ()) -> dict[str, Any]:
    """Read a file and lay it over the one that it extends (a path beside it)."""
    if not path.is_file():
        near = ", ".join(sorted(str(found) for found in path.parent.glob("*.yaml"))) or "none in that folder"
        raise RecipeError(f"there is no recipe {path}; recipes beside it: {near}")
    values = read_yaml(path.read_text("utf-8"), str(path))
    need(values is None or isinstance(values, dict), f"{path} must hold sections of keys", values)
    values = dict(values or {})
    extended = values.pop("extends", None)
    if extended is None:
        return values
    need(isinstance(extended, str), f"extends in {path} must name a recipe beside it", repr(extended))
    further = path.parent / extended
    need(
        further.resolve() not in (path.resolve(), *above), f"{path} extends {extended}, which", "back to where it began"
    )
    return merged(_read(further, (path.resolve(), *above)), values, whole=FREE)
