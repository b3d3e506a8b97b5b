"""The recipe of a round, kept beside its results, so that whatever is made of a run later needs no other file."""

from __future__ import annotations

import json
from dataclasses import asdict

import pyarrow.fs as pafs
import yaml

from factory.files import filesystem, get_json, look, put_json, trying
from factory.recipe import Recipe
from factory.redact import redact
from factory.runs import Run
from factory.typed import build


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


def finished_rounds(run: Run) -> list[int]:
    """Return the numbers of the rounds that have a summary, in their order."""
    fs, path = filesystem(run.uri)
    selector = pafs.FileSelector(path, allow_not_found=True)
    names = [info.base_name for info in trying(fs, path, "listed", lambda: fs.get_file_info(selector))]
    numbers = sorted(int(name[6:]) for name in names if name.startswith("round-") and name[6:].isdigit())
    return [number for number in numbers if look(fs, f"{path}/round-{number}/summary.json").is_file]


def asked_round(run: Run, number: int | None) -> int:
    """Return the round that is meant: `number`, or the last finished one. Raises FileNotFoundError where that is not finished."""
    finished = finished_rounds(run)
    if number is None and finished:
        return finished[-1]
    if number in finished:
        return int(number)
    found = ", ".join(map(str, finished)) or "none"
    command = f"python factory/run_round.py --round {number or 1} --run {run.uri} (and its --recipe and --set)"
    asked = "a round" if number is None else f"round {number}"
    raise FileNotFoundError(f"{asked} of {run.uri} is asked for, and it is not finished (finished: {found}); finish it first: {command}")
