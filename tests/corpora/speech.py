"""Small corpora for tests: a tone as a recording, tables, tars, and what a corpus gives when it is read without Ray."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from factory.corpora.corpus import Corpus
from factory.corpora.marking import mark


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
    """Write a tar with these members in their order; a name that ends with `@` is a link."""
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


def rows(corpus: Corpus) -> dict[str, dict[str, Any]]:
    """Read a corpus in this process, as its workers would; return its rows by id."""
    parts = mark(corpus.shards).parts
    return {row["utt_id"]: row for part in parts for table in part.tables() for row in table.to_pylist()}
