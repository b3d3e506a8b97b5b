"""The sounds of a round's pairs as FLAC, made in one pass that continues after a kill."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import cast

import pyarrow as pa

from factory.actors.base import RowActor
from factory.corpora.audio import encode
from factory.corpora.opening import open_corpus
from factory.export.layout import SOUNDS
from factory.passes.execute import map_actor, run_plan
from factory.passes.progress import Clock
from factory.passes.weights import actor_vocoders, compute_digests
from factory.planning.places import Round
from factory.recipe.paths import portable_paths
from factory.report.pairs import ShownPair
from factory.report.players import make_waves
from factory.runtime.local_ray import start_ray
from factory.storage.dataset import DatasetDir
from schemas.datasets import Row
from schemas.fingerprint import json_digest

_UNITS = pa.struct([("units", pa.list_(pa.int32()))])
_INPUT = pa.schema(
    [(name, pa.string()) for name in ("pair_id", "utt_id", "src_lang", "tgt_lang")]
    + [(name, _UNITS) for name in SOUNDS]
)
PAIR_SOUNDS = pa.schema(
    [pa.field("pair_id", pa.string(), nullable=False), *[pa.field(f"{name}_audio", pa.binary()) for name in SOUNDS]]
    + [pa.field("status", pa.string(), nullable=False), pa.field("reason", pa.string())]
)
"""The sounds of a pair as FLAC at 16 kHz: the recording of the source (resynthesised from its units if it is missing),
and both candidates by the vocoder."""


class PairVocoder(RowActor):
    """Resynthesises both candidates of pairs, and reads the recordings of their sources."""

    schema = PAIR_SOUNDS

    def __init__(self, *, checkpoints: dict[str, str], corpus: str, threads: int = 1) -> None:
        """Load the vocoder of each language and open the corpus of the sources."""
        from factory.models.voice import Voice

        self.vocoders = {lang: Voice(checkpoint, threads) for lang, checkpoint in checkpoints.items()}
        self.corpus = open_corpus(corpus)

    def process(self, rows: list[Row]) -> list[Row]:
        """Return a row of PAIR_SOUNDS for each pair."""
        recordings = self.corpus.load_recordings([row["utt_id"] for row in rows])
        waves = make_waves(cast(list[ShownPair], rows), recordings, self.vocoders, with_back_translations=False)
        sounds = {key: encode(wave, "FLAC") for key, wave in waves.items()}
        return [row | {f"{name}_audio": sounds.get(f"{row['pair_id']}.{name}") for name in SOUNDS} for row in rows]


def make_sounds(round_: Round, pairs: Sequence[ShownPair]) -> DatasetDir:
    """Write the missing sounds of pairs, and return the dataset (PAIR_SOUNDS), which the round keeps."""
    recipe, ids = round_.recipe, [pair["pair_id"] for pair in pairs]
    weights = {name: path for name, path in recipe.judge_weights.items() if name.startswith("vocoder.")}
    content: Row = {
        "stage": "speak",
        "corpus": portable_paths(recipe).corpus.mono,
        "pairs": json_digest(sorted(ids)),
        "inputs": compute_digests(weights) | {"pairs": round_.pairs.manifest().fingerprint},
    }
    sounds = DatasetDir(f"{round_.uri}/spoken/{json_digest(content)}", PAIR_SOUNDS, "pair_id")
    if sounds.start(content):
        import ray.data

        start_ray()
        rows = ray.data.from_arrow(pa.Table.from_pylist([_to_input(pair) for pair in pairs], schema=_INPUT))
        pool = recipe.resources.vocoder
        actor = partial(
            PairVocoder, checkpoints=actor_vocoders(recipe), corpus=recipe.corpus.mono, threads=pool.threads
        )
        plan = map_actor(sounds.unfinished(rows), actor, pool)
        run_plan(plan, sounds, ids, Clock(sounds.uri), "speak", recipe.resources, ["vocoder"])
    return sounds


def _to_input(pair: ShownPair) -> Row:
    return {
        "pair_id": pair["pair_id"],
        "utt_id": pair["utt_id"],
        "src_lang": pair["src_lang"],
        "tgt_lang": pair["tgt_lang"],
        "source": {"units": pair["source"]["units"]},
        "chosen": {"units": pair["chosen"]["units"]},
        "rejected": {"units": pair["rejected"]["units"]},
    }
