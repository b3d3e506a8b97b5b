"""A corpus: speech as people have it, read through one object, whatever names it and whatever reads it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Collection, Sequence
from functools import cached_property
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from factory.corpora.audio import read
from factory.corpora.base import CorpusError, Kind, Shard, audio_of
from factory.corpora.columns import Options
from factory.corpora.decode import AudioError
from factory.corpora.files import File, Files, stamps
from factory.corpora.hub import HubShard
from factory.corpora.listed import Folder, ListedShard, Tables, count_recordings, listed_shards
from factory.corpora.marking import Marked, mark
from factory.corpora.parquet import ParquetShard
from factory.corpora.tar import TableTar, TarShard, has_table
from factory.storage.manifest import StoreError
from schemas.fingerprint import json_digest

if TYPE_CHECKING:
    import ray.data


class Speech(NamedTuple):
    """What a corpus holds: its rows as a streaming dataset (columns of STATED), their ids, how many are of each kind.

    `digest` changes with what is in it; `left_out` counts by reason what is passed over.
    """

    rows: ray.data.Dataset
    ids: list[str]
    kinds: Counter[Kind]
    digest: str
    left_out: Counter[str]


class Corpus(ABC):
    """Speech at `uri`. Opening lists files (of tables and folders nothing more); `speech` and `recordings` read."""

    def __init__(self, uri: str, options: Options, fs: pafs.FileSystem, root: str, files: Files) -> None:
        """`root` is the corpus' folder or file in its file system, `files` what it is made of and what is passed over."""
        self.uri, self.options, self.fs, self.root = uri, options, fs, root
        self.files, self.left_out, self.beside = files.found, files.left_out, files.beside

    @property
    def size(self) -> int | None:
        """How many rows it has, where that is known without reading recordings; else None."""
        return None

    @property
    def holds_units(self) -> bool:
        """Whether it is units already (rows of PAIRED), and no speech."""
        return False

    @cached_property
    @abstractmethod
    def shards(self) -> Sequence[Shard]:
        """The parts that workers read. Raises CorpusError where they cannot be."""

    @property
    def stamps(self) -> object:
        """What tells it from a changed corpus with the same ids."""
        return stamps(self.fs, self.files)

    def leave_out(self, named: Collection[str]) -> None:
        """Count the recordings of the corpus that no row names."""
        unnamed = {file.path for file in self.beside}.difference(named)
        self.left_out = self.left_out + Counter({"recording that no row names": len(unnamed)})

    def speech(self) -> Speech:
        """List the rows and return them as a dataset; rows with one utt_id are told apart (`factory.corpora.marking`).

        Raises CorpusError where the corpus cannot be read, or has no rows.
        """
        marked: Marked = mark(self.shards)
        if not marked.ids:
            raise CorpusError(f"{self.uri} holds no rows")
        stated = json_digest([marked.ids, self.stamps, self.options.lang, self.options.text])
        return Speech(marked.dataset(), marked.ids, marked.kinds, stated, self.left_out + marked.left_out)

    def recordings(self, ids: Collection[str]) -> dict[str, np.ndarray]:
        """Return the waves (float32, 16 kHz) of the utterances with these ids; what cannot be read is left out.

        Takes no Ray.
        """
        waves = {}
        for utt_id, audio in self._audio(set(ids)).items():
            try:
                waves[utt_id] = read(audio)
            except (AudioError, StoreError):
                continue
        return waves

    def _audio(self, ids: set[str]) -> dict[str, dict[str, object]]:
        found: dict[str, dict[str, object]] = {}
        for shard in self.shards:
            left = ids - found.keys()
            if not left:
                break
            found |= shard.find(left) if isinstance(shard, ParquetShard) else audio_of(shard, left)
        return found


class ParquetCorpus(Corpus):
    """Parquet files: rows of UTTERANCE, or units already."""

    @property
    def size(self) -> int:
        """The rows that the files' footers count."""
        return sum(self._footer(file).num_rows for file in self.files)

    @property
    def holds_units(self) -> bool:
        """Whether the first file has the columns of PAIRED."""
        return "src_units" in self._footer(self.files[0]).schema.to_arrow_schema().names

    @cached_property
    def shards(self) -> list[ParquetShard]:
        """A shard a file."""
        root = str(PurePosixPath(self.root).parent) if self.files[0].path == self.root else self.root
        shards = [ParquetShard(self.uri, file.path, root, self.options) for file in self.files]
        if self.beside:
            self.leave_out({path for shard in shards for path in shard.paths()})
        return shards

    def recordings(self, ids: Collection[str]) -> dict[str, np.ndarray]:
        """Return the waves of these ids: none where the corpus is units already."""
        return {} if self.holds_units else super().recordings(ids)

    def _footer(self, file: File) -> pq.FileMetaData:
        try:
            with self.fs.open_input_file(file.path) as stream:
                return pq.ParquetFile(stream).metadata
        except (pa.ArrowException, OSError) as error:
            raise CorpusError(f"{file.path} is no complete Parquet file: {error}") from error


class TableCorpus(Corpus):
    """Tables that name recordings."""

    @property
    def size(self) -> int:
        """The lines of the tables."""
        return sum(shard.table.num_rows for shard in self.shards)

    @cached_property
    def shards(self) -> list[ListedShard]:
        """Shards of the tables' lines."""
        rows, self._recordings = Tables(self.fs, self.uri).rows(self.files, self.options)
        self.leave_out({file.path for file in self._recordings})
        return listed_shards(rows)

    @property
    def stamps(self) -> object:
        """The tables, and the recordings that they name on the same file system."""
        return stamps(self.fs, [*self.files, *self._recordings])


class FolderCorpus(Corpus):
    """A folder of audio files."""

    @property
    def size(self) -> int:
        """The files that are recordings by their suffix."""
        return count_recordings(self.files)

    @cached_property
    def shards(self) -> list[ListedShard]:
        """Shards of the recordings."""
        rows, others = Folder(self.fs, self.root, self.uri).rows(self.files, self.options)
        self.left_out = self.left_out + others
        return listed_shards(rows)


class TarCorpus(Corpus):
    """Tar shards in WebDataset's layout, or archives of public corpora."""

    @cached_property
    def shards(self) -> list[TarShard | TableTar]:
        """A shard an archive."""
        return [self._shard(file.path) for file in self.files]

    def _shard(self, path: str) -> TarShard | TableTar:
        if has_table(self.uri, path):
            return TableTar(self.uri, path, self.options)
        inside = path.removeprefix(self.root).lstrip("/")
        return TarShard(self.uri, path, inside.partition("/")[0] if "/" in inside else "", self.options)


class HubCorpus(Corpus):
    """A Hugging Face dataset, on the Hub or in a folder on this disk (then `files` are those of the folder)."""

    @cached_property
    def shards(self) -> list[HubShard]:
        """The parts that the dataset comes in."""
        return self._whole.shards()

    @property
    def stamps(self) -> object:
        """The commit on the Hub; of a folder its files."""
        return self._whole.digest or stamps(self.fs, self.files)

    @property
    def _whole(self) -> HubShard:
        return HubShard(self.root, self.options)
