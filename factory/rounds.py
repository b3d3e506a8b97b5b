"""A round from speech to the next policy: tokenize, produce, select, train, evaluate; and where everything of a run lies."""

from __future__ import annotations

import os
from dataclasses import dataclass
from itertools import permutations
from typing import Any

from factory.files import exists
from factory.progress import Clock
from factory.recipe import Recipe, locate
from factory.store import DatasetDir
from schemas.datasets import EVALUATED, PAIR, SCORED, SEQUENCE, TOPLINE, UNITS

SCHEMAS = {"sequences": SEQUENCE, "scored": SCORED, "pairs": PAIR, "evaluation": EVALUATED}


class MissingRound(FileNotFoundError):
    """The round before the one asked for has left no policy."""


@dataclass(frozen=True)
class Run:
    """The places of a run.

    `units/<corpus>` and `toplines` are shared by all rounds; `round-N/` holds `scored`, `pairs`, `policy`, `evaluation`, `summary.json`.
    """

    uri: str

    def units(self, corpus: str) -> DatasetDir:
        """Return the dataset of a tokenised corpus: `mono` or `test`."""
        return DatasetDir(f"{self.uri}/units/{corpus}", UNITS)

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


def run_round(run: Run, number: int, recipe: Recipe) -> None:
    """Run round `number`, or what is left of it, and print and keep its summary."""
    from factory.passes.samples import speak_samples
    from factory.report.report import write_report
    from factory.report.summary import is_summarised, summarise

    if is_summarised(run, number):
        print(f"round {number} of {run.uri} is finished; its summary is {run.place(number)}/summary.json")
        return
    previous = None if number == 0 else run.policy(number - 1, recipe)
    start_ray()
    clock = Clock(run.place(number))
    if previous is None:
        supervise(run, recipe, clock)
    else:
        prefer(run, number, previous, recipe, clock)
    measure(run, number, recipe, clock)
    if previous is not None:
        speak_samples(run.dataset(number, "pairs"), recipe, f"{run.place(number)}/samples")
    summarise(run, number, recipe, clock)
    print(f"  report       {write_report(run, number, recipe)}")


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
    from factory.passes.produce import produce
    from factory.passes.select import select_pairs
    from factory.passes.tokenize import tokenize
    from factory.passes.train import train_next

    scored, pairs = run.dataset(number, "scored"), run.dataset(number, "pairs")
    with clock.stage("tokenize"):
        tokenize(recipe.corpus.mono, recipe, run.units("mono"), clock)
    with clock.stage("produce"):
        produce(run.units("mono"), previous, number, recipe, scored, clock)
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
