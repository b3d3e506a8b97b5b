"""`select.delta: auto`: the round's policy translates the dev set there and back, and the audit of that says which δ to take."""

from __future__ import annotations

from dataclasses import replace

from factory.audit.delta import recommended_delta
from factory.audit.labels import judged, referenced
from factory.passes.produce import produce
from factory.passes.progress import Clock
from factory.recipe.recipe import Recipe
from factory.storage.dataset import DatasetDir


def settle_delta(
    units: DatasetDir, scored: DatasetDir, policy: str, number: int, recipe: Recipe, clock: Clock
) -> Recipe:
    """Return the recipe with a number for `select.delta`, unchanged where it has one.

    `units` are the dev set's, `scored` is where its candidates go. Raises NoDelta where the audit recommends none.
    """
    if recipe.select.delta != "auto":
        return recipe
    everything = replace(recipe, corpus=replace(recipe.corpus, limit=None))
    produce([units], policy, number, everything, scored, clock)
    rows = judged(referenced(scored), recipe.select.filters)
    delta = recommended_delta(rows, recipe.select.metric)
    print(f"  select.delta: auto takes {delta:g} (audit of {len(rows)} utterances of {recipe.corpus.dev})", flush=True)
    return replace(recipe, select=replace(recipe.select, delta=delta))
