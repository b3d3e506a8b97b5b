"""A corpus: one object through which speech is read, whatever its format."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Collection, Sequence
from functools import cached_property, partial
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from factory.corpora.audio import read
from factory.corpora.base import Audio, AudioError, CorpusError, Kind, Shard
from factory.corpora.columns import Options
from factory.corpora.files import File, Files, identify_files
from factory.corpora.hub import HubShard
from factory.corpora.listed import Folder, ListedShard, Tables, count_recordings, make_listed_shards
from factory.corpora.marking import mark_rows
from factory.corpora.parquet import ParquetShard
from factory.corpora.tar import TableTar, TarShard, has_table
from factory.runtime.light_tasks import light_task
from factory.storage.manifest import StoreError
from schemas.fingerprint import json_digest

if TYPE_CHECKING:
    import ray.data


class Speech(NamedTuple):
    """The rows of a corpus."""

    rows: ray.data.Dataset
    """The rows as a streaming dataset of CORPUS_ROW."""
    ids: list[str]
    """The ids of all rows in order."""
    kinds: list[Kind]
    """The kind of each row, in the same order."""
    digest: str
    """A digest that changes with the content of the corpus."""
    left_out: Counter[str]
    """How many files are left out, by reason."""
    part: str | None = None
    """A digest of `ids` if they are a part of the corpus; None for the whole corpus."""

    def take(self, ids: Collection[str]) -> Speech:
        """Return the part of the corpus with these ids; the corpus itself if they are all."""
        wanted = frozenset(ids)
        kept = [index for index, utt_id in enumerate(self.ids) if utt_id in wanted]
        if len(kept) == len(self.ids):
            return self
        names = [self.ids[index] for index in kept]
        rows = keep_ids(self.rows, names)
        return self._replace(
            rows=rows, ids=names, kinds=[self.kinds[index] for index in kept], part=json_digest(sorted(names))
        )


def keep_ids(rows: ray.data.Dataset, ids: Sequence[str]) -> ray.data.Dataset:
    """Return the rows with these ids."""
    wanted = pa.array(ids, pa.string())
    return rows.map_batches(partial(_filter_ids, wanted=wanted), batch_format="pyarrow", **light_task())


def _filter_ids(table: pa.Table, wanted: pa.Array) -> pa.Table:
    return table.filter(pc.is_in(table["utt_id"], value_set=wanted))


class Corpus(ABC):
    """Speech at `uri`. Opening a corpus lists its files; `load_speech` and `load_recordings` read them."""

    def __init__(self, uri: str, options: Options, fs: pafs.FileSystem, root: str, files: Files) -> None:
        """Open a corpus.

        Args:
            uri: the corpus as the recipe names it, without its options.
            options: the options after the `?`.
            fs: the file system of the corpus.
            root: its folder or file in `fs`.
            files: its files, and how many are left out.
        """
        self.uri, self.options, self.fs, self.root = uri, options, fs, root
        self.files, self.left_out, self.unread_recordings = files.found, files.left_out, files.recordings

    @property
    def size(self) -> int | None:
        """The number of rows; None if only reading the recordings would give it."""
        return None

    @property
    def holds_units(self) -> bool:
        """Whether the corpus holds units (rows of PAIRED) and no speech."""
        return False

    @cached_property
    @abstractmethod
    def shards(self) -> Sequence[Shard]:
        """The parts that workers read. Raises CorpusError if the corpus cannot be read."""

    @property
    def identity(self) -> object:
        """A value that differs if the content differs and the ids are the same."""
        return identify_files(self.fs, self.files)

    def count_unnamed(self, named: Collection[str]) -> None:
        """Count the recordings of the corpus that are not in `named`, the paths that rows name."""
        unnamed = {file.path for file in self.unread_recordings}.difference(named)
        self.left_out = self.left_out + Counter({"recording that no row names": len(unnamed)})

    def load_speech(self) -> Speech:
        """List the rows and return them as a dataset, each with an id of its own (`factory.corpora.marking`).

        Raises CorpusError if the corpus cannot be read, or has no rows.
        """
        marked = mark_rows(self.shards)
        if not marked.ids:
            raise CorpusError(f"{self.uri} holds no rows")
        digest = json_digest([marked.ids, self.identity, self.options.lang, self.options.text])
        return Speech(marked.make_dataset(), marked.ids, marked.kinds, digest, self.left_out + marked.left_out)

    def load_recordings(self, ids: Collection[str]) -> dict[str, np.ndarray]:
        """Return the waveforms (float32, 16 kHz) of these utterances by id, without those that cannot be read.

        Does not use Ray.
        """
        waves = {}
        for utt_id, audio in self.find_audio(ids).items():
            try:
                waves[utt_id] = read(audio)
            except (AudioError, StoreError):
                continue
        return waves

    def find_audio(self, ids: Collection[str]) -> dict[str, Audio | None]:
        """Return the encoded recordings of these utterances by id, as the column `audio` holds them."""
        audio: dict[str, Audio | None] = {}
        for shard in self.shards:
            if not (left := set(ids) - audio.keys()):
                break
            audio |= shard.find_audio(left)
        return audio


class ParquetCorpus(Corpus):
    """Parquet files with rows of UTTERANCE, or with units."""

    @property
    def size(self) -> int:
        """The number of rows by the footers of the files."""
        return sum(self._read_footer(file).num_rows for file in self.files)

    @property
    def holds_units(self) -> bool:
        """Whether the first file has the columns of PAIRED."""
        return "src_units" in self._read_footer(self.files[0]).schema.to_arrow_schema().names

    @cached_property
    def shards(self) -> list[ParquetShard]:
        """One shard per file."""
        root = str(PurePosixPath(self.root).parent) if self.files[0].path == self.root else self.root
        shards = [ParquetShard(self.uri, file.path, root, self.options) for file in self.files]
        if self.unread_recordings:
            self.count_unnamed({path for shard in shards for path in shard.list_paths()})
        return shards

    def load_recordings(self, ids: Collection[str]) -> dict[str, np.ndarray]:
        """Return the waveforms of these utterances; none if the corpus holds units."""
        return {} if self.holds_units else super().load_recordings(ids)

    def _read_footer(self, file: File) -> pq.FileMetaData:
        try:
            with self.fs.open_input_file(file.path) as stream:
                return pq.ParquetFile(stream).metadata
        except (pa.ArrowException, OSError) as error:
            raise CorpusError(f"{file.path} is not a complete Parquet file: {error}") from error


class TableCorpus(Corpus):
    """Tables that name recordings."""

    @property
    def size(self) -> int:
        """The number of lines of the tables."""
        return sum(shard.table.num_rows for shard in self.shards)

    @cached_property
    def shards(self) -> list[ListedShard]:
        """Shards of the lines of the tables."""
        rows, self._recordings = Tables(self.fs, self.uri).read_rows(self.files, self.options)
        self.count_unnamed({file.path for file in self._recordings})
        return make_listed_shards(rows)

    @property
    def identity(self) -> object:
        """The tables, and the recordings that they name in the same file system."""
        return identify_files(self.fs, [*self.files, *self._recordings])


class FolderCorpus(Corpus):
    """A folder of audio files."""

    @property
    def size(self) -> int:
        """The number of files that are recordings by their suffix."""
        return count_recordings(self.files)

    @cached_property
    def shards(self) -> list[ListedShard]:
        """Shards of the recordings."""
        rows, others = Folder(self.fs, self.root, self.uri).read_rows(self.files, self.options)
        self.left_out = self.left_out + others
        return make_listed_shards(rows)


class TarCorpus(Corpus):
    """Tar shards in WebDataset's layout, or archives of public corpora."""

    @cached_property
    def shards(self) -> list[TarShard | TableTar]:
        """One shard per archive."""
        return [self._make_shard(file.path) for file in self.files]

    def _make_shard(self, path: str) -> TarShard | TableTar:
        if has_table(self.uri, path):
            return TableTar(self.uri, path, self.options)
        inside = path.removeprefix(self.root).lstrip("/")
        return TarShard(self.uri, path, inside.partition("/")[0] if "/" in inside else "", self.options)


class HubCorpus(Corpus):
    """A Hugging Face dataset on the Hub, or in a folder on this disk (`files` are then the files of the folder)."""

    @cached_property
    def shards(self) -> list[HubShard]:
        """The parts of the dataset."""
        return self._dataset.split()

    @property
    def identity(self) -> object:
        """The commit on the Hub; the files of a folder."""
        return self._dataset.commit or identify_files(self.fs, self.files)

    @property
    def _dataset(self) -> HubShard:
        return HubShard(self.root, self.options)
