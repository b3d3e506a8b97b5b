"""Corpora that name their recordings: a folder of audio files, and tables (TSV, CSV, JSON lines)."""

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
from factory.corpora.base import (
    BATCH_ROWS,
    CORPUS_ROW,
    CorpusError,
    Entry,
    Shard,
    make_entry,
    mark_failed,
    split_into_batches,
)
from factory.corpora.columns import Options
from factory.corpora.files import THREADS, File, find_files, make_uri
from factory.corpora.layouts import TableRow, read_table_rows
from factory.corpora.tables import is_table
from factory.corpora.text import get_suffix, normalise_language, read_transcript, remove_suffix
from factory.storage.files import get
from schemas.datasets import Row


@dataclass(frozen=True)
class ListedShard(Shard):
    """Rows that are in memory, as a table of CORPUS_ROW; their audio is named by paths."""

    table: pa.Table

    reads_audio: ClassVar[bool] = False

    def list_entries(self) -> tuple[list[Entry], Counter[str]]:
        """Return the entries of the rows; the files that are left out were counted when the rows were listed."""
        columns = self.table.select(["utt_id", "lang", "text", "reference"])
        return [make_entry(row) for row in columns.to_pylist()], Counter()

    def read_rows(self) -> Iterator[list[Row]]:
        """Yield the rows in batches."""
        for batch in self.table.to_batches(BATCH_ROWS):
            yield batch.to_pylist()


def make_listed_shards(rows: Sequence[Row]) -> list[ListedShard]:
    """Return shards of at most `BATCH_ROWS` rows."""
    batches = split_into_batches(iter(rows))
    return [ListedShard(pa.Table.from_pylist(batch, schema=CORPUS_ROW)) for batch in batches]


class Folder:
    """A folder of audio files: `LANG/NAME.wav`, with an optional transcript next to it in `LANG/NAME.txt`."""

    def __init__(self, fs: pafs.FileSystem, root: str, uri: str) -> None:
        """Take the path `root` of the folder in `fs`, and a URI of that file system."""
        self.fs, self.root, self.uri = fs, PurePosixPath(root), uri

    def read_rows(self, files: Sequence[File], options: Options) -> tuple[list[Row], Counter[str]]:
        """Return a row for each recording, and how many other files there are by reason."""
        texts = {remove_suffix(file.path): file.path for file in files if get_suffix(file.path) == ".txt"}
        sounds = [file.path for file in files if get_suffix(file.path) in AUDIO_SUFFIXES]
        with ThreadPoolExecutor(THREADS) as threads:
            rows = list(threads.map(lambda sound: self._row(sound, texts.get(remove_suffix(sound)), options), sounds))
        orphans = set(texts) - {remove_suffix(sound) for sound in sounds}
        left_out = Counter({"transcript without a recording": len(orphans)} if orphans else {})
        others = [file.path for file in files if get_suffix(file.path) not in (".txt", *AUDIO_SUFFIXES)]
        return rows, left_out + Counter(_explain_other_file(path) for path in others)

    def _row(self, sound: str, text: str | None, options: Options) -> Row:
        inside = PurePosixPath(sound).relative_to(self.root)
        lang = options.lang or (inside.parts[0] if len(inside.parts) > 1 else "")
        row: Row = {"utt_id": remove_suffix(str(inside)), "lang": normalise_language(lang), "text": None}
        row |= {"audio": {"path": make_uri(sound, self.uri), "bytes": None}}
        if text is None:
            return row
        return row | read_transcript(get(self.fs, text), str(PurePosixPath(text).relative_to(self.root)))


class Tables:
    """Tables that name recordings: by paths relative to the table in the same file system, or by URIs."""

    def __init__(self, fs: pafs.FileSystem, uri: str) -> None:
        """Take a file system and one of its URIs."""
        self.fs, self.uri = fs, uri

    def read_rows(self, tables: Sequence[File], options: Options) -> tuple[list[Row], list[File]]:
        """Return the rows of the tables, and the recordings that they name and that exist.

        Raises CorpusError if none exists, and if a table cannot be read.
        """
        rows = [row for table in tables for row in read_table_rows(table.path, get(self.fs, table.path), options)]
        recordings = self._find_recordings(rows)
        paths = [row.paths[0] for row in rows if row.paths and "status" not in row.row]
        if paths and not recordings and not any("://" in path for path in paths):
            hint = ": write paths with /" if "\\" in paths[0] else ""
            raise CorpusError(f"no recording that {tables[0].path} names exists; the first is {paths[0]}{hint}")
        return [self._add_audio(row, recordings) for row in rows], list(recordings.values())

    def _find_recordings(self, rows: list[TableRow]) -> dict[str, File]:
        paths = dict.fromkeys(path for row in rows for path in row.paths if "://" not in path)
        return find_files(self.fs, list(paths))

    def _add_audio(self, table_row: TableRow, recordings: dict[str, File]) -> Row:
        row, paths = table_row.row, table_row.paths
        if not paths or "status" in row:
            return row | {"audio": None}
        path = next((path for path in paths if path in recordings), paths[0])
        if "\\" in path and path not in recordings:
            name = path.rpartition("/")[2]
            return mark_failed(row, f"missing_file: {table_row.source} names {name}, no such file; write paths with /")
        return row | {"audio": {"path": path if "://" in path else make_uri(path, self.uri), "bytes": None}}


def count_recordings(files: Sequence[File]) -> int:
    """Return how many files are recordings by their suffix."""
    return sum(get_suffix(file.path) in AUDIO_SUFFIXES for file in files)


def _explain_other_file(path: str) -> str:
    return f"{get_suffix(path)} table (name it as the corpus to read it)" if is_table(path) else name_suffix(path)


def name_suffix(path: str) -> str:
    """Return the reason why a file that is neither recording nor transcript is left out: `.md files`."""
    suffix = get_suffix(path)
    return f"{suffix} files" if suffix else "files without a suffix"
