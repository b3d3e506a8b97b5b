"""What the writers of all formats share: sounds as files, JSON lines that every reader splits alike, ids and counts."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path

import soundfile

from factory.export.layout import split_rows
from factory.storage.names import file_name
from schemas.datasets import Row

_LINE_ENDS = {ord(end): f"\\u{ord(end):04x}" for end in "\x85\u2028\u2029"}
"""Characters that some readers take for the end of a line and that JSON does not escape, as JSON escapes."""


def write_sound(row: Row, name: str, folder: Path) -> Path | None:
    """Write one sound of a row and return its path; None if the row has none."""
    audio = row.get(f"{name}_audio")
    if audio is None:
        return None
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{file_name(row['pair_id'])}.{name}.flac"
    path.write_bytes(audio["bytes"])
    return path


def write_json_lines(path: Path, rows: Sequence[Row]) -> None:
    """Write a row per line."""
    lines = (json.dumps(row, ensure_ascii=False).translate(_LINE_ENDS) + "\n" for row in rows)
    path.write_text("".join(lines), "utf-8")


def ids_of(row: Row) -> Row:
    """Return the ids of the pair and of its utterance."""
    return {key: row[key] for key in ("pair_id", "utt_id")}


def count_splits(rows: Sequence[Row]) -> dict[str, int]:
    """Return the number of rows of each split."""
    return {split: len(members) for split, members in split_rows(rows).items()}


def count_frames(audio: Row) -> int:
    """Return the samples of a sound, `{bytes, path}`, at its own rate."""
    return int(soundfile.info(io.BytesIO(audio["bytes"])).frames)
