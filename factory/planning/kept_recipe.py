"""The recipe of a round, kept beside its results, so that whatever is made of a run later needs no other file."""

from __future__ import annotations

import json
from dataclasses import asdict

import yaml

from factory.planning.places import Run
from factory.recipe.recipe import Recipe
from factory.recipe.typed import build
from factory.runtime.redact import redact
from factory.storage.files import filesystem, get_json, put_json


def keep_recipe(run: Run, number: int, recipe: Recipe) -> None:
    """Write the recipe with all its defaults as `recipe.json` of the round."""
    fs, path = filesystem(f"{run.place(number)}/recipe.json")
    put_json(fs, path, asdict(recipe))


def kept_recipe(run: Run, number: int) -> Recipe | None:
    """Return the round's recipe, None where none was kept."""
    fs, path = filesystem(f"{run.place(number)}/recipe.json")
    values = get_json(fs, path)
    return None if values is None else build(Recipe, values)


def as_yaml(recipe: Recipe) -> str:
    """Return the recipe with all its defaults as the YAML that `--recipe` reads, without secrets."""
    return redact(yaml.safe_dump(json.loads(json.dumps(asdict(recipe))), sort_keys=False, allow_unicode=True))
