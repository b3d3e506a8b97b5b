"""The recipe of a round, kept next to its results, so that later commands need no other file."""

from __future__ import annotations

import json
from dataclasses import asdict

import yaml

from factory.planning.places import Round, Run
from factory.recipe.loading import from_values
from factory.recipe.paths import portable_paths
from factory.recipe.recipe import Recipe
from factory.recipe.typed import RecipeError
from factory.runtime.redact import redact
from factory.storage.files import filesystem, get_json, put_json


def keep_recipe(round_: Round) -> None:
    """Write the round's recipe with all its defaults as `recipe.json` of the round."""
    fs, path = filesystem(f"{round_.uri}/recipe.json")
    put_json(fs, path, asdict(portable_paths(round_.recipe)))


def kept_recipe(run: Run, number: int) -> Recipe | None:
    """Return the recipe that a round was run with; None if it kept none. Raises RecipeError if it cannot be used."""
    fs, path = filesystem(f"{run.uri}/round-{number}/recipe.json")
    values = get_json(fs, path)
    if values is None:
        return None
    try:
        return from_values(values)
    except RecipeError as error:
        raise RecipeError(f"{run.uri}/round-{number}/recipe.json: {error}") from error


def as_yaml(recipe: Recipe) -> str:
    """Return the recipe with all its defaults as YAML for `--recipe`, without secrets."""
    values = json.loads(json.dumps(asdict(portable_paths(recipe))))
    return redact(yaml.safe_dump(values, sort_keys=False, allow_unicode=True))
