"""tokenize: speech becomes units, once per corpus; all rounds share the result."""

from __future__ import annotations

from factory.corpora.corpus import Speech
from factory.corpora.files import summarise_left_out
from factory.corpora.opening import open_corpus
from factory.passes.execute import act, finish
from factory.passes.progress import Clock
from factory.passes.weights import actor_weights, digests
from factory.recipe.paths import locate
from factory.recipe.recipe import Recipe
from factory.runtime.redact import redact
from factory.storage.dataset import DatasetDir


def list_speech(corpus: str) -> Speech | None:
    """List the utterances of a corpus and print what is left out; None where it is units already. Takes Ray, and no model.

    Raises CorpusError where the corpus cannot be read.
    """
    opened = open_corpus(locate(corpus))
    if opened.holds_units:
        return None
    speech = opened.load_speech()
    if speech.left_out:
        print(f"  left out of {redact(corpus)}: {summarise_left_out(speech.left_out)}", flush=True)
    return speech


def tokenize(corpus: str, speech: Speech, recipe: Recipe, out: DatasetDir, clock: Clock) -> None:
    """Turn every utterance of `corpus` into a row of UNITS in `out`; a row that cannot be read is kept with its reason.

    Args:
        corpus: the corpus as the recipe names it.
        speech: its utterances, as `list_speech` returns them.
        recipe: the experiment.
        out: the dataset to write.
        clock: what measures and shows progress.
    """
    from factory.actors.encoder import Encoder

    named = digests({"encoder": recipe.encoder.model, "codebook": recipe.encoder.codebook})
    if out.start(recipe.content("tokenize", named | {"corpus": speech.digest})):
        rows = act(out.unfinished(speech.rows), Encoder, encoder_arguments(recipe), recipe.resources.encoder)
        finish(out, rows, speech.ids, clock, f"tokenize {redact(corpus)}", recipe.resources, "encoder")


def encoder_arguments(recipe: Recipe) -> dict[str, object]:
    """Return the constructor arguments of the Encoder that the recipe asks for."""
    encoder = recipe.encoder
    return {
        "encoder": encoder.kind,
        "model": actor_weights(encoder.model),
        "layer": encoder.layer,
        "codebook": actor_weights(encoder.codebook),
        "langs": list(recipe.languages),
        "min_s": encoder.min_s,
        "max_s": encoder.max_s,
        "threads": recipe.resources.encoder.threads,
    }
