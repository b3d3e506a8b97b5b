"""Corpora that name their recordings: a folder of audio files, and tables (TSV, CSV, JSON lines) beside them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import ClassVar

import pyarrow as pa
import pyarrow.fs as pafs

from factory.corpora.audio import AUDIO_SUFFIXES
from factory.corpora.base import AT_ONCE, STATED, CorpusError, Entry, entry, failed_row, in_batches
from factory.corpora.columns import Options
from factory.corpora.files import IN_PARALLEL, File, files_at, uri_of
from factory.corpora.layouts import Named, named_rows
from factory.corpora.tables import is_table
from factory.corpora.text import language, stem, suffix_of, transcript
from factory.storage.files import get
from schemas.datasets import Row


@dataclass(frozen=True)
class ListedShard:
    """Rows that are in memory, as a table of STATED; their audio is named by paths."""

    table: pa.Table

    reads_audio: ClassVar[bool] = False

    def entries(self) -> tuple[list[Entry], Counter[str]]:
        """Return the rows' entries; what is left out was counted when they were listed."""
        few = self.table.select(["utt_id", "lang", "text", "reference"])
        return [entry(row) for row in few.to_pylist()], Counter()

    def rows(self) -> Iterator[list[Row]]:
        """Yield the rows."""
        for batch in self.table.to_batches(AT_ONCE):
            yield batch.to_pylist()


def listed_shards(rows: Sequence[Row]) -> list[ListedShard]:
    """Return shards of `AT_ONCE` rows."""
    return [ListedShard(pa.Table.from_pylist(some, schema=STATED)) for some in in_batches(iter(rows))]


class Folder:
    """A folder of audio files: `LANG/NAME.wav`, the transcript beside it in `LANG/NAME.txt` where there is one."""

    def __init__(self, fs: pafs.FileSystem, root: str, uri: str) -> None:
        """`root` is the folder's path in `fs`, `uri` a URI of that file system."""
        self.fs, self.root, self.uri = fs, PurePosixPath(root), uri

    def rows(self, files: Sequence[File], options: Options) -> tuple[list[Row], Counter[str]]:
        """Return a row for each recording, and what else there is by reason."""
        texts = {stem(file.path): file.path for file in files if suffix_of(file.path) == ".txt"}
        sounds = [file.path for file in files if suffix_of(file.path) in AUDIO_SUFFIXES]
        with ThreadPoolExecutor(IN_PARALLEL) as threads:
            rows = list(threads.map(lambda sound: self._row(sound, texts.get(stem(sound)), options), sounds))
        alone = set(texts) - {stem(sound) for sound in sounds}
        left_out = Counter({"transcript without a recording": len(alone)} if alone else {})
        others = [file.path for file in files if suffix_of(file.path) not in (".txt", *AUDIO_SUFFIXES)]
        return rows, left_out + Counter(_other_reason(path) for path in others)

    def _row(self, sound: str, text: str | None, options: Options) -> Row:
        inside = PurePosixPath(sound).relative_to(self.root)
        lang = options.lang or (inside.parts[0] if len(inside.parts) > 1 else "")
        row: Row = {"utt_id": stem(str(inside)), "lang": language(lang), "text": None}
        told = transcript(get(self.fs, text), str(PurePosixPath(text).relative_to(self.root))) if text else {}
        return row | {"audio": {"path": uri_of(sound, self.uri), "bytes": None}} | told


class Tables:
    """Tables that name recordings on the same file system, by paths from the table's folder, or anywhere, by URIs."""

    def __init__(self, fs: pafs.FileSystem, uri: str) -> None:
        """`uri` is one of the file system `fs`."""
        self.fs, self.uri = fs, uri

    def rows(self, tables: Sequence[File], options: Options) -> tuple[list[Row], list[File]]:
        """Return the rows of the tables, and the recordings that they name and that are there.

        Raises CorpusError where none is there, and as `named_rows` does.
        """
        named = [one for table in tables for one in named_rows(table.path, get(self.fs, table.path), options)]
        there = self._there(named)
        paths = [one.paths[0] for one in named if one.paths and "status" not in one.row]
        if paths and not there and not any("://" in path for path in paths):
            hint = ": write paths with /" if "\\" in paths[0] else ""
            raise CorpusError(f"no recording that {tables[0].path} names is there; the first is {paths[0]}{hint}")
        rows = [self._row(one, there) for one in named]
        return rows, list(there.values())

    def _there(self, named: list[Named]) -> dict[str, File]:
        """Look up which of the paths that tables name are files."""
        return files_at(self.fs, list(dict.fromkeys(path for one in named for path in one.paths if "://" not in path)))

    def _row(self, named: Named, there: dict[str, File]) -> Row:
        if not named.paths or "status" in named.row:
            return named.row | {"audio": None}
        path = next((path for path in named.paths if path in there), named.paths[0])
        if "\\" in path and path not in there:
            written = path.rpartition("/")[2]
            return failed_row(
                named.row, f"missing_file: {named.where} names {written}, and no such file is there; write paths with /"
            )
        return named.row | {"audio": {"path": path if "://" in path else uri_of(path, self.uri), "bytes": None}}


def count_recordings(files: Sequence[File]) -> int:
    """Return how many files are recordings by their suffix."""
    return sum(suffix_of(file.path) in AUDIO_SUFFIXES for file in files)


def _other_reason(path: str) -> str:
    return f"{suffix_of(path)} table (name it as the corpus to read it)" if is_table(path) else suffix_reason(path)


def suffix_reason(path: str) -> str:
    """Return why a file that is neither recording nor transcript is left out."""
    suffix = suffix_of(path)
    return f"{suffix} files" if suffix else "files without a suffix"
