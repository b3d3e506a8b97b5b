"""The rows of an export, their columns, their splits, and the Parquet files that hold them."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from factory.export.base import SplitSize
from factory.report.pairs import SIDES, ShownPair
from factory.storage.dataset import DatasetDir
from factory.storage.names import file_name
from schemas.audio import SAMPLE_RATE
from schemas.datasets import OK, SCORES, Row

if TYPE_CHECKING:
    import datasets


TEST_SHARE = 0.05
"""Share of the utterances in the split `test`, by a hash of their ids: a pair has the same split in all rounds."""
FILE_ROWS = 2_000
"""Most rows in a Parquet file: about 200 MB of short utterances with audio."""
SOUNDS = ("source", "chosen", "rejected")


def choose_split(utt_id: str) -> str:
    """Return `train` or `test`: the same for both directions and all rounds of an utterance."""
    return "test" if zlib.crc32(f"split {utt_id}".encode()) / 2**32 < TEST_SHARE else "train"


def split_rows(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Return the rows of each split that has any."""
    splits = {name: [row for row in rows if choose_split(row["utt_id"]) == name] for name in ("train", "test")}
    return {name: members for name, members in splits.items() if members}


def make_features(audio: bool, versa: Sequence[str] = ()) -> datasets.Features:
    """Return the columns of an export: TRL's three first, then texts, units, scores and, with `audio`, the sounds.

    `versa` names the scores of VERSA that a round keeps; without any there are no such columns.
    """
    from datasets import Audio, Features, List, Value

    text, scores = Value("string"), {field.name: Value("float64") for field in SCORES}
    names = ["prompt", "chosen", "rejected", "pair_id", "utt_id", "src_lang", "tgt_lang"]
    names += ["source_text", "chosen_text", "rejected_text", "chosen_back_translation", "rejected_back_translation"]
    names += ["chosen_source_text", "rejected_source_text"]
    columns: Row = dict.fromkeys(names, text)
    columns |= {f"{name}_units": List(Value("int32")) for name in SOUNDS}
    columns |= {"chosen_scores": scores, "rejected_scores": scores, "metric": text, "margin": Value("float64")}
    columns |= dict.fromkeys(("chosen_logprob", "rejected_logprob"), Value("float64"))
    if versa:
        columns |= {f"{side}_versa": dict.fromkeys(versa, Value("float64")) for side in SIDES}
    if audio:
        columns |= {f"{name}_audio": Audio(sampling_rate=SAMPLE_RATE) for name in SOUNDS}
    return Features(columns)


def make_rows(pairs: DatasetDir, shown: Sequence[ShownPair], sounds: DatasetDir | None) -> Iterator[Row]:
    """Yield the rows of an export in the order of the pair ids.

    Args:
        pairs: the dataset of PAIR.
        shown: the pairs to export.
        sounds: the sounds of the pairs (PAIR_SOUNDS); None for an export without audio.
    """
    sequences = {row["pair_id"]: row for row in pairs.rows(["pair_id", "prompt", "chosen", "rejected"], OK).to_pylist()}
    table = sounds.rows() if sounds else None
    indices = {pair_id: index for index, pair_id in enumerate(table["pair_id"].to_pylist())} if table else {}
    for pair in sorted(shown, key=lambda pair: pair["pair_id"]):
        row = sequences[pair["pair_id"]] | _make_row(pair)
        if table is not None and (index := indices.get(pair["pair_id"])) is not None:
            row |= _make_audio(table, index)
        yield row


def _make_row(pair: ShownPair) -> Row:
    row: Row = {"utt_id": pair["utt_id"], "src_lang": pair["src_lang"], "tgt_lang": pair["tgt_lang"]}
    row |= {"metric": pair["metric"], "margin": pair["margin"]}
    row |= {"source_text": pair["source"]["text"], "source_units": pair["source"]["units"]}
    for side in SIDES:
        candidate, scores = pair[side], pair[side].get("scores", {})
        row[f"{side}_text"] = candidate["text"]
        row[f"{side}_back_translation"] = candidate["back_translation"]
        row[f"{side}_source_text"] = candidate.get("source_text")
        row[f"{side}_units"] = candidate["units"] or []
        row[f"{side}_logprob"] = candidate["logprob"]
        row[f"{side}_scores"] = {field.name: scores.get(field.name) for field in SCORES}
    return row


def _make_audio(table: pa.Table, index: int) -> Row:
    """Return the audio columns of a pair, `{bytes, path}` each; the audio of one pair only leaves Arrow's memory."""
    name, audio = file_name(table["pair_id"][index].as_py()), Row()
    for sound in SOUNDS:
        content = table[f"{sound}_audio"][index].as_py()
        audio[f"{sound}_audio"] = {"bytes": content, "path": f"{name}.{sound}.flac"} if content else None
    return audio


def write_parquet(rows: Sequence[Row], folder: Path, audio: bool, versa: Sequence[str] = ()) -> dict[str, SplitSize]:
    """Write `train-00000-of-0000N.parquet` and `test-...`; return the size of each split that has rows.

    Args:
        rows: the rows of the export.
        folder: the folder to make.
        audio: whether the rows have audio.
        versa: the names of VERSA's scores in the rows.
    """
    sizes: dict[str, SplitSize] = {}
    schema = make_features(audio, versa).arrow_schema
    folder.mkdir(parents=True)
    for split, members in split_rows(rows).items():
        count, size = -(-len(members) // FILE_ROWS), 0
        for number in range(count):
            table = pa.Table.from_pylist(members[number * FILE_ROWS : (number + 1) * FILE_ROWS], schema=schema)
            file = folder / f"{split}-{number:05d}-of-{count:05d}.parquet"
            pq.write_table(table, file, compression="zstd", row_group_size=100)
            size += table.nbytes
        sizes[split] = {"num_examples": len(members), "num_bytes": size}
    return sizes
