"""A round from speech to the next policy: tokenize, produce, select, train, evaluate."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from factory.passes.progress import Clock
from factory.planning.places import Run
from factory.planning.plan import compared, paired_corpora
from factory.recipe.recipe import Recipe
from factory.runtime.local_ray import start_ray
from factory.storage.dataset import DatasetDir
from schemas.datasets import SCORED, Row


def run_rounds(run: Run, numbers: Sequence[int], recipe: Recipe) -> bool:
    """Run several rounds in turn, or one; after one that lowers the test score (`rounds.stop`) no further one is begun.

    Returns whether every round that was run has all its parts (samples, report, history). Raises Shortfall before the
    first of them where one reads a file that is not there, and what `run_round` raises.
    """
    from factory.planning.preflight import all_there
    from factory.report.history import falls, history_rows, render_history
    from factory.report.summary import is_summarised

    all_there(run, [number for number in numbers if not is_summarised(run, number)], recipe)
    whole = True
    for number in numbers:
        whole &= run_round(run, number, recipe)
        if number != numbers[-1] and (reason := falls(history_rows(run), number, recipe)):
            print(f"\nno round after {number}: {reason}")
            break
    if len(numbers) > 1:
        print(render_history(history_rows(run)))
    return whole


def run_round(run: Run, number: int, recipe: Recipe) -> bool:
    """Run round `number`, or what is left of it, and print and keep its summary, with which it is finished.

    Samples, report and history come after that: what cannot be made is said on stderr, with the command that makes it.
    Of a round that is finished only what it lacks of them is made, by the recipe that it was run with. Returns whether
    all of them are there.

    Raises MissingRound where the round before has left no policy, ValueError where that policy does not fit the recipe
    or the speech gives no pair, StoreError where the round's folder cannot be written, and Shortfall where the cluster
    lacks what the round asks for.
    """
    from factory.planning.kept_recipe import kept_recipe
    from factory.report.summary import is_summarised

    if is_summarised(run, number):
        print(f"round {number} of {run.uri} is finished; its summary is {run.place(number)}/summary.json")
        return _end(run, number, lambda: kept_recipe(run, number) or recipe)
    recipe, summary = _work(run, number, recipe)
    return _end(run, number, lambda: recipe, summary)


def _work(run: Run, number: int, recipe: Recipe) -> tuple[Recipe, Row]:
    """Run the stages of a round to its summary; return the recipe with the paths that were read, and the summary."""
    from factory.planning.kept_recipe import keep_recipe
    from factory.planning.preflight import preflight
    from factory.planning.ready import arithmetic, check_folder, check_policy
    from factory.report.summary import summarise

    previous = None if number == 0 else run.policy(number - 1, recipe)
    if previous is not None:
        check_policy(previous, recipe)
    check_folder(run.place(number))
    start_ray()
    preflight(run, number, recipe)
    print(arithmetic(recipe), flush=True)
    clock = Clock(run.place(number))
    recipe = with_paired_units(run, number, recipe, clock)
    with clock.stage("tokenize"):
        tokenize_all(run, number, recipe, clock)
    if previous is None:
        supervise(run, recipe, clock)
    else:
        prefer(run, number, previous, recipe, clock)
    measure(run, number, recipe, clock)
    keep_recipe(run, number, recipe)
    return recipe, summarise(run, number, recipe, clock)


def _end(run: Run, number: int, recipe: Callable[[], Recipe], summary: Row | None = None) -> bool:
    """Make what a finished round lacks, print its new summary, say what could not be made; return whether all is there."""
    from factory.report.endings import make_parts
    from factory.report.report import report_place
    from factory.report.table import render

    unmade = make_parts(run, number, recipe)
    if summary is not None:
        print(f"{render(summary, run.place(number))}\n  report       {report_place(run, number)}")
    for sentence in unmade:
        print(sentence, file=sys.stderr, flush=True)
    return not unmade


def tokenize_all(run: Run, number: int, recipe: Recipe, clock: Clock) -> None:
    """Turn what a round reads into units, and say what they cannot give before the hours that follow.

    What is quick comes first: untranslated speech is listed, then the dev set and the test set are tokenized. Raises
    Unusable where no pair could come of the speech, and where `select.delta: auto` has too few references.
    """
    from factory.audit.delta import FEWEST
    from factory.passes.paired import write_units, write_utterances
    from factory.passes.tokenize import list_speech
    from factory.planning.usable import check_dev, check_kinds, check_sources, untested

    mono = recipe.corpus.mono
    speech = list_speech(mono) if number and recipe.corpus.source != "paired" else None
    if speech is not None:
        check_kinds(speech.kinds, mono, recipe)
    if number and recipe.select.delta == "auto":
        write_utterances(recipe.corpus.dev, "dev", run.units("dev"))
        check_dev(run.units("dev"), recipe, FEWEST)
    write_units(recipe.corpus.test, list_speech(recipe.corpus.test), "test", recipe, run.units("test"), clock)
    _note(untested(run.units("test"), recipe))
    if number:
        if recipe.corpus.source != "paired":
            write_units(mono, speech, "mono", recipe, run.units("mono"), clock)
        if recipe.corpus.source != "mono":
            write_utterances(recipe.corpus.paired, "paired", run.units("paired"))
        _note(check_sources(run.sources(recipe), recipe))


def _note(sentences: list[str]) -> None:
    for sentence in sentences:
        print(f"  note: {sentence}", flush=True)


def with_paired_units(run: Run, number: int, recipe: Recipe, clock: Clock) -> Recipe:
    """Return the recipe with the paired speech that the round needs replaced by its units, which are made where they are missing."""
    from factory.passes.paired import pair_units
    from factory.passes.tokenize import list_speech

    made: dict[str, Any] = {}
    for name in paired_corpora(number, recipe):
        corpus = getattr(recipe.corpus, name)
        with clock.stage("tokenize"):
            if (speech := list_speech(corpus)) is not None:
                out = run.paired(name)
                pair_units(corpus, speech, recipe, run.units(f"{name}-speech"), out, clock)
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
    """Round N: candidates and their back-translations, pairs, and the policy that learns from them."""
    from factory.audit.auto import settle_delta
    from factory.passes.produce import produce
    from factory.passes.select import select_pairs
    from factory.passes.train import train_next

    scored, pairs = run.dataset(number, "scored"), run.dataset(number, "pairs")
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
    from factory.passes.evaluate import evaluate, judge_toplines

    with clock.stage("toplines"):
        judge_toplines(run.units("test"), recipe, run.toplines, clock)
    for judged in compared(number):
        with clock.stage("evaluate"):
            policy, out = run.policy(judged, recipe), run.dataset(judged, "evaluation")
            evaluate(run.units("test"), policy, recipe, out, clock, f"evaluate round {judged}")
