"""tokenize: speech becomes units, once per corpus; all rounds share the result.

For a policy of continuous speech the recordings are read and checked, and get no units.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from factory.actors.base import ActorFactory
from factory.corpora.corpus import Speech
from factory.corpora.files import summarise_left_out
from factory.corpora.opening import open_corpus
from factory.passes.execute import map_actor, run_plan
from factory.passes.progress import Clock
from factory.passes.weights import actor_encoder, compute_digests
from factory.recipe.recipe import Recipe
from factory.runtime.redact import redact
from factory.storage.dataset import DatasetDir
from factory.storage.manifest import Content
from schemas.fingerprint import json_digest


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


def tokenize(
    corpus: str, speech: Speech, recipe: Recipe, out: DatasetDir, clock: Clock, earlier: Sequence[DatasetDir] = ()
) -> None:
    """Write a row of UNITS for every utterance; a row that cannot be read is kept with its reason.

    A policy of continuous speech needs no units: its rows have the length of their recording alone.

    Args:
        corpus: the corpus as the recipe names it.
        speech: its utterances, as `list_speech` returns them, or a part of them.
        recipe: the experiment.
        out: the dataset to write.
        clock: measures and shows progress.
        earlier: datasets with other parts of the same corpus; an utterance that one of them has is not encoded again.
    """
    content, actor = _plan(speech, recipe)
    if not out.start(_with_part(content, speech.part)):
        return
    missing = set(speech.ids) - out.done_ids()
    for dataset in earlier:
        if missing and dataset.is_finished() and _are_alike(content, dataset.manifest().content):
            missing -= _copy_rows(dataset, missing, out)
    if not missing:
        out.publish(speech.ids)
        return
    pool = recipe.resources.encoder
    rows = map_actor(out.unfinished(speech.rows), actor, pool)
    title = "read" if recipe.hears_speech else "tokenize"
    run_plan(rows, out, speech.ids, clock, f"{title} {redact(corpus)}", recipe.resources, ["encoder"])


def _plan(speech: Speech, recipe: Recipe) -> tuple[Content, ActorFactory]:
    """Return what the fingerprint of the rows covers, and the actor that makes them."""
    from factory.actors.encoder import Encoder, Reader

    if recipe.hears_speech:
        return recipe.content("recordings", {"corpus": speech.digest}), partial(
            Reader, recipe.encoder, recipe.languages
        )
    digests = compute_digests({"encoder": recipe.encoder.model, "codebook": recipe.encoder.codebook})
    content = recipe.content("tokenize", digests | {"corpus": speech.digest})
    return content, partial(Encoder, actor_encoder(recipe), recipe.languages, recipe.resources.encoder.threads)


def _with_part(content: Content, part: str | None) -> Content:
    """Return the content of units with another part of the corpus; None: of the whole corpus."""
    inputs = {name: digest for name, digest in content["inputs"].items() if name != "utterances"}
    return content | {"inputs": inputs | ({"utterances": part} if part else {})}


def describe_whole_corpus(content: Content) -> Content:
    """Return the content of units without the part of the corpus that they are of."""
    return _with_part(content, None)


def _are_alike(content: Content, other: Content) -> bool:
    return json_digest(describe_whole_corpus(content)) == json_digest(describe_whole_corpus(other))


def _copy_rows(dataset: DatasetDir, ids: set[str], out: DatasetDir) -> set[str]:
    """Copy the rows with these ids from another dataset of UNITS; return the ids that it has."""
    rows = dataset.rows(ids=sorted(ids))
    if rows.num_rows:
        out.append(rows)
    return set(rows[out.key].to_pylist())
