"""align: the words of each transcript get the frames in which they are spoken."""

from __future__ import annotations

from functools import partial

from factory.corpora.corpus import Speech
from factory.passes.execute import map_actor, run_plan
from factory.passes.progress import Clock
from factory.passes.weights import actor_aligner, compute_digests
from factory.recipe.recipe import Recipe
from factory.recipe.typed import RecipeError
from factory.runtime.redact import redact
from factory.storage.dataset import DatasetDir


def align(corpus: str, speech: Speech, recipe: Recipe, out: DatasetDir, clock: Clock) -> None:
    """Write a row of ALIGNED for every utterance; one without a text, or that cannot be read, is kept with its reason.

    Args:
        corpus: the corpus as the recipe names it.
        speech: its utterances, as `list_speech` returns them.
        recipe: the experiment.
        out: the dataset to write.
        clock: measures and shows progress.

    Raises:
        RecipeError: the recipe has no aligner.
        PassError: the weights cannot be used, or do not know a language of the recipe.
    """
    from factory.actors.aligner import WordAligner

    if recipe.aligner is None:
        raise RecipeError("aligner must be a section of the recipe to align words; got null")
    content = recipe.content("align", compute_digests({"aligner": recipe.aligner.model}) | {"corpus": speech.digest})
    if not out.start(content):
        return
    pool, encoder = recipe.resources.aligner, recipe.encoder
    limits = (encoder.min_s, encoder.max_s)
    actor = partial(WordAligner, actor_aligner(recipe.aligner), recipe.languages, limits, pool.threads)
    rows = map_actor(out.unfinished(speech.rows), actor, pool)
    run_plan(rows, out, speech.ids, clock, f"align {redact(corpus)}", recipe.resources, ["aligner"])
