"""What a round would do, before it does it: `run_round.py --dry-run`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict
from typing import NamedTuple

from factory.corpora.base import MissingCorpus
from factory.corpora.opening import open_corpus
from factory.planning.estimate import render
from factory.planning.places import MissingRound, Run
from factory.recipe.paths import explain_missing_assets, locate
from factory.recipe.recipe import Recipe
from factory.runtime.redact import redact
from factory.storage.dataset import DatasetDir


class Stage(NamedTuple):
    """One stage: what it writes (None: a policy), with which actors, and how many rows where that is known."""

    name: str
    out: DatasetDir | None
    actors: tuple[str, ...] = ()
    rows: int | None = None


def stages(run: Run, number: int, recipe: Recipe) -> list[Stage]:
    """Return the stages of a round in their order."""
    test, judges = size(recipe.corpus.test), ("translator", "recognizer")
    tested = Stage("tokenize test", run.units("test"), reader(recipe.corpus.test), test)
    measured = [
        Stage("toplines", run.toplines, ("recognizer",), 2 * recipe.evaluate.asr_utterances),
        *(
            Stage(f"evaluate round {judged}", run.dataset(judged, "evaluation"), judges, 2 * recipe.tested)
            for judged in compared(number)
        ),
    ]
    paired = _paired_speech(run, number, recipe)
    if number == 0:
        sequences = Stage("sequences", run.dataset(0, "sequences"), (), paired_rows(recipe))
        return [*paired, tested, sequences, Stage("train", None, ("trainer",)), *measured]
    asked = produced_rows(recipe)
    mono = Stage("tokenize mono", run.units("mono"), reader(recipe.corpus.mono), mono_rows(recipe))
    return [
        *paired,
        *([mono] if recipe.corpus.source != "paired" else []),
        *(
            [Stage("utterances of paired", run.units("paired"), (), paired_rows(recipe))]
            if recipe.corpus.source != "mono"
            else []
        ),
        tested,
        Stage(
            "produce",
            run.dataset(number, "scored"),
            ("translator", *(["vocoder"] if recipe.listens else []), "scorer"),
            asked,
        ),
        Stage("select", run.dataset(number, "pairs"), (), asked),
        Stage("train", None, ("trainer",)),
        *measured,
    ]


def compared(number: int) -> range:
    """Return the rounds whose policies are evaluated in round `number`: its own, and the one that it started from."""
    return range(max(0, number - 1), number + 1)


def paired_corpora(number: int, recipe: Recipe) -> list[str]:
    """Name the paired corpora that a round needs: round 0 learns from both, others may take utterances from the one, δ from the other."""
    if number == 0:
        return ["paired", "dev"]
    return [
        *(["paired"] if recipe.corpus.source != "mono" else []),
        *(["dev"] if recipe.select.delta == "auto" else []),
    ]


def _paired_speech(run: Run, number: int, recipe: Recipe) -> list[Stage]:
    """Return the stages that turn paired speech into units; none for what is units already."""
    places = {name: getattr(recipe.corpus, name) for name in paired_corpora(number, recipe)}
    speech = {name: place for name, place in places.items() if reader(place)}
    return [Stage(f"tokenize {name}", run.paired(name), ("encoder",), size(place)) for name, place in speech.items()]


def reader(corpus: str) -> tuple[str, ...]:
    """Return the actors that read a corpus: none where it is here and is units already."""
    try:
        return () if open_corpus(locate(corpus)).holds_units else ("encoder",)
    except (OSError, MissingCorpus):
        return ("encoder",)


def size(corpus: str) -> int | None:
    """Return how many rows a corpus has, where it is here and says so."""
    try:
        return open_corpus(locate(corpus)).size
    except (OSError, MissingCorpus):
        return None


def paired_rows(recipe: Recipe) -> int | None:
    """Return how many rows round 0 learns from: those that are here, or those that the recipe expects."""
    return size(recipe.corpus.paired) or recipe.expected.paired


def mono_rows(recipe: Recipe) -> int | None:
    """Return how many untranslated utterances there are, or those that the recipe expects."""
    return size(recipe.corpus.mono) or recipe.expected.mono


def produced_rows(recipe: Recipe) -> int | None:
    """Return how many utterances a preference round works on."""
    there = {"mono": mono_rows(recipe), "paired": paired_rows(recipe)}
    known = [rows for name, rows in there.items() if recipe.corpus.source in (name, "both")]
    every = None if None in known else sum(rows for rows in known if rows is not None)
    limit = None if recipe.corpus.limit is None else 2 * recipe.corpus.limit
    return every if limit is None else min(limit, every or limit)


def reckoned(number: int, recipe: Recipe) -> tuple[int, int]:
    """Return how many rows a round learns from or works on, and how many of its utterances have to be tokenized, for the estimate."""
    rows = produced_rows(recipe) if number else paired_rows(recipe)
    spoken = mono_rows(recipe) if number and recipe.corpus.source != "paired" else paired_rows(recipe)
    return rows or 0, spoken or 0


def missing(run: Run, numbers: Collection[int], recipe: Recipe) -> list[str]:
    """Name what rounds read from a disk and is not there, each in a sentence; not what the run has made, or will have made by then."""
    keys = set().union(*(_read(number, recipe) for number in numbers))
    needed = keys - ({"policy.start"} if 0 in numbers or run.has_policy(0) else set())
    paths = [path for key, path in recipe.local_paths().items() if key in needed]
    return recipe.missing_files(needed) + explain_missing_assets(paths)


def _read(number: int, recipe: Recipe) -> set[str]:
    """Name the keys of what a round reads from a disk."""
    sources = [] if number == 0 or recipe.corpus.source == "paired" else ["mono"]
    corpora = [*paired_corpora(number, recipe), "test", *sources]
    keys = {f"corpus.{name}" for name in corpora} | {"encoder.codebook", "recognizer.model"}
    keys |= {f"vocoder.{lang}" for lang in recipe.vocoder} | {
        f"evaluate.cascade.{lang}" for lang in recipe.evaluate.cascade or {}
    }
    if number == 0:
        keys |= {"corpus.text", "policy.base"}
    if number == 1:
        keys.add("policy.start")
    if "encoder.model" in recipe.local_paths() and any(reader(getattr(recipe.corpus, name)) for name in corpora):
        keys.add("encoder.model")
    return keys


def describe(run: Run, numbers: Sequence[int], recipe: Recipe) -> str:
    """Return the plan of rounds: what is missing, and a line a stage: whether it is done, at most how many rows, and which actors."""
    absent = "\n".join(f"missing: {sentence}" for sentence in missing(run, numbers, recipe))
    return "\n\n".join(
        filter(None, [absent, *(_describe(run, number, recipe, number - 1 in numbers) for number in numbers)])
    )


def _describe(run: Run, number: int, recipe: Recipe, follows: bool) -> str:
    """Return the plan of one round, which may follow another."""
    lines = [f"round {number} of {run.uri}; recipe {recipe.name}; directions {', '.join(recipe.directions)}"]
    if number > 0:
        lines.append(f"policy: {run.made_policy(number - 1) if follows else _policy(run, number - 1, recipe)}")
    for stage in stages(run, number, recipe):
        done = run.has_policy(number) if stage.out is None else stage.out.is_finished()
        rows = f", {stage.rows:,} rows" if stage.rows is not None else ""
        lines.append(
            f"  {'done' if done else 'to do':7}{stage.name}{rows}{''.join(_pool(recipe, actor) for actor in stage.actors)}"
        )
    if any(pool["num_gpus"] for pool in asdict(recipe.resources).values() if isinstance(pool, dict)):
        lines.append(render(recipe, number, *reckoned(number, recipe)))
    return "\n".join(lines)


def _policy(run: Run, number: int, recipe: Recipe) -> str:
    """Return where the policy of a round lies, or that it has to be made first."""
    try:
        return redact(run.policy(number, recipe))
    except MissingRound as error:
        return f"missing: {error}"


def _pool(recipe: Recipe, actor: str) -> str:
    pool = getattr(recipe.resources, actor)
    return f"; {pool.actors} {actor} ({pool.num_cpus:g} CPU, {pool.num_gpus:g} GPU, batches of {pool.batch_size})"
