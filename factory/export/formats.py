"""Pairs as other toolkits read them. Each writer fills a folder and returns how many rows each split has.

Files, and the ids in files whose cells end at a tab or a bar, have the name that `factory.storage.names.file_name` makes of the
pair's id. Every format but TRL's, which has no columns for ids, holds the true `pair_id` and `utt_id` as well.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import soundfile

from factory.export.layout import split_of
from factory.storage.names import file_name
from schemas.datasets import Row


def _splits(rows: Sequence[Row]) -> dict[str, list[Row]]:
    told = {split: [row for row in rows if split_of(row["utt_id"]) == split] for split in ("train", "test")}
    return {split: some for split, some in told.items() if some}


_LINE_ENDS = {ord(end): f"\\u{ord(end):04x}" for end in "\x85\u2028\u2029"}
"""What some readers take for the end of a line and JSON leaves as it is, as JSON's own escapes."""


def _jsonl(path: Path, rows: Sequence[Row]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False).translate(_LINE_ENDS) + "\n" for row in rows), "utf-8")


def _ids(row: Row) -> Row:
    return {key: row[key] for key in ("pair_id", "utt_id")}


def _audio(row: Row, name: str, folder: Path) -> Path | None:
    """Write one sound of a row into `folder` and return its path, None where there is none."""
    sound = row.get(f"{name}_audio")
    if sound is None:
        return None
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{file_name(row['pair_id'])}.{name}.flac"
    path.write_bytes(sound["bytes"])
    return path


def trl(rows: Sequence[Row], folder: Path) -> dict[str, int]:
    """`train.jsonl` and `test.jsonl` with just prompt, chosen and rejected: what DPOTrainer and CPOTrainer take."""
    for split, some in _splits(rows).items():
        _jsonl(folder / f"{split}.jsonl", [{key: row[key] for key in ("prompt", "chosen", "rejected")} for row in some])
    return _counts(rows)


def slamkit(rows: Sequence[Row], folder: Path) -> dict[str, int]:
    """SlamKit's preference features: `{prompt,chosen,rejected}_path`, units with durations of each, and beside them ids
    and texts.

    Units are deduplicated; how long each was is known for recordings only, so every duration is written as 1.
    """
    names = {"prompt": "source", "chosen": "chosen", "rejected": "rejected"}
    for split, some in _splits(rows).items():
        lines = []
        for row in some:
            paths = {key: _audio(row, name, folder / "audio") for key, name in names.items()}
            line: Row = _ids(row)
            line |= {f"{key}_path": str(path.relative_to(folder)) for key, path in paths.items() if path}
            line |= {
                key: {"units": row[f"{name}_units"], "duration": [1] * len(row[f"{name}_units"])}
                for key, name in names.items()
            }
            lines.append(line | {f"{key}_text": row[f"{name}_text"] for key, name in names.items()})
        _jsonl(folder / f"{split}.jsonl", lines)
    return _counts(rows)


def fairseq(rows: Sequence[Row], folder: Path) -> dict[str, int]:
    """fairseq's S2UT: `<split>.tsv` with source audio and target units, of the chosen and, as `<split>_rejected`, of the rejected side.

    Beside each, `.unit` holds `id|units` lines for the vocoder. Frames are samples of the source at 16 kHz, and units of the target.
    Such an id is the pair's file name; `ids.jsonl` says which pair and utterance it is. A pair without a source sound, whose
    language has no vocoder either, is left out and not counted: the format has no place for it.
    """
    rows = [row for row in rows if row.get("source_audio")]
    for split, some in _splits(rows).items():
        for side, stem in (("chosen", split), ("rejected", f"{split}_rejected")):
            table, units = ["id\tsrc_audio\tsrc_n_frames\ttgt_audio\ttgt_n_frames"], []
            for row in some:
                source, spoken = _audio(row, "source", folder / "audio"), " ".join(map(str, row[f"{side}_units"]))
                frames = soundfile.info(io.BytesIO(row["source_audio"]["bytes"])).frames
                name, place = file_name(row["pair_id"]), source.relative_to(folder) if source else ""
                cells = [name, place, frames, spoken, len(row[f"{side}_units"])]
                table.append("\t".join(map(str, cells)))
                units.append(f"{file_name(row['pair_id'])}|{spoken}")
            (folder / f"{stem}.tsv").write_text("\n".join(table) + "\n", "utf-8")
            (folder / f"{stem}.unit").write_text("\n".join(units) + "\n", "utf-8")
    _jsonl(folder / "ids.jsonl", [{"id": file_name(row["pair_id"]), **_ids(row)} for row in rows])
    return _counts(rows)


def audiofolder(rows: Sequence[Row], folder: Path) -> dict[str, int]:
    """`datasets`' audio folder: FLAC files and a `metadata.jsonl` that names three of them a row."""
    for split, some in _splits(rows).items():
        lines = []
        for row in some:
            paths = {name: _audio(row, name, folder / split) for name in ("source", "chosen", "rejected")}
            named = {f"{name}_file_name": str(path.relative_to(folder / split)) for name, path in paths.items() if path}
            keys = ("src_lang", "tgt_lang", "source_text", "chosen_text", "rejected_text", "metric", "margin")
            lines.append(named | _ids(row) | {key: row[key] for key in keys})
        _jsonl(folder / split / "metadata.jsonl", lines)
    return _counts(rows)


def _counts(rows: Sequence[Row]) -> dict[str, int]:
    return {split: len(some) for split, some in _splits(rows).items()}


FORMATS: dict[str, Callable[[Sequence[Row], Path], dict[str, int]]] = {
    "trl": trl,
    "slamkit": slamkit,
    "fairseq": fairseq,
    "audiofolder": audiofolder,
}
"""The writers by the name that `--format` takes; `parquet` is `layout.write_parquet`."""
NEEDS_AUDIO = ("parquet", "slamkit", "fairseq", "audiofolder")
