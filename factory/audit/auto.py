"""`select.delta: auto`: an audit of the dev set, translated and back-translated by the round's policy, chooses δ."""

from __future__ import annotations

from dataclasses import replace

from factory.audit.delta import choose_delta
from factory.audit.labels import judge_rows, read_rows_with_reference
from factory.passes.produce import produce
from factory.passes.progress import Clock
from factory.passes.unit_languages import read_languages
from factory.planning.places import Round
from factory.recipe.recipe import Recipe
from factory.storage.dataset import DatasetDir


def resolve_delta(round_: Round, clock: Clock) -> Recipe:
    """Return the recipe of a round with a number for `select.delta`; unchanged if it has one.

    The scored candidates of the dev set are kept in the folder `dev` of the round.

    Raises:
        NoDelta: the audit recommends no δ.
    """
    recipe = round_.recipe
    if recipe.select.delta != "auto":
        return recipe
    if round_.previous is None:
        raise ValueError("round 0 makes no pairs, so it has no δ")
    all_rows = replace(recipe, corpus=replace(recipe.corpus, limit=None))
    produce([round_.run.units("dev")], round_.previous.policy, round_.number, all_rows, round_.dev_scored, clock)
    return with_recommended_delta(recipe, round_.dev_scored)


def with_recommended_delta(recipe: Recipe, scored: DatasetDir) -> Recipe:
    """Return a recipe with the δ that the audit of `scored` (SCORED, from corpus.dev) recommends, and print it.

    Raises:
        NoDelta: the audit recommends no δ.
    """
    languages = read_languages(scored, recipe)
    rows = judge_rows(read_rows_with_reference(scored), recipe.select.filters, languages=languages)
    delta = choose_delta(rows, recipe.select.metric)
    print(f"  select.delta: auto is {delta:g} (audit of {len(rows)} utterances of {recipe.corpus.dev})", flush=True)
    return replace(recipe, select=replace(recipe.select, delta=delta))
