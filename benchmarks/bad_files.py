"""Bad files, 19 kinds (Parquet, manifests, recipes, codebooks, voices, policies): each must be refused in a sentence of ours."""

from __future__ import annotations

import io
import json
import pickle
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from bad_rows import Trap
from safetensors.numpy import save

from factory.corpora.base import CorpusError
from factory.corpora.opening import open_corpus
from factory.models.codebook import Codebook
from factory.models.unit_hifigan import CodeHiFiGAN
from factory.models.vocoder_config import VocoderError
from factory.models.weights import WeightsError
from factory.recipe.loading import load
from factory.recipe.typed import RecipeError
from factory.storage.dataset import DatasetDir
from factory.storage.manifest import StoreError
from schemas.datasets import UTTERANCE

VOICE = {
    "num_embeddings": 10,
    "embedding_dim": 8,
    "upsample_rates": [5, 4, 4, 4],
    "upsample_kernel_sizes": [11, 8, 8, 8],
    "upsample_initial_channel": 32,
    "resblock_kernel_sizes": [3],
    "resblock_dilation_sizes": [[1, 3]],
    "dur_predictor_params": {"encoder_embed_dim": 8, "var_pred_hidden_dim": 8},
}
"""The configuration of a small vocoder; beside it, the weights are what is bad."""


class Kind(NamedTuple):
    """A kind of bad file: its name, what makes it, what opens it, and the error that must come."""

    name: str
    make: Callable[[random.Random], bytes]
    open: Callable[[Path], Any]
    error: type[Exception]


def refusal(kind: Kind, chance: random.Random, folder: Path) -> str | None:
    """Write a file of this kind and open it; returns the sentence with which it was refused, None when it was not, or not in ours."""
    path = folder / kind.name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(kind.make(chance))
    try:
        kind.open(path)
    except kind.error as error:
        return str(error)
    except Exception as error:  # another error than ours is what this looks for
        print(f"{kind.name}: {type(error).__name__}: {error}")
    return None


def _parquet(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


def _some(chance: random.Random) -> pa.Table:
    rows = [
        {"utt_id": f"u{chance.random()}", "lang": "fr", "text": "oui", "audio": {"bytes": b"x", "path": None}}
        for _ in range(9)
    ]
    return pa.Table.from_pylist(rows, schema=UTTERANCE)


def _cut(make: Callable[[random.Random], bytes]) -> Callable[[random.Random], bytes]:
    def half(chance: random.Random) -> bytes:
        whole = make(chance)
        return whole[: chance.randint(1, len(whole) - 9)]

    return half


def _table(change: Callable[[pa.Table], pa.Table]) -> Callable[[random.Random], bytes]:
    return lambda chance: _parquet(change(_some(chance)))


def _text(text: str) -> Callable[[random.Random], bytes]:
    return lambda chance: text.replace("NUMBER", str(chance.randint(2, 99))).encode()


def _centers(centers: np.ndarray, **told: str) -> bytes:
    return save({"centers": centers}, told)


def _codebook(_: random.Random) -> bytes:
    return _centers(np.ones((9, 4), np.float32), model="m", layer="1")


def _trap(_: random.Random) -> bytes:
    return pickle.dumps(Trap(Path("unpickled")))


def _voice(path: Path) -> Any:
    (path.parent / "config.json").write_text(json.dumps(VOICE))
    return CodeHiFiGAN.from_pretrained(path)


def _npy(path: Path) -> Any:
    path.with_suffix(".json").write_text(json.dumps({"model": "m", "layer": 1}))
    return Codebook.load(path)


def _objects(_: random.Random) -> bytes:
    sink = io.BytesIO()
    np.save(sink, np.array([Trap(Path("unpickled"))], object), allow_pickle=True)
    return sink.getvalue()


def _corpus(path: Path) -> Any:
    return open_corpus(str(path)).load_speech()


def _manifest(path: Path) -> Any:
    return DatasetDir(str(path.parent)).manifest()


KINDS = [
    Kind("corpus/no_parquet.parquet", lambda chance: chance.randbytes(chance.randint(1, 999)), _corpus, CorpusError),
    Kind("corpus/half.parquet", _cut(lambda chance: _parquet(_some(chance))), _corpus, CorpusError),
    Kind("corpus/no_ids.parquet", _table(lambda table: table.drop_columns(["utt_id"])), _corpus, CorpusError),
    Kind("corpus/no_audio.parquet", _table(lambda table: table.drop_columns(["audio"])), _corpus, CorpusError),
    Kind(
        "corpus/number_ids.parquet",
        _table(lambda table: table.set_column(0, "utt_id", pa.array(range(table.num_rows)))),
        _corpus,
        CorpusError,
    ),
    Kind("corpus/no_columns.tsv", _text("name\tfile\nNUMBER\ta.wav\n"), _corpus, CorpusError),
    Kind(
        "corpus/latin.tsv",
        lambda chance: "utt_id\tlang\tpath\té\n".encode("latin-1") + chance.randbytes(9),
        _corpus,
        CorpusError,
    ),
    Kind("recipes/unknown.yaml", _text("select: {dleta: 0.NUMBER}"), load, RecipeError),
    Kind("recipes/type.yaml", _text("translator: {n: two-NUMBER}"), load, RecipeError),
    Kind("recipes/broken.yaml", _text("select: {delta: [NUMBER"), load, RecipeError),
    Kind("recipes/code.yaml", _text("name: !!python/object/apply:os.getcwd []\nseed: NUMBER"), load, RecipeError),
    Kind("recipes/impossible.yaml", _text("translator: {top_p: NUMBER}"), load, RecipeError),
    Kind("half.safetensors", _cut(_codebook), Codebook.load, WeightsError),
    Kind(
        "nan.safetensors",
        lambda _: _centers(np.full((9, 4), np.nan, np.float32), model="m", layer="1"),
        Codebook.load,
        WeightsError,
    ),
    Kind("nameless.safetensors", lambda _: _centers(np.ones((9, 4), np.float32)), Codebook.load, WeightsError),
    Kind("objects.npy", _objects, _npy, WeightsError),
    Kind("trap/g_0001", _trap, _voice, VocoderError),
    Kind("voice/model.safetensors", lambda chance: chance.randbytes(300), _voice, VocoderError),
    Kind(
        "dataset/_manifest.json", _cut(lambda _: json.dumps({"rows": 9, "content": {}}).encode()), _manifest, StoreError
    ),
]
