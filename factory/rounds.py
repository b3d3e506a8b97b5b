"""A round from speech to the next policy: tokenize, produce, select, train, evaluate; and where everything of a run lies."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from typing import Any

from factory.files import exists
from factory.progress import Clock
from factory.recipe import Recipe, locate
from factory.store import DatasetDir
from schemas.datasets import EVALUATED, PAIR, PAIRED, SCORED, SEQUENCE, TOPLINE, UNITS

SCHEMAS = {"sequences": SEQUENCE, "scored": SCORED, "pairs": PAIR, "evaluation": EVALUATED}


class MissingRound(FileNotFoundError):
    """The round before the one asked for has left no policy."""


@dataclass(frozen=True)
class Run:
    """The places of a run.

    `units/<corpus>`, `paired` and `toplines` are shared by all rounds; `round-N/` holds `scored`, `pairs`, `policy`, `evaluation`,
    `summary.json`.
    """

    uri: str

    def units(self, corpus: str) -> DatasetDir:
        """Return the dataset of a tokenised corpus: `mono`, `test`, `paired` ..."""
        return DatasetDir(f"{self.uri}/units/{corpus}", UNITS)

    def sources(self, recipe: Recipe) -> list[DatasetDir]:
        """Return the units that pairs are made of, by `corpus.source`."""
        return [self.units(name) for name in ("mono", "paired") if recipe.corpus.source in (name, "both")]

    @property
    def toplines(self) -> DatasetDir:
        """Return the dataset of toplines of the test corpus."""
        return DatasetDir(f"{self.uri}/toplines", TOPLINE)

    def dataset(self, number: int, name: str) -> DatasetDir:
        """Return a dataset of a round: `sequences`, `scored`, `pairs` or `evaluation`."""
        key = "sequence_id" if name == "sequences" else "utt_id"
        return DatasetDir(f"{self.place(number)}/{name}", SCHEMAS[name], key)

    def place(self, number: int) -> str:
        """Return the folder of a round."""
        return f"{self.uri}/round-{number}"

    def made_policy(self, number: int) -> str:
        """Return where round `number` publishes its policy."""
        return f"{self.place(number)}/policy"

    def has_policy(self, number: int) -> bool:
        """Whether the round has published its policy."""
        return exists(f"{self.made_policy(number)}/config.json")

    def policy(self, number: int, recipe: Recipe) -> str:
        """Return the policy of round `number`; for round 0 the recipe's ready-made one where the run has none of its own.

        Raises MissingRound with the command that makes it.
        """
        made = self.made_policy(number)
        if self.has_policy(number):
            return made
        if number == 0 and recipe.policy.start:
            return locate(recipe.policy.start)
        command = f"python factory/run_round.py --round {number} --run {self.uri}"
        raise MissingRound(f"round {number} has made no policy at {made}; make it first: {command}")


def run_rounds(run: Run, numbers: Sequence[int], recipe: Recipe) -> None:
    """Run several rounds in turn, or one; after one that lowers the test score (`rounds.stop`) no further one is begun."""
    from factory.history import falls, render_history, write_history

    for number in numbers:
        run_round(run, number, recipe)
        rows = write_history(run)
        if number != numbers[-1] and (reason := falls(rows, number, recipe)):
            print(f"\nno round after {number}: {reason}")
            break
    if len(numbers) > 1:
        print(render_history(rows))


def run_round(run: Run, number: int, recipe: Recipe) -> None:
    """Run round `number`, or what is left of it, and print and keep its summary.

    Raises MissingRound where the round before has left no policy, and ValueError where that policy does not fit the recipe.
    """
    from factory.passes.ready import check_policy
    from factory.passes.samples import speak_samples
    from factory.report.report import write_report
    from factory.report.summary import is_summarised, summarise

    if is_summarised(run, number):
        print(f"round {number} of {run.uri} is finished; its summary is {run.place(number)}/summary.json")
        return
    previous = None if number == 0 else run.policy(number - 1, recipe)
    if previous is not None:
        check_policy(previous, recipe)
    start_ray()
    clock = Clock(run.place(number))
    recipe = with_paired_units(run, recipe, clock)
    if previous is None:
        supervise(run, recipe, clock)
    else:
        prefer(run, number, previous, recipe, clock)
    measure(run, number, recipe, clock)
    if previous is not None:
        speak_samples(run.dataset(number, "pairs"), recipe, f"{run.place(number)}/samples")
    summarise(run, number, recipe, clock)
    print(f"  report       {write_report(run, number, recipe)}")


def with_paired_units(run: Run, recipe: Recipe, clock: Clock) -> Recipe:
    """Return the recipe with paired speech replaced by its units, which are made where they are missing."""
    from factory.passes.paired import is_speech, pair_units

    made: dict[str, Any] = {}
    for name in ("paired", "dev"):
        corpus = getattr(recipe.corpus, name)
        if is_speech(corpus):
            out = DatasetDir(f"{run.uri}/{name}", PAIRED, "pair_id")
            with clock.stage("tokenize"):
                pair_units(corpus, recipe, run.units(f"{name}-speech"), out, clock)
            made[name] = out.uri
    return replace(recipe, corpus=replace(recipe.corpus, **made))


def supervise(run: Run, recipe: Recipe, clock: Clock) -> None:
    """Round 0: write the paired corpus as training sequences and train the first policy on them."""
    from factory.passes.sequences import write_sequences
    from factory.passes.train import train_first

    with clock.stage("sequences"):
        write_sequences(recipe, run.dataset(0, "sequences"))
    with clock.stage("train"):
        train_first(run.dataset(0, "sequences"), recipe, run.made_policy(0))


def prefer(run: Run, number: int, previous: str, recipe: Recipe, clock: Clock) -> None:
    """Round N: candidates and their ways back, pairs, and the policy that learns from them."""
    from factory.passes.audit_auto import settle_delta
    from factory.passes.paired import write_utterances
    from factory.passes.produce import produce
    from factory.passes.select import select_pairs
    from factory.passes.tokenize import tokenize
    from factory.passes.train import train_next

    scored, pairs = run.dataset(number, "scored"), run.dataset(number, "pairs")
    with clock.stage("tokenize"):
        if recipe.corpus.source != "paired":
            tokenize(recipe.corpus.mono, recipe, run.units("mono"), clock)
        if recipe.corpus.source != "mono":
            write_utterances(recipe.corpus.paired, "paired", run.units("paired"))
    with clock.stage("produce"):
        produce(run.sources(recipe), previous, number, recipe, scored, clock)
    with clock.stage("select"):
        dev = DatasetDir(f"{run.place(number)}/dev", SCORED)
        recipe = settle_delta(run.units("dev"), dev, previous, number, recipe, clock)
        select_pairs(scored, recipe, pairs, clock)
    with clock.stage("train"):
        train_next(pairs, previous, recipe, run.made_policy(number))


def measure(run: Run, number: int, recipe: Recipe, clock: Clock) -> None:
    """Evaluate the new policy and, where that is not done yet, the one before it and the toplines."""
    from factory.passes.evaluate import evaluate, toplines
    from factory.passes.tokenize import tokenize

    with clock.stage("tokenize"):
        tokenize(recipe.corpus.test, recipe, run.units("test"), clock)
    with clock.stage("toplines"):
        toplines(run.units("test"), recipe, run.toplines, clock)
    for judged in range(max(0, number - 1), number + 1):
        with clock.stage("evaluate"):
            policy, out = run.policy(judged, recipe), run.dataset(judged, "evaluation")
            evaluate(run.units("test"), policy, recipe, out, clock, f"evaluate round {judged}")


def directions(recipe: Recipe) -> list[str]:
    """Return the names of all directions, `fr-en` and `en-fr`."""
    return [f"{src}-{tgt}" for src, tgt in permutations(recipe.languages, 2)]


def start_ray() -> None:
    """Join the cluster that RAY_ADDRESS names (a submitted job's), or start one here.

    A local cluster gets more logical cores than the machine has: actors wait for each other, and reading needs a core too.
    """
    import logging

    import ray

    os.environ.setdefault("RAY_raylet_start_wait_time_s", "180")  # a busy machine starts slowly
    os.environ.setdefault("RAY_memory_monitor_refresh_ms", "0")  # the system ends what fills the memory: a guarded model, not its guard
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # what matters reaches us as exceptions
    logging.getLogger("ray.data").setLevel(logging.WARNING)
    if not ray.is_initialized():
        cores = max(4, 2 * (os.cpu_count() or 1))
        local: dict[str, Any] = {} if os.environ.get("RAY_ADDRESS") else {"address": "local", "num_cpus": cores, "include_dashboard": False}
        ray.init(log_to_driver=False, logging_level=logging.WARNING, **local)
    ray.data.DataContext.get_current().enable_progress_bars = False
