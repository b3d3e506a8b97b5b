"""speak: the sounds of a round's pairs, as FLAC, in one pass that can be killed and goes on."""

from __future__ import annotations

from functools import partial
from typing import cast

import pyarrow as pa
import ray.data

from factory.actors.base import RowActor
from factory.corpora.audio import encode
from factory.corpora.opening import open_corpus
from factory.passes.execute import map_actor, run_plan
from factory.passes.progress import Clock
from factory.passes.weights import actor_vocoders, compute_digests
from factory.planning.places import Run
from factory.recipe.recipe import Recipe
from factory.report.pairs import SIDES, ShownPair
from factory.report.players import make_waves
from factory.storage.dataset import DatasetDir
from schemas.datasets import Row
from schemas.fingerprint import json_digest

_UNITS = pa.list_(pa.int32())
_SIDE = pa.struct([("units", _UNITS)])
TO_SPEAK = pa.schema(
    [(name, pa.string()) for name in ("pair_id", "utt_id", "src_lang", "tgt_lang")]
    + [(name, _SIDE) for name in ("source", "chosen", "rejected")]
)
SOUNDS = ("source", "chosen", "rejected")
SPOKEN = pa.schema(
    [pa.field("pair_id", pa.string(), nullable=False), *[pa.field(f"{name}_audio", pa.binary()) for name in SOUNDS]]
    + [pa.field("status", pa.string(), nullable=False), pa.field("reason", pa.string())]
)
"""A pair's sounds: the source's recording (its units spoken again where that is gone), chosen and rejected by the vocoder; FLAC, 16 kHz."""


class PairSpeaker(RowActor):
    """Speaks both sides of pairs and fetches the recordings of their sources."""

    schema = SPOKEN

    def __init__(self, *, checkpoints: dict[str, str], corpus: str, threads: int = 1) -> None:
        from factory.models.voice import Voice

        self.voices = {lang: Voice(checkpoint, threads) for lang, checkpoint in checkpoints.items()}
        self.corpus = open_corpus(corpus)

    def process(self, rows: list[Row]) -> list[Row]:
        """Return a row of SPOKEN for each pair."""
        recorded = self.corpus.recordings([row["utt_id"] for row in rows])
        waves = make_waves(cast(list[ShownPair], rows), recorded, self.voices, with_back_translations=False)
        sounds = {key: encode(wave, "FLAC") for key, wave in waves.items()}
        return [row | {f"{name}_audio": sounds.get(f"{row['pair_id']}.{name}") for name in SOUNDS} for row in rows]


def speak_pairs(run: Run, number: int, recipe: Recipe, rows: list[ShownPair]) -> DatasetDir:
    """Write the sounds of the pairs `rows` (`read_shown_pairs`), or what is left of them, and return the dataset; a round keeps it."""
    named = {f"vocoder.{lang}": path for lang, path in recipe.vocoder.items()}
    content: Row = {
        "stage": "speak",
        "corpus": recipe.corpus.mono,
        "pairs": json_digest(sorted(row["pair_id"] for row in rows)),
    }
    content["inputs"] = compute_digests(named) | {"pairs": run.dataset(number, "pairs").manifest().fingerprint}
    out = DatasetDir(f"{run.place(number)}/spoken/{json_digest(content)}", SPOKEN, "pair_id")
    if out.start(content):
        table = pa.Table.from_pylist([_to_speak(row) for row in rows], schema=TO_SPEAK)
        pool = recipe.resources.vocoder
        actor = partial(
            PairSpeaker, checkpoints=actor_vocoders(recipe), corpus=recipe.corpus.mono, threads=pool.threads
        )
        plan = map_actor(out.unfinished(ray.data.from_arrow(table)), actor, pool)
        run_plan(plan, out, [row["pair_id"] for row in rows], Clock(out.uri), "speak", recipe.resources, ["vocoder"])
    return out


def _to_speak(row: ShownPair) -> Row:
    told: Row = {"pair_id": row["pair_id"], "utt_id": row["utt_id"]}
    told |= {"src_lang": row["src_lang"], "tgt_lang": row["tgt_lang"], "source": {"units": row["source"]["units"]}}
    return told | {side: {"units": row[side]["units"]} for side in SIDES}
