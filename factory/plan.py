"""What a round would do, before it does it: `run_round.py --dry-run`."""

from __future__ import annotations

from typing import NamedTuple

from factory.corpus import corpus_size
from factory.recipe import Recipe, locate
from factory.rounds import Run, directions
from factory.store import DatasetDir


class Stage(NamedTuple):
    """One stage: what it writes (None: a policy), with which actors, and how many rows where that is known."""

    name: str
    out: DatasetDir | None
    actors: tuple[str, ...] = ()
    rows: int | None = None


def stages(run: Run, number: int, recipe: Recipe) -> list[Stage]:
    """Return the stages of a round in their order."""
    mono, test = corpus_size(locate(recipe.corpus.mono)), corpus_size(locate(recipe.corpus.test))
    measured = [
        Stage("tokenize test", run.units("test"), ("encoder",), test),
        Stage("toplines", run.toplines, ("recognizer",), 2 * recipe.evaluate.asr_utterances),
        Stage("evaluate", run.dataset(number, "evaluation"), ("translator", "recognizer"), 2 * recipe.evaluate.s2t_utterances),
    ]
    if number == 0:
        return [Stage("sequences", run.dataset(0, "sequences")), Stage("train", None, ("trainer",)), *measured]
    limit = None if recipe.corpus.limit is None else 2 * recipe.corpus.limit
    asked = mono if limit is None else min(limit, mono or limit)
    return [
        Stage("tokenize mono", run.units("mono"), ("encoder",), mono),
        Stage("produce", run.dataset(number, "scored"), ("translator", *(["vocoder"] if recipe.listens else []), "scorer"), asked),
        Stage("select", run.dataset(number, "pairs"), (), asked),
        Stage("train", None, ("trainer",)),
        *measured,
    ]


def describe(run: Run, number: int, recipe: Recipe) -> str:
    """Return the plan, a line a stage: whether it is done, at most how many rows it has, and which actors work on it."""
    lines = [f"round {number} of {run.uri}; recipe {recipe.name}; directions {', '.join(directions(recipe))}"]
    if number > 0:
        lines.append(f"policy: {run.policy(number - 1, recipe)}")
    lines += [f"missing: {sentence}" for sentence in recipe.missing_files()]
    for stage in stages(run, number, recipe):
        done = run.has_policy(number) if stage.out is None else stage.out.is_finished()
        rows = f", {stage.rows:,} rows" if stage.rows is not None else ""
        lines.append(f"  {'done' if done else 'to do':7}{stage.name}{rows}{''.join(_pool(recipe, actor) for actor in stage.actors)}")
    return "\n".join(lines)


def _pool(recipe: Recipe, actor: str) -> str:
    pool = getattr(recipe.resources, actor)
    return f"; {pool.actors} {actor} ({pool.num_cpus:g} CPU, {pool.num_gpus:g} GPU, batches of {pool.batch_size})"
