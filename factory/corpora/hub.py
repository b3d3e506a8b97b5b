"""Reads a Hugging Face dataset: streamed from the Hub, or from a folder on this disk."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa

from factory.corpora.base import BATCH_ROWS, CorpusError, Entry, Shard, make_entry, mark_failed, split_into_batches
from factory.corpora.columns import COLUMN_NAMES, Options, check_text_option, to_utterance
from factory.corpora.files import resolve_inside
from factory.corpora.parquet import name_classes, read_class_names, strip_file_scheme
from factory.corpora.sounds import AudioReader, add_audio, make_audio_reader
from schemas.datasets import Row

_SAVED_FILES = ("state.json", "dataset_dict.json")
_DATA_FILES = ("*.parquet", "*.arrow", "*.csv", "*.jsonl")


@dataclass(frozen=True)
class HubShard(Shard):
    """One of `count` parts of a Hugging Face dataset: `name` is its name on the Hub, or its folder on this disk.

    A row without an id is named by its position in the shard. A row from the Hub never leads to a file of this disk.
    """

    name: str
    options: Options = field(default_factory=Options)
    index: int = 0
    count: int = 1

    reads_audio: ClassVar[bool] = True

    def list_entries(self) -> tuple[list[Entry], Counter[str]]:
        """Read all columns except the audio."""
        known = {name for names in COLUMN_NAMES.values() for name in names} | {self.options.text}
        columns = [column for column in self._columns if column in known and column != "path"]
        others = [column for column in self._columns if column != "audio"]
        part = self._encoded.select_columns(columns or others or ["audio"])
        return [make_entry(self._to_utterance(row, index)) for index, row in enumerate(self._read(part))], Counter()

    def read_rows(self) -> Iterator[list[Row]]:
        """Yield the rows in batches."""
        read = make_audio_reader(self._schema, f"the dataset {self.name}")
        rows = enumerate(self._read(self._encoded))
        return split_into_batches(self._to_row(row, index, read) for index, row in rows)

    def split(self) -> list[HubShard]:
        """Return the parts of this dataset.

        Raises CorpusError if it has no rows, no audio, or not the column of the option `text`.
        """
        if not self._columns:
            raise CorpusError(f"the dataset {self.name} (split {self._split}) holds no rows")
        if "audio" not in self._columns:
            columns = f"the dataset {self.name} has no column audio; it has {', '.join(self._columns)}"
            raise CorpusError(f"{columns}: rename the column of recordings to audio")
        check_text_option(self._columns, self.options, f"the dataset {self.name}")
        make_audio_reader(self._schema, f"the dataset {self.name}")
        count = self._part.num_shards
        return [HubShard(self.name, self.options, index, count) for index in range(count)]

    @property
    def commit(self) -> str | None:
        """The commit of the dataset on the Hub; None for a folder, and if the Hub does not answer."""
        if self.is_local:
            return None
        from huggingface_hub import HfApi

        try:
            return HfApi().dataset_info(self.name).sha
        except (OSError, ValueError):  # a mirror that serves files only
            return None

    @property
    def is_local(self) -> bool:
        """Whether the dataset is a folder on this disk."""
        return self.name.startswith("/")

    @property
    def _split(self) -> str:
        return self.options.split or "train"

    @cached_property
    def _columns(self) -> list[str]:
        return list(self._part.column_names or next(self._read(self._part), {}))

    @cached_property
    def _schema(self) -> pa.Schema:
        """The types of the columns; without features, the types of the first row."""
        part = self._encoded
        return part.features.arrow_schema if part.features else pa.Table.from_pylist([next(self._read(part))]).schema

    @cached_property
    def _encoded(self) -> Any:
        """This part of the dataset; an Audio feature gives encoded bytes and is not decoded."""
        from datasets import Audio

        features = self._part.features
        if features and isinstance(features["audio"], Audio):
            return self._part.cast_column("audio", Audio(decode=False))
        return self._part

    @cached_property
    def _part(self) -> Any:
        """Open this part of the dataset; nothing is read yet."""
        try:
            is_saved = self.is_local and is_saved_dataset(self.name)
            dataset = _open_saved(Path(self.name), self.options.split) if is_saved else self._open_streamed()
        except ImportError as error:
            hint = "download it (`hf download`) and name its folder"
            raise CorpusError(
                f"the dataset {self.name} is a folder of audio files, which cannot be streamed ({error}): {hint}"
            ) from error
        except CorpusError:
            raise
        except Exception as error:  # the readers of `datasets` raise many types
            raise self._convert_error("opened", error) from error
        return dataset.shard(num_shards=self.count, index=self.index) if self.count > 1 else dataset

    def _read(self, part: Any) -> Iterator[Row]:
        """Yield the rows of a part; an error of `datasets` becomes a CorpusError."""
        try:
            yield from part
        except Exception as error:  # the readers of `datasets` raise many types
            raise self._convert_error("read", error) from error

    def _convert_error(self, action: str, error: Exception) -> CorpusError:
        message = " ".join(str(error).split())
        return CorpusError(f"the dataset {self.name} (split {self._split}) could not be {action}: {message}")

    def _open_streamed(self) -> Any:
        import datasets

        offline = {"download_config": datasets.DownloadConfig(local_files_only=True)} if self.is_local else {}
        return datasets.load_dataset(self.name, self.options.config, split=self._split, streaming=True, **offline)

    def _to_utterance(self, row: Row, index: int) -> Row:
        name = Path(self.name).name if self.is_local else self.name  # the same on every machine
        utterance = to_utterance(name_classes(row, read_class_names(self._schema)), self.options)
        return utterance | {"utt_id": utterance["utt_id"] or f"{name}/{self.index:05d}-{index:08d}"}

    def _to_row(self, row: Row, index: int, read: AudioReader) -> Row:
        utterance = add_audio(self._to_utterance(row, index), read, row)
        audio = utterance["audio"]
        if audio is None or audio["bytes"] is not None or not audio["path"]:
            return utterance
        if not self.is_local:
            problem = f"the dataset {self.name} holds the path {audio['path']} and no recording"
            return mark_failed(utterance, f"missing_file: {problem}")
        path = self._resolve(strip_file_scheme(audio["path"]))
        if path is None:
            problem = f"{audio['path']} leads out of the dataset {self.name}; move the recordings into it"
            return mark_failed(utterance, f"outside: {problem}")
        return utterance | {"audio": {"bytes": None, "path": path}}

    def _resolve(self, path: str) -> str | None:
        """Resolve a path from the dataset's folder or a folder with its data; return None if it leads out."""
        paths = [resolve_inside(self.name, folder, path) for folder in (self.name, *self._data_folders)]
        return next((resolved for resolved in paths if resolved and os.path.isfile(resolved)), paths[0])

    @cached_property
    def _data_folders(self) -> list[str]:
        return sorted({str(file.parent) for pattern in _DATA_FILES for file in Path(self.name).rglob(pattern)})


def is_saved_dataset(folder: str) -> bool:
    """Return whether `save_to_disk` of `datasets` wrote this folder."""
    return any(os.path.exists(os.path.join(folder, file)) for file in _SAVED_FILES)


def _open_saved(folder: Path, split: str | None) -> Any:
    """Open a folder that `save_to_disk` wrote."""
    import datasets

    if not any(folder.rglob("*.arrow")):
        raise CorpusError(f"the dataset {folder} holds no rows")
    saved = datasets.load_from_disk(str(folder))
    if isinstance(saved, datasets.Dataset) and split and str(saved.split or split) != split:
        raise ValueError(f"it holds the split {saved.split}")
    if isinstance(saved, datasets.DatasetDict) and (split or "train") not in saved:
        raise ValueError(f"it holds the splits {', '.join(map(str, saved))}; choose one with ?split=")
    table = saved[split or "train"] if isinstance(saved, datasets.DatasetDict) else saved
    return table.to_iterable_dataset(num_shards=max(1, len(table) // (16 * BATCH_ROWS)))
