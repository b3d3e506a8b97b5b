"""tokenize: speech becomes units, once per corpus; all rounds share the result."""

from __future__ import annotations

from factory.corpus import read_corpus
from factory.passes.plan import act, digests, finish, handed
from factory.progress import Clock
from factory.recipe import Recipe, locate
from factory.redact import redact
from factory.store import DatasetDir


def tokenize(corpus: str, recipe: Recipe, out: DatasetDir, clock: Clock) -> None:
    """Turn every utterance of `corpus` into a row of UNITS in `out`; a row that cannot be read is kept with its reason."""
    from factory.actors.encoder import Encoder

    speech = read_corpus(locate(corpus))
    named = digests({"encoder": recipe.encoder.model, "codebook": recipe.encoder.codebook})
    if not out.start(recipe.content("tokenize", named | {"corpus": speech.digest})):
        return
    rows = out.unfinished(speech.rows)
    rows = act(rows, Encoder, encoder_arguments(recipe), recipe.resources.encoder)
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
