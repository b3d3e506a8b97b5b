"""A Hugging Face dataset, streamed from the Hub or read from a folder on this disk."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa

from factory.corpora.base import AT_ONCE, CorpusError, Entry, entry, failed_row, in_batches
from factory.corpora.columns import NAMES, Options, check_option, utterance
from factory.corpora.files import path_inside
from factory.corpora.parquet import class_names, local_path, named_classes
from factory.corpora.sounds import audio_reader, with_audio
from schemas.datasets import Row

SAVED = ("state.json", "dataset_dict.json")
"""What `save_to_disk` leaves in a folder."""


@dataclass(frozen=True)
class HubShard:
    """One of `of` parts of a Hugging Face dataset: `name` is its name on the Hub, or its folder on this disk.

    Rows without an id are called after their place in the shard. A row of a dataset from the Hub never leads to a file
    of this disk.
    """

    name: str
    options: Options = field(default_factory=Options)
    index: int = 0
    of: int = 1

    reads_audio: ClassVar[bool] = True

    def entries(self) -> tuple[list[Entry], Counter[str]]:
        """Read every column but the audio."""
        known = {name for names in NAMES.values() for name in names} | {self.options.text}
        columns = [column for column in self._columns if column in known and column != "path"]
        few = self._decodable.select_columns(
            columns or [column for column in self._columns if column != "audio"] or ["audio"]
        )
        return [entry(self._told(row, place)) for place, row in enumerate(self._read(few))], Counter()

    def rows(self) -> Iterator[list[Row]]:
        """Read the shard."""
        read = audio_reader(self._schema, f"the dataset {self.name}")
        rows = enumerate(self._read(self._decodable))
        return in_batches(self._row(with_audio(self._told(row, place), read, row)) for place, row in rows)

    def shards(self) -> list[HubShard]:
        """Return the parts that this dataset comes in.

        Raises CorpusError where it has no audio, or not the column that is asked for.
        """
        if not self._columns:
            raise CorpusError(f"the dataset {self.name} (split {self._split}) holds no rows")
        if "audio" not in self._columns:
            told = f"the dataset {self.name} has no column audio; it has {', '.join(self._columns)}"
            raise CorpusError(f"{told}: give the column of recordings that name")
        check_option(self._columns, self.options, f"the dataset {self.name}")
        audio_reader(self._schema, f"the dataset {self.name}")
        return [
            HubShard(self.name, self.options, index, self._part.num_shards) for index in range(self._part.num_shards)
        ]

    @property
    def digest(self) -> str | None:
        """What tells this version of the dataset from another: the commit on the Hub.

        None for a folder, whose files do.
        """
        if self.is_local:
            return None
        from huggingface_hub import HfApi

        try:
            return HfApi().dataset_info(self.name).sha
        except (OSError, ValueError):  # a Hub that serves files and no information
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
        """The columns' types; of a dataset that does not tell them those of its first row."""
        part = self._decodable
        return part.features.arrow_schema if part.features else pa.Table.from_pylist([next(self._read(part))]).schema

    @cached_property
    def _decodable(self) -> Any:
        """This part of the dataset with its audio as bytes, where it is of the Audio feature."""
        from datasets import Audio

        features = self._part.features
        return (
            self._part.cast_column("audio", Audio(decode=False))
            if features and isinstance(features["audio"], Audio)
            else self._part
        )

    @cached_property
    def _part(self) -> Any:
        """Open this part of the dataset; nothing of it is read yet."""
        try:
            whole = (
                _saved(Path(self.name), self.options.split)
                if self.is_local and _is_saved(Path(self.name))
                else self._streamed()
            )
        except ImportError as error:
            hint = "download it (`hf download`) and name its folder"
            raise CorpusError(
                f"the dataset {self.name} is a folder of audio files, which is not streamed ({error}): {hint}"
            ) from error
        except CorpusError:
            raise
        except Exception as error:  # its many readers have errors of their own
            raise self._failed("opened", error) from error
        return whole.shard(num_shards=self.of, index=self.index) if self.of > 1 else whole

    def _read(self, part: Any) -> Iterator[Row]:
        """Yield the rows of a part; raises CorpusError in place of what `datasets` raises."""
        try:
            yield from part
        except Exception as error:  # its many readers have errors of their own
            raise self._failed("read", error) from error

    def _failed(self, done: str, error: Exception) -> CorpusError:
        said = " ".join(str(error).split())
        return CorpusError(f"the dataset {self.name} (split {self._split}) could not be {done}: {said}")

    def _streamed(self) -> Any:
        import datasets

        here = {"download_config": datasets.DownloadConfig(local_files_only=True)} if self.is_local else {}
        return datasets.load_dataset(self.name, self.options.config, split=self._split, streaming=True, **here)

    def _told(self, row: Row, place: int) -> Row:
        name = Path(self.name).name if self.is_local else self.name  # the same on every machine
        told = utterance(named_classes(row, class_names(self._schema)), self.options)
        return told | {"utt_id": told["utt_id"] or f"{name}/{self.index:05d}-{place:08d}"}

    def _row(self, told: Row) -> Row:
        audio = told["audio"]
        if audio is None or audio["bytes"] is not None or not audio["path"]:
            return told
        if not self.is_local:
            return failed_row(
                told, f"missing_file: the dataset {self.name} holds the path {audio['path']} and no recording"
            )
        path = self._beside(local_path(audio["path"]))
        if path is None:
            return failed_row(
                told, f"outside: {audio['path']} leads out of the dataset {self.name}; put the recordings below it"
            )
        return told | {"audio": {"bytes": None, "path": path}}

    def _beside(self, path: str) -> str | None:
        """Return a path that counts from the dataset's folder, or from one with its data; None where it leads out."""
        inside = [path_inside(self.name, folder, path) for folder in (self.name, *self._data_folders)]
        return next((place for place in inside if place and os.path.isfile(place)), inside[0])

    @cached_property
    def _data_folders(self) -> list[str]:
        return sorted(
            {
                str(file.parent)
                for kind in ("*.parquet", "*.arrow", "*.csv", "*.jsonl")
                for file in Path(self.name).rglob(kind)
            }
        )


def _is_saved(folder: Path) -> bool:
    return any((folder / mark).exists() for mark in SAVED)


def _saved(folder: Path, split: str | None) -> Any:
    """Open what `save_to_disk` wrote."""
    import datasets

    if not any(folder.rglob("*.arrow")):
        raise CorpusError(f"the dataset {folder} holds no rows")
    kept = datasets.load_from_disk(str(folder))
    if isinstance(kept, datasets.Dataset) and split and str(kept.split or split) != split:
        raise ValueError(f"it holds the split {kept.split}")
    if isinstance(kept, datasets.DatasetDict) and (split or "train") not in kept:
        raise ValueError(f"it holds the splits {', '.join(map(str, kept))}; say which with ?split=")
    table = kept[split or "train"] if isinstance(kept, datasets.DatasetDict) else kept
    return table.to_iterable_dataset(num_shards=max(1, len(table) // (16 * AT_ONCE)))
