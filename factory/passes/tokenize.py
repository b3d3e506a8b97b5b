"""tokenize: speech becomes units, once per corpus; all rounds share the result."""

from __future__ import annotations

from functools import partial

from factory.corpora.corpus import Speech
from factory.corpora.files import summarise_left_out
from factory.corpora.opening import open_corpus
from factory.passes.execute import map_actor, run_plan
from factory.passes.progress import Clock
from factory.passes.weights import actor_encoder, compute_digests
from factory.recipe.recipe import Recipe
from factory.runtime.redact import redact
from factory.storage.dataset import DatasetDir


def list_speech(corpus: str) -> Speech | None:
    """List the utterances of a corpus with Ray, and print what is left out; return None if the corpus holds units.

    Raises CorpusError if the corpus cannot be read.
    """
    opened = open_corpus(corpus)
    if opened.holds_units:
        return None
    speech = opened.load_speech()
    if speech.left_out:
        print(f"  left out of {redact(corpus)}: {summarise_left_out(speech.left_out)}", flush=True)
    return speech


def tokenize(corpus: str, speech: Speech, recipe: Recipe, out: DatasetDir, clock: Clock) -> None:
    """Write a row of UNITS for every utterance; a row that cannot be read is kept with its reason.

    Args:
        corpus: the corpus as the recipe names it.
        speech: its utterances, as `list_speech` returns them.
        recipe: the experiment.
        out: the dataset to write.
        clock: measures and shows progress.
    """
    from factory.actors.encoder import Encoder

    digests = compute_digests({"encoder": recipe.encoder.model, "codebook": recipe.encoder.codebook})
    if out.start(recipe.content("tokenize", digests | {"corpus": speech.digest})):
        pool = recipe.resources.encoder
        actor = partial(Encoder, actor_encoder(recipe), recipe.languages, pool.threads)
        rows = map_actor(out.unfinished(speech.rows), actor, pool)
        run_plan(rows, out, speech.ids, clock, f"tokenize {redact(corpus)}", recipe.resources, ["encoder"])
