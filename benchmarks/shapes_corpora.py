"""The corpora of benchmarks/shapes.py: the same six utterances in every format that the factory reads."""

from __future__ import annotations

import csv
import io
import itertools
import json
import tarfile
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from schemas.datasets import UTTERANCE, Row

ROOT = Path(__file__).resolve().parent.parent
PER_LANGUAGE = 3
"""Utterances per language."""


class Cell(NamedTuple):
    """A format of speech, with or without texts and references."""

    shape: str
    texts: bool
    references: bool

    @property
    def name(self) -> str:
        """The cell's name, as `table-text` or `tars-bare`."""
        columns = ["text"] * self.texts + ["reference"] * self.references
        return "-".join([self.shape, *(columns or ["bare"])])


def list_cells() -> list[Cell]:
    """Return all cells."""
    return [Cell(*cell) for cell in itertools.product(WRITERS, (False, True), (False, True))]


def write_corpus(cell: Cell, folder: Path) -> str:
    """Write the cell's corpus to a folder, and return its URI for a recipe."""
    folder.mkdir(parents=True, exist_ok=True)
    return WRITERS[cell.shape](read_utterances(cell), folder)


def read_utterances(cell: Cell) -> list[Row]:
    """Return the first utterances of each language, with the columns of the cell."""
    dropped = ["text"] * (not cell.texts) + ["reference"] * (not cell.references)
    files = [ROOT / f"assets/phrasebook/mono/{lang}.parquet" for lang in ("fr", "en")]
    rows = [row for file in files for row in pq.read_table(file).slice(0, PER_LANGUAGE).to_pylist()]
    return [row | dict.fromkeys(dropped) | {"utt_id": row["utt_id"].replace("/", "_")} for row in rows]


def _select(row: Row, *names: str) -> Row:
    """Return the columns that are not None."""
    return {name: row[name] for name in names if row[name] is not None}


def _write_sounds(rows: list[Row], folder: Path) -> list[str]:
    """Write the recordings as `LANG/NAME.opus`, and return their paths relative to the folder."""
    paths = [f"{row['lang']}/{row['utt_id']}.opus" for row in rows]
    for row, path in zip(rows, paths, strict=True):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(row["audio"]["bytes"])
    return paths


def _write_folder(rows: list[Row], folder: Path) -> str:
    """Write audio files with a transcript next to each; with references, write an audio folder with its metadata."""
    paths = _write_sounds(rows, folder)
    if any(row["reference"] for row in rows):
        lines = [
            {"file_name": path} | _select(row, "lang", "text", "reference")
            for row, path in zip(rows, paths, strict=True)
        ]
        (folder / "metadata.csv").write_text(_to_csv(lines, ","), "utf-8")
        return str(folder)
    for row, path in zip(rows, paths, strict=True):
        if row["text"] is not None:
            (folder / path).with_suffix(".txt").write_text(row["text"], "utf-8")
    return str(folder)


def _to_csv(lines: list[Row], delimiter: str) -> str:
    sink = io.StringIO()
    table = csv.DictWriter(sink, list(lines[0]), delimiter=delimiter, lineterminator="\n", quoting=csv.QUOTE_MINIMAL)
    table.writeheader()
    table.writerows(lines)
    return sink.getvalue()


def _write_table(rows: list[Row], folder: Path) -> str:
    paths = _write_sounds(rows, folder)
    lines = [
        {"path": path} | _select(row, "utt_id", "lang", "text", "reference")
        for row, path in zip(rows, paths, strict=True)
    ]
    (folder / "all.tsv").write_text(_to_csv(lines, "\t"), "utf-8")
    return str(folder / "all.tsv")


def _pack(rows: list[Row], path: Path) -> str:
    """Write one tar archive, and return its path."""
    with tarfile.open(path, "w") as archive:
        for row in rows:
            metadata = json.dumps(_select(row, "lang", "text", "reference")).encode()
            for suffix, content in (("opus", row["audio"]["bytes"]), ("json", metadata)):
                member = tarfile.TarInfo(f"{row['lang']}/{row['utt_id']}.{suffix}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    return str(path)


def _write_tar(rows: list[Row], folder: Path) -> str:
    return _pack(rows, folder / "one.tar")


def _write_tars(rows: list[Row], folder: Path) -> str:
    for number in range(2):
        _pack(rows[number::2], folder / f"{number:05d}.tar")
    return str(folder)


def _write_parquet(rows: list[Row], folder: Path) -> str:
    pq.write_table(pa.Table.from_pylist(rows, schema=UTTERANCE), folder / "all.parquet")
    return str(folder)


def _write_hub(rows: list[Row], folder: Path) -> str:
    """Write a dataset of the library `datasets`."""
    import datasets

    selected = [{"audio": row["audio"]} | _select(row, "utt_id", "lang", "text", "reference") for row in rows]
    dataset = datasets.Dataset.from_list(selected).cast_column("audio", datasets.Audio(decode=False))
    dataset.save_to_disk(folder / "set")
    return f"hf://{folder.absolute()}/set"


WRITERS = {
    "folder": _write_folder,
    "table": _write_table,
    "tar": _write_tar,
    "tars": _write_tars,
    "parquet": _write_parquet,
    "hub": _write_hub,
}
