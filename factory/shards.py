"""The files that large corpora come in: Parquet, tar shards in WebDataset's layout, and the shards of a Hugging Face dataset.

A shard is named by the driver and read by a worker: `names` gives the ids of its rows, `rows` the rows with their audio, a few at a time.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, islice
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, Protocol

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from factory.corpora.audio import AUDIO_SUFFIXES
from factory.files import filesystem, trying
from schemas.datasets import UTTERANCE

Row = dict[str, Any]

TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz")
AT_ONCE = 64
"""Rows of a shard that are in memory together."""
_READ_AHEAD = 4 << 20


class CorpusError(ValueError):
    """A corpus that cannot be read at all; a bad row is no error, it is kept with its reason."""


class Shard(Protocol):
    """A part of a corpus that one worker reads from its beginning to its end."""

    reads_audio: ClassVar[bool]
    """Whether naming its rows passes their audio by, which the driver leaves to workers."""

    def names(self) -> list[str | None]:
        """Return the ids of its rows in their order; raises CorpusError where it cannot be read."""
        ...

    def rows(self) -> Iterator[list[Row]]:
        """Yield its rows, `AT_ONCE` at a time."""
        ...


@dataclass(frozen=True)
class ParquetShard:
    """A Parquet file with the columns of UTTERANCE."""

    uri: str
    path: str

    reads_audio: ClassVar[bool] = False

    def names(self) -> list[str | None]:
        """Read the column of ids."""
        fs, _ = filesystem(self.uri)
        try:
            with fs.open_input_file(self.path) as file:
                parquet = pq.ParquetFile(file)
                _check_columns(self.path, parquet.schema_arrow)
                return parquet.read(columns=["utt_id"]).column("utt_id").to_pylist()
        except (pa.ArrowException, OSError) as error:
            raise CorpusError(f"{self.path} is no complete Parquet file: {error}") from error

    def rows(self) -> Iterator[list[Row]]:
        """Read batch after batch."""
        fs, _ = filesystem(self.uri)
        with fs.open_input_file(self.path) as file:
            for records in pq.ParquetFile(file, pre_buffer=False).iter_batches(batch_size=AT_ONCE):
                yield records.to_pylist()


def _check_columns(path: str, found: pa.Schema) -> None:
    """Raise CorpusError unless the columns that every utterance needs are there, and those that are there have the types of UTTERANCE."""
    if missing := sorted({"utt_id", "lang", "audio"} - set(found.names)):
        raise CorpusError(f"{path} lacks the columns {', '.join(missing)}; it has {', '.join(found.names)}")
    for field in (found.field(name) for name in found.names if name in UTTERANCE.names):
        wanted = UTTERANCE.field(field.name).type
        if not (_is_text(field.type) if pa.types.is_string(wanted) else pa.types.is_struct(field.type)):
            raise CorpusError(f"{path} has {field.name} as {field.type}; expected {wanted}")


def _is_text(kind: pa.DataType) -> bool:
    return any(of(kind) for of in (pa.types.is_string, pa.types.is_large_string, pa.types.is_dictionary, pa.types.is_null))


@dataclass(frozen=True)
class TarShard:
    """A tar in WebDataset's layout: files that follow each other and have one name up to the first dot are one utterance.

    `KEY.wav` (or another audio format) is its recording, `KEY.txt` its transcript, `KEY.json` may hold any other column of UTTERANCE.
    Its id is `utt_id` of the JSON, else KEY; its language `lang` of the JSON, else KEY's first folder, else `lang` (the shard's folder).
    """

    uri: str
    path: str
    lang: str = ""

    reads_audio: ClassVar[bool] = True

    def names(self) -> list[str | None]:
        """Read through the archive without keeping what is heard."""
        return [row["utt_id"] for row in self._utterances(heard=False)]

    def rows(self) -> Iterator[list[Row]]:
        """Read through the archive."""
        return _some(self._utterances(heard=True))

    def _utterances(self, heard: bool) -> Iterator[Row]:
        key, parts = "", dict[str, bytes]()
        for name, content in self._members(heard):
            place = PurePosixPath(name)
            stem, _, kind = place.name.partition(".")
            if parts and str(place.with_name(stem)) != key:
                yield self._row(key, parts)
                parts = {}
            key = str(place.with_name(stem))
            parts[kind.lower()] = content
        if parts:
            yield self._row(key, parts)

    def _members(self, heard: bool) -> Iterator[tuple[str, bytes]]:
        fs, _ = filesystem(self.uri)
        try:
            with _opened(fs, self.path) as stream, tarfile.open(fileobj=stream, mode="r|*") as archive:
                for member in archive:
                    name = member.name.removeprefix("./")
                    if member.isfile() and not PurePosixPath(name).name.startswith("."):
                        wanted = heard or PurePosixPath(name).suffix.lower() not in AUDIO_SUFFIXES
                        yield name, archive.extractfile(member).read() if wanted else b""  # type: ignore[union-attr]  # it is a file
        except (tarfile.TarError, EOFError, OSError) as error:
            raise CorpusError(f"{self.path} is no complete tar archive ({error}): make or fetch it again") from error

    def _row(self, key: str, parts: dict[str, bytes]) -> Row:
        told = self._told(key, parts.get("json"))
        text = parts["txt"].decode("utf-8", "replace").strip() if "txt" in parts else None
        sounds = [(kind, content) for kind, content in parts.items() if f".{kind.rpartition('.')[2]}" in AUDIO_SUFFIXES]
        audio = {"bytes": sounds[0][1], "path": f"{key}.{sounds[0][0]}"} if sounds else None
        folder = key.partition("/")[0] if "/" in key else self.lang
        return {"utt_id": key, "lang": folder, "text": text} | told | {"audio": audio}

    def _told(self, key: str, content: bytes | None) -> Row:
        """Return the columns of UTTERANCE that the JSON of an utterance holds."""
        try:
            told = json.loads(content or b"{}")
        except ValueError as error:
            raise CorpusError(f"{key}.json in {self.path} is no JSON ({error}): mend it") from error
        columns = {field.name for field in UTTERANCE} - {"audio"}
        return {name: str(value) for name, value in dict(told).items() if name in columns and value is not None}


def _opened(fs: pafs.FileSystem, path: str) -> Any:
    return trying(fs, path, "read", lambda: fs.open_input_stream(path, compression=None, buffer_size=_READ_AHEAD))


@dataclass(frozen=True)
class HubShard:
    """One of `of` parts of a Hugging Face dataset, which is streamed: `name` is its name on the Hub or its folder here.

    Rows without `utt_id` are called after their place in the shard; `lang` and `text` say the language, and the column of transcripts,
    where the rows do not.
    """

    name: str
    config: str | None
    split: str
    lang: str
    text: str | None
    index: int = 0
    of: int = 1

    reads_audio: ClassVar[bool] = True

    def names(self) -> list[str | None]:
        """Read the shard's ids, or count its rows."""
        columns = [column for column in ("utt_id",) if column in self._columns]
        few = self._part.select_columns(columns or [column for column in self._columns if column != "audio"] or ["audio"])
        return [self._name(row, place) for place, row in enumerate(few)]

    def rows(self) -> Iterator[list[Row]]:
        """Read the shard."""
        from datasets import Audio

        heard = self._part.cast_column("audio", Audio(decode=False))
        return _some(self._row(row, place) for place, row in enumerate(heard))

    def shards(self) -> list[HubShard]:
        """Return the parts that this dataset comes in; raises CorpusError where it has no audio."""
        if "audio" not in self._columns:
            raise CorpusError(f"the dataset {self.name} has no column audio; it has {', '.join(self._columns)}")
        count = self._part.num_shards
        return [HubShard(self.name, self.config, self.split, self.lang, self.text, index, count) for index in range(count)]

    @cached_property
    def _columns(self) -> list[str]:
        return list(self._part.column_names or next(iter(self._part), {}))

    @cached_property
    def _part(self) -> Any:
        """Open this part of the dataset; nothing of it is read yet."""
        import datasets

        try:
            if any(Path(self.name, mark).exists() for mark in ("state.json", "dataset_dict.json")):  # written by save_to_disk
                kept = datasets.load_from_disk(self.name)
                table = kept[self.split] if isinstance(kept, datasets.DatasetDict) else kept
                whole = table.to_iterable_dataset(num_shards=max(1, len(table) // (16 * AT_ONCE)))
            else:
                whole = datasets.load_dataset(self.name, self.config, split=self.split, streaming=True)
        except (OSError, ValueError, KeyError) as error:
            raise CorpusError(f"the dataset {self.name} (split {self.split}) could not be opened: {error}") from error
        return whole.shard(num_shards=self.of, index=self.index) if self.of > 1 else whole

    def _name(self, row: Row, place: int) -> str:
        name = Path(self.name).name if self.name.startswith("/") else self.name  # the same on every machine
        return row.get("utt_id") or f"{name}/{self.index:05d}-{place:08d}"

    def _row(self, row: Row, place: int) -> Row:
        text = row.get(self.text or ("sentence" if "sentence" in row else "text"))
        told = {"utt_id": self._name(row, place), "lang": row.get("lang") or self.lang, "audio": row["audio"], "text": text}
        return told | {name: row.get(name) for name in ("reference", "speaker", "split")}


def _some(rows: Iterator[Row]) -> Iterator[list[Row]]:
    """Yield the rows in lists of at most `AT_ONCE`."""
    for first in rows:
        yield list(chain([first], islice(rows, AT_ONCE - 1)))
