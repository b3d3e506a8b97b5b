"""The recipe of a round, kept next to its results, so that later commands need no other file."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, replace

import yaml

from factory.planning.places import CANDIDATES, SUMMARY, Round, Run, choose_round
from factory.recipe.loading import from_values, load
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


def finished_round(arguments: argparse.Namespace, mark: str = SUMMARY) -> Round:
    """Return the finished round that a command line names, with the recipe that it was run with.

    Args:
        arguments: `run`, `round` (None: the last one) and `recipe`, which is for a round that kept none.
        mark: CANDIDATES if finished candidates are enough. A round keeps its recipe when it ends, so that the languages
            of an unfinished one are those that its candidates were made with.

    Raises:
        MissingRound: the round is not finished.
        RecipeError: its recipe cannot be used.
    """
    run = Run(arguments.run)
    number = choose_round(run, arguments.round, mark)
    if (kept := kept_recipe(run, number)) is not None:
        return Round(run, number, kept)
    round_ = Round(run, number, load(arguments.recipe))
    if mark != CANDIDATES:
        return round_
    made_with = round_.scored.manifest().content
    directions = made_with.get("directions")  # left out if all are used
    languages = tuple(made_with.get("languages", round_.recipe.languages))
    recipe = replace(round_.recipe, languages=languages, directions=directions and tuple(directions))
    return replace(round_, recipe=recipe)


def as_yaml(recipe: Recipe) -> str:
    """Return the recipe with all its defaults as YAML for `--recipe`, without secrets."""
    values = json.loads(json.dumps(asdict(portable_paths(recipe))))
    return redact(yaml.safe_dump(values, sort_keys=False, allow_unicode=True))
