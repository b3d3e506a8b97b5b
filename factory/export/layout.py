"""The rows of an export, their features as `datasets` knows them, their splits, and the Parquet that holds them."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from factory.report.pairs import SIDES, ShownPair
from factory.storage.dataset import DatasetDir
from factory.storage.names import file_name
from schemas.audio import SAMPLE_RATE
from schemas.datasets import OK, SCORES, Row

if TYPE_CHECKING:
    import datasets


HELD_OUT = 0.05
"""Share of the utterances whose pairs are the split `test`, by a hash of their ids: a pair never moves between rounds."""
PER_FILE = 2_000
"""Most rows in a Parquet file: some 200 MB of short utterances with their sounds."""


def split_of(utt_id: str) -> str:
    """Return `train` or `test`; both directions and all rounds of an utterance fall into the same split."""
    return "test" if zlib.crc32(f"split {utt_id}".encode()) / 2**32 < HELD_OUT else "train"


def features(audio: bool) -> datasets.Features:
    """Return the columns of an export: TRL's three first, then texts, units, scores and, with `audio`, the sounds."""
    from datasets import Audio, Features, List, Value

    text, scores = Value("string"), {field.name: Value("float64") for field in SCORES}
    columns: Row = dict.fromkeys(("prompt", "chosen", "rejected", "pair_id", "utt_id", "src_lang", "tgt_lang"), text)
    columns |= dict.fromkeys(
        ("source_text", "chosen_text", "rejected_text", "chosen_back_text", "rejected_back_text"), text
    )
    columns |= {f"{name}_units": List(Value("int32")) for name in ("source", "chosen", "rejected")}
    columns |= {"chosen_scores": scores, "rejected_scores": scores, "metric": text, "margin": Value("float64")}
    if audio:
        columns |= {f"{name}_audio": Audio(sampling_rate=SAMPLE_RATE) for name in ("source", "chosen", "rejected")}
    return Features(columns)


def export_rows(pairs: DatasetDir, shown: Sequence[ShownPair], sounds: DatasetDir | None) -> Iterator[Row]:
    """Yield a row of an export for every pair, in the order of their ids; `sounds` of the same pairs are joined by pair_id."""
    strings = {row["pair_id"]: row for row in pairs.rows(["pair_id", "prompt", "chosen", "rejected"], OK).to_pylist()}
    places = _places(sounds) if sounds else {}
    for row in sorted(shown, key=lambda row: row["pair_id"]):
        yield strings[row["pair_id"]] | _told(row) | _sounds(row["pair_id"], places)


def _told(row: ShownPair) -> Row:
    told: Row = {"utt_id": row["utt_id"], "src_lang": row["src_lang"], "tgt_lang": row["tgt_lang"]}
    told |= {"metric": row["metric"], "margin": row["margin"]}
    told |= {"source_text": row["source"]["text"], "source_units": row["source"]["units"]}
    for side in SIDES:
        given = row[side]
        told |= {
            f"{side}_text": given["text"],
            f"{side}_back_text": given["back_translation"],
            f"{side}_units": given["units"] or [],
        }
        told[f"{side}_scores"] = {field.name: given["scores"].get(field.name) for field in SCORES}
    return told


def _places(sounds: DatasetDir) -> dict[str, tuple[pa.Table, int]]:
    table = sounds.rows()
    return {pair_id: (table, place) for place, pair_id in enumerate(table["pair_id"].to_pylist())}


def _sounds(pair_id: str, places: dict[str, tuple[pa.Table, int]]) -> Row:
    """Return the audio columns of a pair, each as `{bytes, path}`."""
    if pair_id not in places:
        return {}
    table, place = places[pair_id]
    blobs = {name: table[name][place].as_py() for name in table.column_names if name.endswith("_audio")}
    paths = {name: f"{file_name(pair_id)}.{name.removesuffix('_audio')}.flac" for name in blobs}
    return {name: {"bytes": blob, "path": paths[name]} if blob else None for name, blob in blobs.items()}


def write_parquet(rows: Sequence[Row], folder: Path, audio: bool) -> dict[str, Row]:
    """Write the rows as `train-00000-of-0000N.parquet` and `test-...` in `folder`; return rows and bytes of each split that has any."""
    told = {}
    schema = features(audio).arrow_schema
    folder.mkdir(parents=True)
    for split in ("train", "test"):
        some = [row for row in rows if split_of(row["utt_id"]) == split]
        files = -(-len(some) // PER_FILE)
        size = 0
        for number in range(files):
            table = pa.Table.from_pylist(some[number * PER_FILE : (number + 1) * PER_FILE], schema=schema)
            pq.write_table(
                table, folder / f"{split}-{number:05d}-of-{files:05d}.parquet", compression="zstd", row_group_size=100
            )
            size += table.nbytes
        if some:
            told[split] = {"num_examples": len(some), "num_bytes": size}
    return told
