"""Recognises what a corpus is, by its name and its files, at one place for everything that reads it."""

from __future__ import annotations

import os.path
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from urllib.parse import parse_qsl

import pyarrow.fs as pafs

from factory.corpora.audio import AUDIO_SUFFIXES
from factory.corpora.base import CorpusError, MissingCorpus
from factory.corpora.columns import Options
from factory.corpora.corpus import Corpus, FolderCorpus, HubCorpus, ParquetCorpus, TableCorpus, TarCorpus
from factory.corpora.files import File, Files, list_files
from factory.corpora.hub import SAVED
from factory.corpora.layouts import names_recordings
from factory.corpora.listed import suffix_reason
from factory.corpora.tables import is_table
from factory.corpora.tar import TABLES, chosen_tables, is_tar
from factory.corpora.text import suffix_of
from factory.storage.files import filesystem, get_head, look

OPTIONS = ("config", "split", "lang", "text")
_EXPECTED = "expected Parquet, tar shards, a table (.tsv, .csv, .jsonl) or audio files"
_HEAD = 1 << 16
"""Bytes of a table that tell whether it names recordings."""


def open_corpus(uri: str) -> Corpus:
    """Open the corpus at `uri`: a path, a URI of an object store or `hf://…`, with options behind a `?`.

    It is a folder of audio files (`LANG/name.wav`, the transcript in `LANG/name.txt`), a table (TSV, CSV or JSON
    lines), Parquet with the columns of UTTERANCE or PAIRED, tar shards in WebDataset's layout, an archive or a folder
    of Common Voice, CVSS or FLEURS, or a Hugging Face dataset (`hf://datasets/NAME?split=train&lang=fr`, or
    `hf:///FOLDER?…` for one on this disk). `?lang=` names the language where nothing else does, `?text=` the column of
    transcripts. Raises MissingCorpus where nothing is there, and CorpusError where it is nothing that can be read.
    """
    place, options = split_options(uri)
    if place.startswith("hf://"):
        return _hugging_face(uri, place, options)
    if options.config or options.split:
        raise CorpusError(f"config and split are options of hf:// alone; got {uri}")
    return _open(place, options)


def split_options(uri: str) -> tuple[str, Options]:
    """Return what stands before the `?` of a corpus, and its options; raises CorpusError for one that nobody knows.

    A path that has a `?` in its name is that path; other options of an object store's URI are the store's.
    """
    place, found, query = uri.partition("?")
    if not found or ("://" not in uri and os.path.exists(uri)):
        return uri, Options()
    given = parse_qsl(query, keep_blank_values=True)
    ours = {name: value for name, value in given if name in OPTIONS}
    others = [f"{name}={value}" for name, value in given if name not in OPTIONS]
    if others and (place.startswith("hf://") or "://" not in place):
        raise CorpusError(f"{uri} has the unknown option {others[0]}; options are {', '.join(OPTIONS)}")
    return f"{place}?{'&'.join(others)}" if others else place, Options(**ours)


def _open(place: str, options: Options) -> Corpus:
    fs, root = filesystem(place)
    if look(fs, root).type == pafs.FileType.NotFound:
        raise MissingCorpus(f"the corpus {place} does not exist; {_EXPECTED}")
    files = list_files(fs, root)
    kind, chosen = _recognise(fs, root, files)
    if kind is FolderCorpus:  # it says itself what it leaves out
        return FolderCorpus(place, options, fs, root, Files(chosen, files.left_out))
    others = sorted(set(files.found) - set(chosen))
    beside = [file for file in others if _is_recording(kind, file)]
    left_out = Counter(suffix_reason(file.path) for file in sorted(set(others) - set(beside)))
    return kind(place, options, fs, root, Files(chosen, files.left_out + left_out, beside))


def _is_recording(kind: type[Corpus], file: File) -> bool:
    """Whether a file may be one that a table, or a path in Parquet, names."""
    return kind in (TableCorpus, ParquetCorpus) and suffix_of(file.path) in AUDIO_SUFFIXES


def _recognise(fs: pafs.FileSystem, root: str, files: Files) -> tuple[type[Corpus], list[File]]:
    """Return the kind of a corpus and the files that it is made of: the first kind that it has any file of."""
    if len(files.found) == 1 and files.found[0].path == root:
        return _of_one_file(files.found[0])
    for kind, choose in _KINDS:
        if chosen := choose(fs, files.found):
            return kind, chosen
    tables = [file.path for file in files.found if is_table(file.path)]
    hint = f"; it has the table {tables[0]}: name that" if tables else ""
    if any(file.path.endswith(".arrow") for file in files.found):
        hint = f"; a saved Hugging Face dataset is named hf://{root}?lang=fr"
    suffixes = ", ".join(
        sorted({PurePosixPath(file.path).suffix or PurePosixPath(file.path).name for file in files.found})[:8]
    )
    raise CorpusError(
        f"{root} holds neither Parquet nor tar shards nor audio files (it has {suffixes or 'no files'}){hint}"
    )


def _of_one_file(file: File) -> tuple[type[Corpus], list[File]]:
    if is_tar(file.path):
        return TarCorpus, [file]
    suffix = suffix_of(file.path)
    if is_table(file.path) or suffix == ".json":  # as NeMo calls its JSON lines
        return TableCorpus, [file]
    if suffix in AUDIO_SUFFIXES:
        raise CorpusError(f"{file.path} is one recording; name the folder of its language's folder, or a table")
    if suffix in (".parquet", ""):
        return ParquetCorpus, [file]
    raise CorpusError(f"{file.path}: a {suffix} file is not read; {_EXPECTED}")


def _parquet(_: pafs.FileSystem, files: Sequence[File]) -> list[File]:
    named = [file for file in files if file.path.lower().endswith(".parquet")]
    return [file for file in named if not PurePosixPath(file.path).name.startswith("_")]


def _tables(fs: pafs.FileSystem, files: Sequence[File]) -> list[File]:
    """Return the tables that public corpora and audio folders have, by their names, where they name recordings."""
    known = {file.path: file for file in files if PurePosixPath(file.path).name in TABLES}
    return [
        known[path]
        for path in chosen_tables([path for path in known if names_recordings(path, get_head(fs, path, _HEAD))])
    ]


def _tars(_: pafs.FileSystem, files: Sequence[File]) -> list[File]:
    return [file for file in files if is_tar(file.path)]


def _folder(_: pafs.FileSystem, files: Sequence[File]) -> list[File]:
    """Return all files where some are recordings: their transcripts are beside them."""
    return list(files) if any(suffix_of(file.path) in AUDIO_SUFFIXES for file in files) else []


_KINDS: tuple[tuple[type[Corpus], Callable[[pafs.FileSystem, Sequence[File]], list[File]]], ...] = (
    (ParquetCorpus, _parquet),
    (TableCorpus, _tables),
    (TarCorpus, _tars),
    (FolderCorpus, _folder),
)


def _hugging_face(uri: str, place: str, options: Options) -> Corpus:
    """Open a dataset of the Hub, or one in a folder on this disk, which never asks the network."""
    fs, name = pafs.LocalFileSystem(), place.removeprefix("hf://").rstrip("/")
    if not name.startswith("/"):
        kind, _, name = name.partition("/")
        if kind != "datasets" or not name:
            raise CorpusError(
                f"{uri} names no dataset; expected hf://datasets/OWNER/NAME?split=train, or hf:///FOLDER?lang=fr"
            )
        return HubCorpus(uri, options, fs, name, Files([], Counter()))
    if not os.path.isdir(name):
        raise MissingCorpus(f"the dataset {name} does not exist; expected the folder of a Hugging Face dataset")
    files = list_files(fs, name)
    is_saved = any(Path(name, mark).exists() for mark in SAVED)
    is_ours = not is_saved and not _parquet(fs, files.found) and (_folder(fs, files.found) or _tars(fs, files.found))
    if options.config and (is_saved or is_ours):
        raise CorpusError(f"the dataset {name} has no configurations: take config={options.config} out")
    if not is_ours:
        return HubCorpus(uri, options, fs, name, files)
    if options.split and options.split not in _folders(name):
        raise CorpusError(f"the dataset {name} has no split {options.split}; it has {', '.join(_folders(name))}")
    split = f"{name}/{options.split}" if options.split else name
    return _open(split, Options(lang=options.lang, text=options.text))


def _folders(folder: str) -> list[str]:
    return sorted(path.name for path in Path(folder).iterdir() if path.is_dir())
