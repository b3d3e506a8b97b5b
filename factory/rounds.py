"""A round from speech to the next policy: tokenize, produce, select, train, evaluate."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from factory.passes.progress import Clock
from factory.planning.places import Round
from factory.runtime.local_ray import start_ray

if TYPE_CHECKING:
    from factory.report.summary_types import Summary


def run_rounds(rounds: Sequence[Round]) -> bool:
    """Run rounds of one run in order; stop after one that lowers the test score (`rounds.stop`).

    Args:
        rounds: the rounds.

    Returns:
        True if every round that was run has all its extras: samples, report, history.

    Raises:
        Shortfall: a file that one of the rounds reads is missing; none of them was begun.
        RoundtripError: what `run_round` raises.
    """
    from factory.planning.preflight import check_inputs
    from factory.report.history import find_stop_reason, history_rows, render_history
    from factory.report.summary import is_summarised

    check_inputs([round_ for round_ in rounds if not is_summarised(round_.run, round_.number)])
    complete = True
    for round_ in rounds:
        complete &= run_round(round_)
        reason = find_stop_reason(history_rows(round_.run), round_.number, round_.recipe)
        if reason and round_ is not rounds[-1]:
            print(f"\nno round after {round_.number}: {reason}")
            break
    if len(rounds) > 1:
        print(render_history(history_rows(rounds[0].run)))
    return complete


def run_round(round_: Round) -> bool:
    """Run a round, or what is left of it; print its summary and write it, which finishes the round.

    Samples, report and history follow. For one that cannot be written, stderr gets the reason and the command that
    writes it. A finished round only gets those that it lacks, by the recipe that it was run with.

    Args:
        round_: the round.

    Returns:
        True if samples, report and history are all written.

    Raises:
        MissingRound: the round before has no policy.
        UnusableSpeech: the speech can give no pair.
        Shortfall: the cluster lacks what the round needs.
        StoreError: the folder of the round cannot be written.
        RoundtripError: the policy does not fit the recipe, or a stage fails.
    """
    from factory.report.summary import is_summarised
    from factory.report.table import render_summary

    if is_summarised(round_.run, round_.number):
        print(f"round {round_.number} of {round_.run.uri} is finished; its summary is {round_.uri}/summary.json")
        return _write_extras(round_)
    round_, summary = _run_stages(round_)
    return _write_extras(round_, render_summary(summary, round_.uri))


def _run_stages(round_: Round) -> tuple[Round, Summary]:
    """Run the stages of a round; return it with the paths of the units that were read, and its summary."""
    from factory.planning.duration import describe_duration
    from factory.planning.kept_recipe import keep_recipe
    from factory.planning.preflight import preflight
    from factory.planning.ready import check_measures, check_policy, check_vocoders, check_writable, describe_arithmetic
    from factory.report.summary import summarise
    from factory.report.tracking import check_trackers

    check_trackers(round_, round_.recipe.tracking)
    previous = round_.previous.policy if round_.previous else None
    if previous is not None:
        check_policy(previous, round_.recipe)
    if round_.recipe.writes_speech:
        check_vocoders(round_.recipe)
        check_measures(round_.recipe)
    check_writable(round_.uri)
    start_ray()
    preflight(round_)
    print(describe_arithmetic(round_.recipe), flush=True)
    if duration := describe_duration(round_):
        print(duration, flush=True)
    clock = Clock(round_.uri)
    round_ = with_paired_units(round_, clock)
    with clock.stage("read" if round_.recipe.hears_speech else "tokenize"):
        tokenize_corpora(round_, clock)
    if previous is None:
        train_first_policy(round_, clock)
    else:
        train_next_policy(round_, previous, clock)
    evaluate_policies(round_, clock)
    keep_recipe(round_)
    return round_, summarise(round_, clock)


def _write_extras(round_: Round, summary: str = "") -> bool:
    """Write the missing extras of a finished round and print its new summary; return True if none is missing."""
    from factory.report.extras import make_extras
    from factory.report.report import report_uri

    problems = make_extras(round_)
    if summary:
        print(f"{summary}\n  report       {report_uri(round_)}")
    for sentence in problems:
        print(sentence, file=sys.stderr, flush=True)
    return not problems


def with_paired_units(round_: Round, clock: Clock) -> Round:
    """Return the round with paired speech replaced by its units, which are made where they are missing.

    Raises UnusableSpeech if round 0 needs words that would not be aligned.
    """
    from factory.passes.paired import pair_units
    from factory.passes.tokenize import list_speech
    from factory.planning.plan import paired_corpora
    from factory.planning.usable_speech import check_alignment

    recipe, run = round_.recipe, round_.run
    if recipe.hears_speech:
        return round_
    units: dict[str, str] = {}
    for name in paired_corpora(round_):
        corpus = getattr(recipe.corpus, name)
        with clock.stage("tokenize"):
            if (speech := list_speech(corpus)) is not None:
                if round_.number == 0 and name == "paired":
                    check_alignment(recipe)
                out = run.paired(name)
                pair_units(corpus, speech, recipe, run.units(f"{name}-speech"), run.words(name), out, clock)
                units[name] = out.uri
    corpora = replace(recipe.corpus, **units)  # type: ignore[arg-type]
    return replace(round_, recipe=replace(recipe, corpus=corpora))


def tokenize_corpora(round_: Round, clock: Clock) -> None:
    """Turn the speech of a round into units, and check it before the hours that follow.

    Only the utterances that the round uses are tokenized. Quick checks come first: untranslated speech is listed, then
    the dev set and the test set are tokenized.

    Args:
        round_: the round.
        clock: measures and shows progress.

    Raises:
        UnusableSpeech: no pair can come from the speech, or `select.delta: auto` has too few references.
    """
    from factory.audit.delta import MIN_LABELS
    from factory.passes.choose import choose_sources, choose_tested
    from factory.passes.paired import write_utterances
    from factory.passes.tokenize import list_speech, tokenize
    from factory.planning.usable_speech import (
        check_dev,
        check_listed,
        check_recordings,
        check_sources,
        list_unmeasured,
    )

    recipe, run, corpus = round_.recipe, round_.run, round_.recipe.corpus
    makes_pairs = round_.number > 0
    speech = list_speech(corpus.mono) if makes_pairs and corpus.source != "paired" else None
    if recipe.hears_speech:
        check_recordings(recipe, ["mono", "test"] if makes_pairs else ["test"])
    if speech is not None:
        check_listed(Counter(speech.kinds), recipe)
    if makes_pairs and recipe.select.delta == "auto":
        write_utterances(corpus.dev, "dev", recipe, run.units("dev"))
        check_dev(run.units("dev"), recipe, MIN_LABELS)
    if (tested := list_speech(corpus.test)) is None:
        write_utterances(corpus.test, "test", recipe, run.units("test"))
    else:
        tokenize(corpus.test, choose_tested(tested, recipe), recipe, run.units("test"), clock)
    _print_notes(list_unmeasured(run.units("test"), recipe))
    if not makes_pairs:
        return
    *earlier, mono = round_.mono_units
    if speech is not None:
        tokenize(corpus.mono, choose_sources(speech, round_.number, recipe), recipe, mono, clock, earlier)
    elif corpus.source != "paired":
        write_utterances(corpus.mono, "mono", recipe, mono)
    if corpus.source != "mono":
        write_utterances(corpus.paired, "paired", recipe, run.units("paired"))
    _print_notes(check_sources(round_.sources, recipe))


def _print_notes(sentences: list[str]) -> None:
    for sentence in sentences:
        print(f"  note: {sentence}", flush=True)


def train_first_policy(round_: Round, clock: Clock) -> None:
    """Round 0: write the paired corpus as training sequences and train the first policy on them."""
    from factory.passes.sequences import write_sequences
    from factory.passes.spoken import write_spoken_sequences
    from factory.passes.train import train_first

    with clock.stage("sequences"):
        if round_.recipe.hears_speech:
            write_spoken_sequences(round_.recipe, round_.run.speech("paired"), round_.sequences, clock)
        else:
            write_sequences(round_.recipe, round_.sequences)
    with clock.stage("train"):
        train_first(round_.sequences, round_.recipe, round_.policy_uri)


def train_next_policy(round_: Round, previous: str, clock: Clock) -> None:
    """Round N: candidates and their back-translations, pairs, and the policy that learns from them.

    Args:
        round_: the round.
        previous: the policy that makes the candidates, and that is trained.
        clock: measures and shows progress.
    """
    from factory.audit.auto import resolve_delta
    from factory.passes.produce import produce
    from factory.passes.select import select_pairs
    from factory.passes.train import train_next

    recipe = round_.recipe
    with clock.stage("produce"):
        produce(round_.sources, previous, round_.number, recipe, round_.scored, clock)
    with clock.stage("select"):
        recipe = resolve_delta(round_, clock)
        select_pairs(round_.scored, recipe, round_.pairs, clock)
    with clock.stage("train"):
        train_next(round_.pairs, previous, recipe, round_.policy_uri)


def evaluate_policies(round_: Round, clock: Clock) -> None:
    """Evaluate the new policy and, where that is not done yet, the toplines and the policy before it."""
    from factory.passes.evaluate import evaluate
    from factory.passes.toplines import judge_toplines

    test, recipe = round_.run.units("test"), round_.recipe
    if recipe.writes_speech:
        with clock.stage("toplines"):
            judge_toplines(test, recipe, round_.run.toplines, clock)
    with clock.stage("evaluate"):
        evaluate(test, [(one.policy, one.evaluation) for one in round_.compared], recipe, clock)
