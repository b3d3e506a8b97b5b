"""Writes pairs in the formats of other toolkits. Each writer fills a folder and returns the rows of each split.

Sounds are named by `factory.storage.names.file_name` of the pair's id, and so are rows of fairseq's tables, whose cells
cannot hold a tab or a `|`. All formats but TRL's, which has no such columns, also hold the true `pair_id` and `utt_id`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from factory.export.audio_llms import write_llamafactory, write_nemo, write_swift
from factory.export.layout import SOUNDS, split_rows
from factory.export.versa import write_versa
from factory.export.writing import count_frames, count_splits, ids_of, write_json_lines, write_sound
from factory.storage.names import file_name
from schemas.datasets import Row

FRAMES_PER_S = 50
"""Frames of units and words per second."""


def write_trl(rows: Sequence[Row], folder: Path) -> dict[str, int]:
    """Write `train.jsonl` and `test.jsonl` with prompt, chosen and rejected, for TRL's DPOTrainer and CPOTrainer."""
    for split, members in split_rows(rows).items():
        lines = [{key: row[key] for key in ("prompt", "chosen", "rejected")} for row in members]
        write_json_lines(folder / f"{split}.jsonl", lines)
    return count_splits(rows)


def write_slamkit(rows: Sequence[Row], folder: Path) -> dict[str, int]:
    """Write SlamKit's preference features: `{prompt,chosen,rejected}_path`, their units with durations, ids and texts.

    Units are deduplicated. Their durations are only known for recordings, so that every duration is written as 1.
    """
    names = {"prompt": "source", "chosen": "chosen", "rejected": "rejected"}
    for split, members in split_rows(rows).items():
        lines = []
        for row in members:
            line = ids_of(row)
            for key, name in names.items():
                units, path = row[f"{name}_units"], write_sound(row, name, folder / "audio")
                line |= {f"{key}_path": str(path.relative_to(folder))} if path else {}
                line |= {key: {"units": units, "duration": [1] * len(units)}, f"{key}_text": row[f"{name}_text"]}
            lines.append(line)
        write_json_lines(folder / f"{split}.jsonl", lines)
    return count_splits(rows)


def write_words(rows: Sequence[Row], path: Path) -> int:
    """Write speech for SlamKit's interleaving of text and units, and return the number of utterances.

    A line has `file_name` (the id of the utterance), `units`, `duration` (in frames of 20 ms) and `aligned_text`:
    `[[word, start, end], ...]` with times in seconds. SlamKit joins the words without spaces, so that a space is part
    of every word but the first. Utterances without words are left out.

    Args:
        rows: rows of PAIRED; an utterance that is the source of several rows is written once.
        path: the file of JSON lines.
    """
    lines = {}
    for row in rows:
        if row.get("src_words"):
            lang, direction = row["src_lang"], f"/{row['src_lang']}-{row['tgt_lang']}"
            name = f"{row['pair_id'].removesuffix(direction)}/{lang}"
            aligned = [
                [" " * (index > 0) + word["text"], word["start"] / FRAMES_PER_S, word["end"] / FRAMES_PER_S]
                for index, word in enumerate(row["src_words"])
            ]
            units = {"units": row["src_units"], "duration": row["src_durations"]}
            lines[name] = {"file_name": name, "lang": lang, **units, "aligned_text": aligned}
    write_json_lines(path, list(lines.values()))
    return len(lines)


def write_fairseq(rows: Sequence[Row], folder: Path) -> dict[str, int]:
    """Write fairseq's S2UT tables: SPLIT.tsv with source audio and target units of the chosen side, SPLIT_rejected.tsv.

    Next to each is a `.unit` file with lines `id|units` for the vocoder. Frames are samples of the source at 16 kHz,
    and units of the target. `ids.jsonl` gives the pair and the utterance of each id. A pair without source audio (no
    recording and no vocoder) is left out and not counted.
    """
    rows = [row for row in rows if row.get("source_audio")]
    for split, members in split_rows(rows).items():
        _write_fairseq_table(members, folder, split, "chosen")
        _write_fairseq_table(members, folder, f"{split}_rejected", "rejected")
    write_json_lines(folder / "ids.jsonl", [{"id": file_name(row["pair_id"]), **ids_of(row)} for row in rows])
    return count_splits(rows)


def _write_fairseq_table(rows: Sequence[Row], folder: Path, stem: str, side: Literal["chosen", "rejected"]) -> None:
    table, lines = ["id\tsrc_audio\tsrc_n_frames\ttgt_audio\ttgt_n_frames"], []
    for row in rows:
        name, units = file_name(row["pair_id"]), row[f"{side}_units"]
        source = write_sound(row, "source", folder / "audio")
        path = source.relative_to(folder) if source else ""
        frames = count_frames(row["source_audio"])
        text = " ".join(map(str, units))
        table.append(f"{name}\t{path}\t{frames}\t{text}\t{len(units)}")
        lines.append(f"{name}|{text}")
    (folder / f"{stem}.tsv").write_text("\n".join(table) + "\n", "utf-8")
    (folder / f"{stem}.unit").write_text("\n".join(lines) + "\n", "utf-8")


def write_audiofolder(rows: Sequence[Row], folder: Path) -> dict[str, int]:
    """Write the audio folder of `datasets`: FLAC files, and `metadata.jsonl` that names three of them per row."""
    keys = ["src_lang", "tgt_lang", "metric", "margin", *(f"{name}_text" for name in SOUNDS)]
    keys += ["chosen_logprob", "rejected_logprob"]
    for split, members in split_rows(rows).items():
        lines = []
        for row in members:
            paths = {name: write_sound(row, name, folder / split) for name in SOUNDS}
            files = {f"{name}_file_name": path.name for name, path in paths.items() if path}
            lines.append(files | ids_of(row) | {key: row[key] for key in keys})
        write_json_lines(folder / split / "metadata.jsonl", lines)
    return count_splits(rows)


FORMATS: dict[str, Callable[[Sequence[Row], Path], dict[str, int]]] = {
    "trl": write_trl,
    "slamkit": write_slamkit,
    "fairseq": write_fairseq,
    "audiofolder": write_audiofolder,
    "llamafactory": write_llamafactory,
    "ms-swift": write_swift,
    "nemo": write_nemo,
    "versa": write_versa,
}
"""The writers by the name that `--format` takes; `parquet` is `factory.export.layout.write_parquet`."""
WORDS = "words.jsonl"
"""The file of the paired speech of round 0 with its words."""
NEEDS_AUDIO = ("parquet", *(name for name in FORMATS if name != "trl"))
