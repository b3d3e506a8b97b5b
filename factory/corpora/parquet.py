"""Parquet with the columns of UTTERANCE, or columns that clearly mean the same."""

from __future__ import annotations

import json
import os.path
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq

from factory.corpora.base import AT_ONCE, CorpusError, Entry, Row, entry
from factory.corpora.columns import NAMES, Options, check_option, utterance
from factory.corpora.layouts import failed_row
from factory.corpora.sounds import audio_reader
from factory.files import filesystem


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
        return [entry(utterance(named_classes(row, names), self.options)) for row in rows], Counter()

    def rows(self) -> Iterator[list[Row]]:
        """Read batch after batch."""
        with self._open() as parquet:
            schema = parquet.schema_arrow
            told = _Reader(self, schema)
            columns = [
                *_columns(schema, self.options),
                "audio",
                *({"sampling_rate", "sample_rate"} & set(schema.names)),
            ]
            for records in parquet.iter_batches(AT_ONCE, columns=columns):
                yield [told.row(row) for row in records.to_pylist()]

    def find(self, ids: Collection[str]) -> dict[str, Any]:
        """Return the audio of the rows with these ids; of the others no audio is decoded."""
        fs, _ = filesystem(self.uri)
        with self._open() as parquet:
            schema = parquet.schema_arrow
        told, key = _Reader(self, schema), next(name for name in NAMES["utt_id"] if name in schema.names)
        wanted = pads.field(key).cast(pa.string()).isin(list(ids))
        table = pads.dataset(self.path, filesystem=fs, format="parquet").to_table(filter=wanted)
        return {row["utt_id"]: row["audio"] for row in map(told.row, table.to_pylist())}

    def _check(self, schema: pa.Schema) -> None:
        """Raise CorpusError unless the columns that every utterance needs are there, with types whose meaning is clear.
        """
        check_option(schema.names, self.options, self.path)
        has = {column: [name for name in NAMES[column] if name in schema.names] for column in ("utt_id", "lang")}
        has |= {"audio": ["audio"] if "audio" in schema.names else []}
        lacking = [
            column for column, names in has.items() if not names and not (column == "lang" and self.options.lang)
        ]
        if lacking:
            raise CorpusError(f"{self.path} lacks the columns {', '.join(lacking)}; it has {', '.join(schema.names)}")
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

    def _open(self) -> pq.ParquetFile:
        fs, _ = filesystem(self.uri)
        try:
            return pq.ParquetFile(fs.open_input_file(self.path), pre_buffer=False)
        except (pa.ArrowException, OSError) as error:
            raise CorpusError(f"{self.path} is no complete Parquet file: {error}") from error


class _Reader:
    """Turns rows of one file into rows of UTTERANCE."""

    def __init__(self, shard: ParquetShard, schema: pa.Schema) -> None:
        self.shard, self.audio, self.names = shard, audio_reader(schema, shard.path), class_names(schema)
        scheme, found, _ = shard.uri.partition("://")
        self.prefix = f"{scheme}://" if found and scheme != "file" else ""

    def row(self, row: Row) -> Row:
        told = utterance(named_classes(row, self.names), self.shard.options)
        audio = self.audio(row)
        if audio is None or audio["bytes"] is not None or not audio["path"]:
            return told | {"audio": audio}
        path = audio["path"].removeprefix("file://")
        if "://" in path:
            return told | {"audio": audio}
        whole = os.path.normpath(PurePosixPath(self.shard.path).parent / path)
        if not PurePosixPath(whole).is_relative_to(self.shard.root):
            reason = f"outside: {path} in {self.shard.path} leads out of the corpus; put recordings below it, or name them in a table"
            return failed_row(told, reason)
        return told | {"audio": {"bytes": None, "path": f"{self.prefix}{whole}"}}


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
    known = (pa.types.is_string, pa.types.is_large_string, pa.types.is_null, pa.types.is_integer, pa.types.is_floating)
    return any(is_kind(kind) for is_kind in known)
