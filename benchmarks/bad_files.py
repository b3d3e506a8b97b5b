"""Bad files of 19 kinds (Parquet, TSV, recipes, codebooks, vocoders, manifests).

The factory must refuse each with an error of its own.
"""

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

VOCODER = {
    "num_embeddings": 10,
    "embedding_dim": 8,
    "upsample_rates": [5, 4, 4, 4],
    "upsample_kernel_sizes": [11, 8, 8, 8],
    "upsample_initial_channel": 32,
    "resblock_kernel_sizes": [3],
    "resblock_dilation_sizes": [[1, 3]],
    "dur_predictor_params": {"encoder_embed_dim": 8, "var_pred_hidden_dim": 8},
}
"""A valid configuration of a small vocoder; only the weights next to it are bad."""


class Kind(NamedTuple):
    """A kind of bad file: its name, how to make it, how to open it, and the expected error."""

    name: str
    make: Callable[[random.Random], bytes]
    open: Callable[[Path], Any]
    error: type[Exception]


def open_bad_file(kind: Kind, chance: random.Random, folder: Path) -> str | None:
    """Write a file of a kind and open it.

    Args:
        kind: the kind.
        chance: a source of random numbers.
        folder: where the file is written.

    Returns:
        The message of the expected error; None without an error, or with another one.
    """
    path = folder / kind.name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(kind.make(chance))
    try:
        kind.open(path)
        print(f"{kind.name}: no error")
    except kind.error as error:
        return str(error)
    except Exception as error:  # the benchmark looks for unexpected errors
        print(f"{kind.name}: {type(error).__name__}: {error}")
    return None


def _to_parquet(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


def _make_table(chance: random.Random) -> pa.Table:
    rows = [
        {"utt_id": f"u{chance.random()}", "lang": "fr", "text": "oui", "audio": {"bytes": b"x", "path": None}}
        for _ in range(9)
    ]
    return pa.Table.from_pylist(rows, schema=UTTERANCE)


def _truncate(make: Callable[[random.Random], bytes]) -> Callable[[random.Random], bytes]:
    def truncate(chance: random.Random) -> bytes:
        content = make(chance)
        return content[: chance.randint(1, len(content) - 9)]

    return truncate


def _change_table(change: Callable[[pa.Table], pa.Table]) -> Callable[[random.Random], bytes]:
    return lambda chance: _to_parquet(change(_make_table(chance)))


def _make_text(text: str) -> Callable[[random.Random], bytes]:
    return lambda chance: text.replace("NUMBER", str(chance.randint(2, 99))).encode()


def _save_centers(centers: np.ndarray, **metadata: str) -> bytes:
    return save({"centers": centers}, metadata)


def _make_codebook(_: random.Random) -> bytes:
    return _save_centers(np.ones((9, 4), np.float32), model="m", layer="1")


def _make_trap(_: random.Random) -> bytes:
    return pickle.dumps(Trap(Path("unpickled")))


def _open_vocoder(path: Path) -> Any:
    (path.parent / "config.json").write_text(json.dumps(VOCODER))
    return CodeHiFiGAN.from_pretrained(path)


def _open_npy(path: Path) -> Any:
    path.with_suffix(".json").write_text(json.dumps({"model": "m", "layer": 1}))
    return Codebook.load(path)


def _make_objects(_: random.Random) -> bytes:
    sink = io.BytesIO()
    np.save(sink, np.array([Trap(Path("unpickled"))], object), allow_pickle=True)
    return sink.getvalue()


def _open_corpus(path: Path) -> Any:
    return open_corpus(str(path)).load_speech()


def _open_manifest(path: Path) -> Any:
    return DatasetDir(str(path.parent)).manifest()


KINDS = [
    Kind(
        "corpus/no_parquet.parquet", lambda chance: chance.randbytes(chance.randint(1, 999)), _open_corpus, CorpusError
    ),
    Kind("corpus/half.parquet", _truncate(lambda chance: _to_parquet(_make_table(chance))), _open_corpus, CorpusError),
    Kind(
        "corpus/no_ids.parquet", _change_table(lambda table: table.drop_columns(["utt_id"])), _open_corpus, CorpusError
    ),
    Kind(
        "corpus/no_audio.parquet", _change_table(lambda table: table.drop_columns(["audio"])), _open_corpus, CorpusError
    ),
    Kind(
        "corpus/no_lang.parquet", _change_table(lambda table: table.drop_columns(["lang"])), _open_corpus, CorpusError
    ),
    Kind("corpus/no_columns.tsv", _make_text("name\tfile\nNUMBER\ta.wav\n"), _open_corpus, CorpusError),
    Kind(
        "corpus/latin.tsv",
        lambda chance: "utt_id\tlang\tpath\té\n".encode("latin-1") + chance.randbytes(9),
        _open_corpus,
        CorpusError,
    ),
    Kind("recipes/unknown.yaml", _make_text("select: {dleta: 0.NUMBER}"), load, RecipeError),
    Kind("recipes/type.yaml", _make_text("translator: {n: two-NUMBER}"), load, RecipeError),
    Kind("recipes/broken.yaml", _make_text("select: {delta: [NUMBER"), load, RecipeError),
    Kind("recipes/code.yaml", _make_text("name: !!python/object/apply:os.getcwd []\nseed: NUMBER"), load, RecipeError),
    Kind("recipes/impossible.yaml", _make_text("translator: {top_p: NUMBER}"), load, RecipeError),
    Kind("half.safetensors", _truncate(_make_codebook), Codebook.load, WeightsError),
    Kind(
        "nan.safetensors",
        lambda _: _save_centers(np.full((9, 4), np.nan, np.float32), model="m", layer="1"),
        Codebook.load,
        WeightsError,
    ),
    Kind("nameless.safetensors", lambda _: _save_centers(np.ones((9, 4), np.float32)), Codebook.load, WeightsError),
    Kind("objects.npy", _make_objects, _open_npy, WeightsError),
    Kind("trap/g_0001", _make_trap, _open_vocoder, VocoderError),
    Kind("vocoder/model.safetensors", lambda chance: chance.randbytes(300), _open_vocoder, VocoderError),
    Kind(
        "dataset/_manifest.json",
        _truncate(lambda _: json.dumps({"rows": 9, "content": {}}).encode()),
        _open_manifest,
        StoreError,
    ),
]
