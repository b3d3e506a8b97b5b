"""A round from speech to the next policy: tokenize, produce, select, train, evaluate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from factory.local_ray import start_ray
from factory.plan import compared, paired_corpora
from factory.progress import Clock
from factory.recipe import Recipe, locate
from factory.runs import Run
from factory.store import DatasetDir
from schemas.datasets import SCORED


def run_rounds(run: Run, numbers: Sequence[int], recipe: Recipe) -> None:
    """Run several rounds in turn, or one; after one that lowers the test score (`rounds.stop`) no further one is begun.

    Raises Shortfall before the first of them where one reads a file that is not there, and what `run_round` raises.
    """
    from cluster.preflight import all_there
    from factory.history import falls, render_history, write_history
    from factory.report.summary import is_summarised

    all_there(run, [number for number in numbers if not is_summarised(run, number)], recipe)
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

    Raises MissingRound where the round before has left no policy, ValueError where that policy does not fit the recipe, and Shortfall
    where the cluster lacks what the round asks for.
    """
    from cluster.preflight import preflight
    from factory.passes.ready import arithmetic, check_policy
    from factory.report.report import write_report
    from factory.report.samples import speak_samples
    from factory.report.summary import is_summarised, summarise

    if is_summarised(run, number):
        print(f"round {number} of {run.uri} is finished; its summary is {run.place(number)}/summary.json")
        return
    previous = None if number == 0 else run.policy(number - 1, recipe)
    if previous is not None:
        check_policy(previous, recipe)
    start_ray()
    preflight(run, number, recipe)
    print(arithmetic(recipe), flush=True)
    clock = Clock(run.place(number))
    recipe = with_paired_units(run, number, recipe, clock)
    if previous is None:
        supervise(run, recipe, clock)
    else:
        prefer(run, number, previous, recipe, clock)
    measure(run, number, recipe, clock)
    if previous is not None:
        speak_samples(run, number, recipe)
    summarise(run, number, recipe, clock)
    print(f"  report       {write_report(run, number, recipe)}")


def with_paired_units(run: Run, number: int, recipe: Recipe, clock: Clock) -> Recipe:
    """Return the recipe with the paired speech that the round needs replaced by its units, which are made where they are missing."""
    from factory.corpus import holds_units
    from factory.passes.paired import pair_units

    made: dict[str, Any] = {}
    for name in paired_corpora(number, recipe):
        corpus = getattr(recipe.corpus, name)
        if not holds_units(locate(corpus)):
            out = run.paired(name)
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
    from factory.passes.paired import as_units, write_utterances
    from factory.passes.produce import produce
    from factory.passes.select import select_pairs
    from factory.passes.train import train_next

    scored, pairs = run.dataset(number, "scored"), run.dataset(number, "pairs")
    with clock.stage("tokenize"):
        if recipe.corpus.source != "paired":
            as_units(recipe.corpus.mono, "mono", recipe, run.units("mono"), clock)
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
    from factory.passes.paired import as_units

    with clock.stage("tokenize"):
        as_units(recipe.corpus.test, "test", recipe, run.units("test"), clock)
    with clock.stage("toplines"):
        toplines(run.units("test"), recipe, run.toplines, clock)
    for judged in compared(number):
        with clock.stage("evaluate"):
            policy, out = run.policy(judged, recipe), run.dataset(judged, "evaluation")
            evaluate(run.units("test"), policy, recipe, out, clock, f"evaluate round {judged}")
