"""Parquet with the columns of UTTERANCE, or columns that clearly mean the same."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, ClassVar
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq

from factory.corpora.base import AT_ONCE, CorpusError, Entry, entry, failed_row
from factory.corpora.columns import NAMES, Options, check_option, utterance
from factory.corpora.files import path_inside, uri_of
from factory.corpora.sounds import audio_reader, with_audio
from factory.storage.files import filesystem
from schemas.datasets import Row

_STORES = ("s3://", "gs://", "gcs://", "abfs://", "abfss://", "az://", "hf://", "http://", "https://")
"""What a URI in somebody else's row may lead to: other schemes of fsspec lead to files of this machine."""
_PARTITION = re.compile(r"/(?:lang|locale|language)=([^/]+)/")
"""A folder that says what its rows have in a column."""


@dataclass(frozen=True)
class ParquetShard:
    """A Parquet file below the corpus `root`.

    Paths in it count from the file, and lead to nowhere outside of the corpus.
    """

    uri: str
    path: str
    root: str
    options: Options = field(default_factory=Options)

    reads_audio: ClassVar[bool] = False

    def entries(self) -> tuple[list[Entry], Counter[str]]:
        """Read every column but the audio."""
        with self._open() as parquet:
            schema = parquet.schema_arrow
            self._check(schema)
            rows = parquet.read(columns=_columns(schema, self.options)).to_pylist()
            names = class_names(schema)
        return [entry(utterance(named_classes(row, names), self.options, self.lang)) for row in rows], Counter()

    def rows(self) -> Iterator[list[Row]]:
        """Read batch after batch."""
        with self._open() as parquet:
            reader = _Reader(self, parquet.schema_arrow)
            for batch in parquet.iter_batches(AT_ONCE, columns=reader.columns):
                yield [reader.row(row) for row in batch.to_pylist()]

    def find(self, ids: Collection[str]) -> dict[str, Any]:
        """Return the audio of the first rows with these ids; of the others no audio is decoded."""
        wanted, found = set(ids), dict[str, Any]()
        with self._open() as parquet:
            reader = _Reader(self, parquet.schema_arrow)
            for batch in parquet.iter_batches(AT_ONCE, columns=reader.columns):
                for at, row in enumerate(batch.drop_columns("audio").to_pylist()):
                    if (utt_id := reader.known(row)["utt_id"]) in wanted - found.keys():
                        found[utt_id] = reader.row(batch.slice(at, 1).to_pylist()[0])["audio"]
                if len(found) == len(wanted):
                    break
        return found

    def paths(self) -> set[str]:
        """Return the paths of the corpus that its rows name."""
        with self._open() as parquet:
            self._check(parquet.schema_arrow)
            kind = parquet.schema_arrow.field("audio").type
            has_path = pa.types.is_struct(kind) and kind.get_field_index("path") >= 0
            if not has_path and not pa.types.is_string(kind):
                return set()
            cells = parquet.read(columns=["audio.path" if has_path else "audio"])["audio"].to_pylist()
        named = {cell["path"] if isinstance(cell, dict) else cell for cell in cells} - {None}
        return {path for name in named if (path := self.inside(name))}

    def inside(self, path: str) -> str | None:
        """Return where a path in this file leads, None where it leads out of the corpus."""
        path = local_path(path)
        return None if "://" in path else path_inside(self.root, str(PurePosixPath(self.path).parent), path)

    @property
    def lang(self) -> str:
        """The language where no column names one: that of a folder `lang=fr`."""
        found = _PARTITION.search(self.path.removeprefix(self.root))
        return found[1] if found else ""

    def _check(self, schema: pa.Schema) -> None:
        """Raise CorpusError unless the columns that every utterance needs are there, with types whose meaning is clear."""
        if twice := sorted({name for name in schema.names if schema.names.count(name) > 1}):
            raise CorpusError(f"{self.path} has the columns {', '.join(twice)} more than once: rename them")
        check_option(schema.names, self.options, self.path)
        has = {column: [name for name in NAMES[column] if name in schema.names] for column in ("utt_id", "lang")}
        has |= {"audio": ["audio"] if "audio" in schema.names else []}
        has_lang = bool(self.options.lang or self.lang)
        if lacking := [column for column, names in has.items() if not names and not (column == "lang" and has_lang)]:
            told = f"{self.path} lacks the columns {', '.join(lacking)}; it has {', '.join(schema.names)}"
            raise CorpusError(f"{told}: rename them, or say the language of all with ?lang=CODE")
        audio_reader(schema, self.path)
        names = class_names(schema)
        for name in _columns(schema, self.options):
            kind = schema.field(name).type
            if not _is_name(kind):
                raise CorpusError(f"{self.path} has {name} as {kind}; expected text (numbers are taken for names)")
            if name in NAMES["lang"] and pa.types.is_integer(kind) and name not in names and not self.options.lang:
                raise CorpusError(
                    f"{self.path} has {name} as {kind}, numbers without names; say the language with ?lang=CODE"
                )

    @contextmanager
    def _open(self) -> Iterator[pq.ParquetFile]:
        fs, _ = filesystem(self.uri)
        try:
            with pq.ParquetFile(fs.open_input_file(self.path), pre_buffer=False) as parquet:
                yield parquet
        except (pa.ArrowException, OSError) as error:
            raise CorpusError(f"{self.path} is no complete Parquet file: {error}") from error


class _Reader:
    """Turns rows of one file into rows of UTTERANCE."""

    def __init__(self, shard: ParquetShard, schema: pa.Schema) -> None:
        self.shard, self.audio, self.names = shard, audio_reader(schema, shard.path), class_names(schema)
        rates = {"sampling_rate", "sample_rate"} & set(schema.names)
        self.columns = [*_columns(schema, shard.options), "audio", *rates]

    def known(self, row: Row) -> Row:
        """Return what a row says but its audio."""
        return utterance(named_classes(row, self.names), self.shard.options, self.shard.lang)

    def row(self, row: Row) -> Row:
        """Return a row with its audio; one whose path leads out of the corpus is failed."""
        told = with_audio(self.known(row), self.audio, row)
        audio = told["audio"]
        if audio is None or audio["bytes"] is not None or not audio["path"]:
            return told
        path = audio["path"]
        if path.startswith(_STORES) and "::" not in path:
            return told
        if (whole := self.shard.inside(path)) is None:
            hint = "put recordings below it, or name them in a table"
            return failed_row(told, f"outside: {path} in {self.shard.path} leads out of the corpus; {hint}")
        return told | {"audio": {"bytes": None, "path": uri_of(whole, self.shard.uri)}}


def local_path(path: str) -> str:
    """Return the path of a `file://` URI; any other as it is."""
    return unquote(path.removeprefix("file://")) if path.startswith("file://") else path


def class_names(schema: pa.Schema) -> dict[str, list[str]]:
    """Return the names behind the numbers of each ClassLabel column, which `datasets` keeps in the file's metadata."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
    except (KeyError, ValueError, TypeError):
        return {}
    return {
        name: told["names"]
        for name, told in features.items()
        if isinstance(told, dict) and told.get("_type") == "ClassLabel"
    }


def named_classes(row: Row, names: dict[str, list[str]]) -> Row:
    """Return the row with the names of its classes in place of their numbers; -1, which stands for none, is null."""
    known = {name: row[name] for name in names if row.get(name) is not None}
    return row | {name: names[name][place] if 0 <= place < len(names[name]) else None for name, place in known.items()}


def _columns(schema: pa.Schema, options: Options) -> list[str]:
    """Return the columns that are read beside the audio."""
    known = [name for names in NAMES.values() if names is not NAMES["path"] for name in names if name in schema.names]
    return [*known, *([options.text] if options.text and options.text not in known else [])]


def _is_name(kind: pa.DataType) -> bool:
    """Whether a column holds texts, or numbers that may stand for names."""
    if pa.types.is_dictionary(kind):
        return _is_name(kind.value_type)
    texts = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    known = (*texts, pa.types.is_null, pa.types.is_integer, pa.types.is_floating)
    return any(is_kind(kind) for is_kind in known)
