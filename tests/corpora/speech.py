"""Small corpora for tests: a tone as a recording, folders, tars, and the rows of a corpus without Ray."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile

from factory.corpora.corpus import Corpus
from factory.corpora.files import summarise_left_out
from factory.corpora.marking import mark_rows
from factory.corpora.opening import open_corpus
from schemas.datasets import Row


def tone(seconds: float = 1.0, format: str = "WAV") -> bytes:
    """Return a recording of a tone at 16 kHz."""
    sink = io.BytesIO()
    soundfile.write(sink, np.sin(np.arange(int(16_000 * seconds)) / 20).astype(np.float32) * 0.3, 16_000, format=format)
    return sink.getvalue()


def put(path: Path, content: bytes | str) -> Path:
    """Write a file and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def shard(path: Path, members: dict[str, bytes | str]) -> Path:
    """Write a tar with these members in order; a name that ends with `@` is a link."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz" if path.suffix in (".gz", ".tgz") else "w") as archive:
        for name, content in members.items():
            content = content.encode() if isinstance(content, str) else content
            member = tarfile.TarInfo(name.removesuffix("@"))
            member.size = len(content)
            if name.endswith("@"):
                member.type, member.linkname, member.size = tarfile.SYMTYPE, content.decode(), 0
            archive.addfile(member, io.BytesIO(content))
    return path


def pack(folder: Path, out: Path, inside: str) -> Path:
    """Pack a folder as public corpora are packed: clips before the tables, everything in the folder `inside`."""
    files = [file for file in folder.rglob("*.*") if file.is_file()]
    ordered = sorted(files, key=lambda file: (file.suffix == ".tsv", file))
    return shard(out, {f"{inside}{file.relative_to(folder).as_posix()}": file.read_bytes() for file in ordered})


def write_parquet(folder: Path, columns: dict[str, Any]) -> str:
    """Write a table as `all.parquet` and return its path."""
    pq.write_table(pa.table(columns), folder / "all.parquet")
    return str(folder / "all.parquet")


def rows(corpus: Corpus) -> dict[str, Row]:
    """Read a corpus in this process, as its workers would; return its rows by id."""
    parts = mark_rows(corpus.shards).parts
    return {row["utt_id"]: row for part in parts for table in part.read_tables() for row in table.to_pylist()}


def left_out(uri: str) -> str:
    """Return the summary of the files that a corpus leaves out."""
    corpus = open_corpus(uri)
    marked = mark_rows(corpus.shards)
    return summarise_left_out(corpus.left_out + marked.left_out)
