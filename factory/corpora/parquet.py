"""Reads Parquet with the columns of UTTERANCE, or with columns that clearly mean the same."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import ClassVar
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq

from factory.corpora.base import BATCH_ROWS, Audio, CorpusError, Entry, Shard, make_entry, mark_failed
from factory.corpora.columns import COLUMN_NAMES, Options, check_text_option, to_utterance
from factory.corpora.files import make_uri, resolve_inside
from factory.corpora.sounds import add_audio, make_audio_reader
from factory.storage.files import filesystem
from schemas.datasets import Row

_STORES = ("s3://", "gs://", "gcs://", "abfs://", "abfss://", "az://", "hf://", "http://", "https://")
"""The schemes that a row may name: other schemes of fsspec lead to files of this machine."""
_PARTITION = re.compile(r"/(?:lang|locale|language)=([^/]+)/")
"""A folder that holds the language of its rows in its name."""


@dataclass(frozen=True)
class ParquetShard(Shard):
    """A Parquet file of the corpus `root`. Paths in it are relative to the file and may not lead out of the corpus."""

    uri: str
    path: str
    root: str
    options: Options = field(default_factory=Options)

    reads_audio: ClassVar[bool] = False

    def list_entries(self) -> tuple[list[Entry], Counter[str]]:
        """Read all columns except the audio."""
        with self._open() as parquet:
            schema = parquet.schema_arrow
            self._check(schema)
            rows = parquet.read(columns=_text_columns(schema, self.options)).to_pylist()
            names = read_class_names(schema)
        utterances = (to_utterance(name_classes(row, names), self.options, self.lang) for row in rows)
        return [make_entry(row) for row in utterances], Counter()

    def read_rows(self) -> Iterator[list[Row]]:
        """Yield the rows batch by batch."""
        with self._open() as parquet:
            reader = _RowReader(self, parquet.schema_arrow)
            for batch in parquet.iter_batches(BATCH_ROWS, columns=reader.columns):
                yield [reader.read(row) for row in batch.to_pylist()]

    def find_audio(self, ids: Collection[str]) -> dict[str, Audio | None]:
        """Return the audio of the first rows with these ids; the audio of other rows is not converted."""
        left, audio = set(ids), dict[str, Audio | None]()
        with self._open() as parquet:
            reader = _RowReader(self, parquet.schema_arrow)
            for batch in parquet.iter_batches(BATCH_ROWS, columns=reader.columns):
                for index, row in enumerate(batch.drop_columns("audio").to_pylist()):
                    if (utt_id := reader.read_text(row)["utt_id"]) in left:
                        left.remove(utt_id)
                        audio[utt_id] = reader.read(batch.slice(index, 1).to_pylist()[0])["audio"]
                if not left:
                    break
        return audio

    def list_paths(self) -> set[str]:
        """Return the paths inside the corpus that the rows name."""
        with self._open() as parquet:
            self._check(parquet.schema_arrow)
            kind = parquet.schema_arrow.field("audio").type
            has_path = pa.types.is_struct(kind) and kind.get_field_index("path") >= 0
            if not has_path and not pa.types.is_string(kind):
                return set()
            cells = parquet.read(columns=["audio.path" if has_path else "audio"])["audio"].to_pylist()
        paths = {cell["path"] if isinstance(cell, dict) else cell for cell in cells} - {None}
        return {resolved for path in paths if (resolved := self.resolve(path))}

    def resolve(self, path: str) -> str | None:
        """Resolve a path that the file names; return None if it leads out of the corpus."""
        path = strip_file_scheme(path)
        return None if "://" in path else resolve_inside(self.root, str(PurePosixPath(self.path).parent), path)

    @property
    def lang(self) -> str:
        """The language if no column names one: that of a folder `lang=fr`."""
        match = _PARTITION.search(self.path.removeprefix(self.root))
        return match[1] if match else ""

    def _check(self, schema: pa.Schema) -> None:
        """Raise CorpusError if a required column is missing or has an unsupported type."""
        if repeated := sorted({name for name in schema.names if schema.names.count(name) > 1}):
            raise CorpusError(f"{self.path} has the columns {', '.join(repeated)} more than once: rename them")
        check_text_option(schema.names, self.options, self.path)
        required = {"utt_id": COLUMN_NAMES["utt_id"], "lang": COLUMN_NAMES["lang"], "audio": ("audio",)}
        if self.options.lang or self.lang:
            del required["lang"]
        if missing := [column for column, names in required.items() if not set(names) & set(schema.names)]:
            columns = f"{self.path} lacks the columns {', '.join(missing)}; it has {', '.join(schema.names)}"
            raise CorpusError(f"{columns}: rename them, or give the language of all rows with ?lang=CODE")
        make_audio_reader(schema, self.path)
        self._check_types(schema)

    def _check_types(self, schema: pa.Schema) -> None:
        class_names = read_class_names(schema)
        for name in _text_columns(schema, self.options):
            kind = schema.field(name).type
            if not _is_text_or_number(kind):
                raise CorpusError(f"{self.path} has {name} as {kind}; expected text (numbers are read as text)")
            is_number = pa.types.is_integer(kind) and name not in class_names
            if name in COLUMN_NAMES["lang"] and is_number and not self.options.lang:
                raise CorpusError(
                    f"{self.path} has {name} as {kind}, numbers without names; give the language with ?lang=CODE"
                )

    @contextmanager
    def _open(self) -> Iterator[pq.ParquetFile]:
        fs, _ = filesystem(self.uri)
        try:
            with pq.ParquetFile(fs.open_input_file(self.path), pre_buffer=False) as parquet:
                yield parquet
        except (pa.ArrowException, OSError) as error:
            raise CorpusError(f"{self.path} is not a complete Parquet file: {error}") from error


class _RowReader:
    """Converts the rows of one file to rows of UTTERANCE."""

    def __init__(self, shard: ParquetShard, schema: pa.Schema) -> None:
        self.shard = shard
        self.read_audio, self.class_names = make_audio_reader(schema, shard.path), read_class_names(schema)
        rates = {"sampling_rate", "sample_rate"} & set(schema.names)
        self.columns = [*_text_columns(schema, shard.options), "audio", *rates]

    def read_text(self, row: Row) -> Row:
        """Return the row without its audio."""
        return to_utterance(name_classes(row, self.class_names), self.shard.options, self.shard.lang)

    def read(self, row: Row) -> Row:
        """Return the row with its audio; the row is failed if its path leads out of the corpus."""
        utterance = add_audio(self.read_text(row), self.read_audio, row)
        audio = utterance["audio"]
        if audio is None or audio["bytes"] is not None or not audio["path"]:
            return utterance
        path = audio["path"]
        if path.startswith(_STORES) and "::" not in path:
            return utterance
        if (resolved := self.shard.resolve(path)) is None:
            hint = "move the recordings into it, or name them in a table"
            return mark_failed(utterance, f"outside: {path} in {self.shard.path} leads out of the corpus; {hint}")
        return utterance | {"audio": {"bytes": None, "path": make_uri(resolved, self.shard.uri)}}


def strip_file_scheme(path: str) -> str:
    """Return the path of a `file://` URI; any other path as it is."""
    return unquote(path.removeprefix("file://")) if path.startswith("file://") else path


def read_class_names(schema: pa.Schema) -> dict[str, list[str]]:
    """Return the class names of each ClassLabel column, which `datasets` stores in the file's metadata."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
    except (KeyError, ValueError, TypeError):
        return {}
    labels = {name: feature for name, feature in features.items() if isinstance(feature, dict)}
    return {name: feature["names"] for name, feature in labels.items() if feature.get("_type") == "ClassLabel"}


def name_classes(row: Row, class_names: dict[str, list[str]]) -> Row:
    """Return the row with class names in place of class numbers; -1 means no class and becomes None."""
    numbers = {name: row[name] for name in class_names if row.get(name) is not None}
    return row | {
        name: class_names[name][number] if 0 <= number < len(class_names[name]) else None
        for name, number in numbers.items()
    }


def _text_columns(schema: pa.Schema, options: Options) -> list[str]:
    """Return the columns to read, without the audio."""
    lists = [names for column, names in COLUMN_NAMES.items() if column != "path"]
    known = [name for names in lists for name in names if name in schema.names]
    return [*known, *([options.text] if options.text and options.text not in known else [])]


def _is_text_or_number(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return _is_text_or_number(kind.value_type)
    texts = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    tests = (*texts, pa.types.is_null, pa.types.is_integer, pa.types.is_floating)
    return any(test(kind) for test in tests)
