"""tokenize: speech becomes units, once per corpus; all rounds share the result."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from factory.corpora.base import Kind
from factory.corpora.files import summarise_left_out
from factory.corpora.opening import open_corpus
from factory.passes.plan import act, digests, finish, handed
from factory.progress import Clock
from factory.recipe import Recipe, locate
from factory.redact import redact
from factory.store import DatasetDir

Check = Callable[[Mapping[Kind, int]], None]
"""Raises where a corpus, of which it is told how many rows are of each kind, lacks what a round needs."""


def tokenize(corpus: str, recipe: Recipe, out: DatasetDir, clock: Clock, check: Check | None = None) -> None:
    """Turn every utterance of `corpus` into a row of UNITS in `out`; a row that cannot be read is kept with its reason.

    `check` is asked before a model is loaded, and may raise; CorpusError is raised where the corpus cannot be read.
    """
    from factory.actors.encoder import Encoder

    speech = open_corpus(locate(corpus)).speech()
    if speech.left_out:
        print(f"  left out of {redact(corpus)}: {summarise_left_out(speech.left_out)}", flush=True)
    if check is not None:
        check(speech.kinds)
    named = digests({"encoder": recipe.encoder.model, "codebook": recipe.encoder.codebook})
    if out.start(recipe.content("tokenize", named | {"corpus": speech.digest})):
        rows = act(out.unfinished(speech.rows), Encoder, encoder_arguments(recipe), recipe.resources.encoder)
        finish(out, rows, speech.ids, clock, f"tokenize {redact(corpus)}", recipe.resources, "encoder")


def encoder_arguments(recipe: Recipe) -> dict[str, object]:
    """Return the constructor arguments of the Encoder that the recipe asks for."""
    encoder = recipe.encoder
    return {
        "encoder": encoder.kind,
        "model": handed(encoder.model),
        "layer": encoder.layer,
        "codebook": handed(encoder.codebook),
        "langs": list(recipe.languages),
        "min_s": encoder.min_s,
        "max_s": encoder.max_s,
        "threads": recipe.resources.encoder.threads,
    }
