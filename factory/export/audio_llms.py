"""Writes pairs for toolkits that train audio language models: the source as a recording, the translations as text.

A pair whose translations have no text, or whose source has no audio, is left out and not counted.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from factory.export.layout import split_rows
from factory.export.writing import count_frames, count_splits, ids_of, write_json_lines, write_sound
from factory.models.instructions import ask_for_speech
from schemas.audio import SAMPLE_RATE
from schemas.datasets import Row

AUDIO = "<audio>"
"""Where the recording stands in a message; LLaMA-Factory and ms-swift count these and the paths of `audios`."""
_Line = Callable[[Row, Path], Row]
"""Returns the line of a pair; paths in it are relative to the folder."""


def write_llamafactory(rows: Sequence[Row], folder: Path) -> dict[str, int]:
    """Write LLaMA-Factory's ranking data in the sharegpt layout, and the `dataset_info.json` that names its files."""
    counts = _write_lines(rows, folder, _llamafactory_line)
    columns = {key: key for key in ("messages", "chosen", "rejected", "audios")}
    tags = {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant"}
    info = {
        f"roundtrip_{split}": {
            "file_name": f"{split}.jsonl",
            "formatting": "sharegpt",
            "ranking": True,
            "columns": columns,
            "tags": tags,
        }
        for split in counts
    }
    (folder / "dataset_info.json").write_text(json.dumps(info, indent=2) + "\n", "utf-8")
    return counts


def write_swift(rows: Sequence[Row], folder: Path) -> dict[str, int]:
    """Write ms-swift's preference data: the chosen answer in `messages`, the other one as `rejected_response`."""
    return _write_lines(rows, folder, _swift_line)


def write_nemo(rows: Sequence[Row], folder: Path) -> dict[str, int]:
    """Write NeMo's manifests of speech translation: `text` is the chosen translation, `rejected_text` the other one."""
    return _write_lines(rows, folder, _nemo_line)


def _write_lines(rows: Sequence[Row], folder: Path, make_line: _Line) -> dict[str, int]:
    usable = [row for row in rows if row["chosen_text"] and row["rejected_text"] and row.get("source_audio")]
    for split, members in split_rows(usable).items():
        write_json_lines(folder / f"{split}.jsonl", [make_line(row, folder) for row in members])
    return count_splits(usable)


def _llamafactory_line(row: Row, folder: Path) -> Row:
    sides = {side: {"role": "assistant", "content": row[f"{side}_text"]} for side in ("chosen", "rejected")}
    return {"messages": [_ask(row)], **sides, "audios": [_write_source(row, folder)], **ids_of(row)}


def _swift_line(row: Row, folder: Path) -> Row:
    messages = [_ask(row), {"role": "assistant", "content": row["chosen_text"]}]
    audios = {"audios": [_write_source(row, folder)], "margin": row["margin"]}
    return {"messages": messages, "rejected_response": row["rejected_text"], **audios, **ids_of(row)}


def _nemo_line(row: Row, folder: Path) -> Row:
    seconds = count_frames(row["source_audio"]) / SAMPLE_RATE
    return {
        "audio_filepath": _write_source(row, folder),
        "offset": 0.0,
        "duration": round(seconds, 4),
        "text": row["chosen_text"],
        "rejected_text": row["rejected_text"],
        "source_lang": row["src_lang"],
        "target_lang": row["tgt_lang"],
        "taskname": "ast",
        **ids_of(row),
    }


def _ask(row: Row) -> Row:
    return {"role": "user", "content": AUDIO + ask_for_speech(row["src_lang"], row["tgt_lang"])}


def _write_source(row: Row, folder: Path) -> str:
    path = write_sound(row, "source", folder / "audio")
    assert path is not None, "pairs without a source were left out"
    return str(path.relative_to(folder))
