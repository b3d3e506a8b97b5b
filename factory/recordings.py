"""The recordings that utterances began as, by their ids."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as pads

from factory.corpora.audio import AudioError, read
from factory.corpus import holds_units, read_corpus
from factory.files import filesystem, parquet_files


def recordings(uri: str, ids: Collection[str]) -> dict[str, np.ndarray]:
    """Return the waves (16 kHz) of the utterances with these ids in the corpus at `uri`; what cannot be read is left out."""
    waves = {}
    for utt_id, audio in _audio(uri, list(ids)).items():
        try:
            waves[utt_id] = read(audio)
        except AudioError:
            continue
    return waves


def _audio(uri: str, ids: list[str]) -> dict[str, dict[str, Any]]:
    """Return the encoded audio of these ids; only matching rows of Parquet are read, other corpora go through their reader."""
    if uri.startswith("hf://") or not (files := parquet_files(*filesystem(uri))):
        return _through_reader(uri, ids)
    if holds_units(uri):
        return {}
    fs, _ = filesystem(uri)
    table = pads.dataset([file.path for file in files], filesystem=fs, format="parquet").to_table(
        columns=["utt_id", "audio"], filter=pads.field("utt_id").isin(ids)
    )
    return dict(zip(table["utt_id"].to_pylist(), table["audio"].to_pylist(), strict=True))


def _through_reader(uri: str, ids: list[str]) -> dict[str, dict[str, Any]]:
    from factory.passes.produce import limited

    return {row["utt_id"]: row["audio"] for row in limited(read_corpus(uri).rows, pa.array(ids)).iter_rows()}
