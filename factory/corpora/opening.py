"""Opens a corpus: recognises its format by its name and its files."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import PurePosixPath
from urllib.parse import parse_qsl

import pyarrow.fs as pafs

from factory.corpora.audio import AUDIO_SUFFIXES
from factory.corpora.base import CorpusError, MissingCorpus
from factory.corpora.columns import Options
from factory.corpora.corpus import Corpus, FolderCorpus, HubCorpus, ParquetCorpus, TableCorpus, TarCorpus
from factory.corpora.files import File, Files, list_files
from factory.corpora.hub import is_saved_dataset
from factory.corpora.layouts import names_recordings
from factory.corpora.listed import name_suffix
from factory.corpora.tables import is_table
from factory.corpora.tar import TABLES, choose_tables, is_tar
from factory.corpora.text import get_suffix
from factory.storage.files import filesystem, get_head, look

OPTIONS = ("config", "split", "lang", "text")
_EXPECTED = "expected Parquet, tar shards, a table (.tsv, .csv, .jsonl) or audio files"
_HEAD_BYTES = 1 << 16
"""Bytes of a table that are read to see if it names recordings."""


def open_corpus(uri: str) -> Corpus:
    """Open a corpus.

    Args:
        uri: a path, a URI of an object store, or `hf://datasets/OWNER/NAME` for a Hugging Face dataset (`hf:///FOLDER`
            for one on this disk). The formats are a folder of audio files (`LANG/NAME.wav`, with the transcript in
            `LANG/NAME.txt`), a table (TSV, CSV, JSON lines), Parquet with the columns of UTTERANCE or PAIRED, tar
            shards in WebDataset's layout, and an archive or folder of Common Voice, CVSS or FLEURS. Options follow a
            `?`: `lang` is the language of rows that name none, `text` the column of transcripts, and `config` and
            `split` choose a part of a Hugging Face dataset.

    Raises:
        MissingCorpus: there is no such file or folder.
        CorpusError: the format is unknown, or an option is.
    """
    path, options = split_options(uri)
    if path.startswith("hf://"):
        return _open_hugging_face(uri, path, options)
    if options.config or options.split:
        raise CorpusError(f"config and split are options of hf:// only; got {uri}")
    return _open_files(path, options)


def split_options(uri: str) -> tuple[str, Options]:
    """Split a corpus into its path and its options. Raises CorpusError for an unknown option.

    A `?` may be part of an existing path. Other options of an object store's URI stay in the URI.
    """
    path, mark, query = uri.partition("?")
    if not mark or ("://" not in uri and os.path.exists(uri)):
        return uri, Options()
    pairs = parse_qsl(query, keep_blank_values=True)
    options = {name: value for name, value in pairs if name in OPTIONS}
    others = [f"{name}={value}" for name, value in pairs if name not in OPTIONS]
    if others and (path.startswith("hf://") or "://" not in path):
        raise CorpusError(f"{uri} has the unknown option {others[0]}; options are {', '.join(OPTIONS)}")
    return f"{path}?{'&'.join(others)}" if others else path, Options(**options)


def _open_files(uri: str, options: Options) -> Corpus:
    fs, root = filesystem(uri)
    if look(fs, root).type == pafs.FileType.NotFound:
        raise MissingCorpus(f"the corpus {uri} does not exist; {_EXPECTED}")
    files = list_files(fs, root)
    corpus_type, chosen = _recognise(fs, root, files)
    if corpus_type is FolderCorpus:  # it counts by itself what it leaves out
        return FolderCorpus(uri, options, fs, root, Files(chosen, files.left_out))
    others = sorted(set(files.found) - set(chosen))
    recordings = [file for file in others if _may_be_named(corpus_type, file)]
    left_out = Counter(name_suffix(file.path) for file in others if not _may_be_named(corpus_type, file))
    return corpus_type(uri, options, fs, root, Files(chosen, files.left_out + left_out, recordings))


def _may_be_named(corpus_type: type[Corpus], file: File) -> bool:
    """Return whether a file may be a recording that a table or a Parquet file names."""
    return corpus_type in (TableCorpus, ParquetCorpus) and get_suffix(file.path) in AUDIO_SUFFIXES


def _recognise(fs: pafs.FileSystem, root: str, files: Files) -> tuple[type[Corpus], list[File]]:
    """Return the type of a corpus and its files: the first type that has any file there."""
    if len(files.found) == 1 and files.found[0].path == root:
        return _recognise_file(files.found[0])
    for corpus_type, choose in _TYPES:
        if chosen := choose(fs, files.found):
            return corpus_type, chosen
    tables = [file.path for file in files.found if is_table(file.path)]
    hint = f"; it has the table {tables[0]}: name that" if tables else ""
    if any(file.path.endswith(".arrow") for file in files.found):
        hint = f"; name a saved Hugging Face dataset hf://{root}?lang=fr"
    suffixes = {PurePosixPath(file.path).suffix or PurePosixPath(file.path).name for file in files.found}
    listed = ", ".join(sorted(suffixes)[:8]) or "no files"
    raise CorpusError(f"{root} holds neither Parquet nor tar shards nor audio files (it has {listed}){hint}")


def _recognise_file(file: File) -> tuple[type[Corpus], list[File]]:
    if is_tar(file.path):
        return TarCorpus, [file]
    suffix = get_suffix(file.path)
    if is_table(file.path) or suffix == ".json":  # NeMo's name for JSON lines
        return TableCorpus, [file]
    if suffix in AUDIO_SUFFIXES:
        raise CorpusError(f"{file.path} is one recording; name a folder with a folder per language, or a table")
    if suffix in (".parquet", ""):
        return ParquetCorpus, [file]
    raise CorpusError(f"{file.path}: the format {suffix} is not supported; {_EXPECTED}")


def _choose_parquet(_: pafs.FileSystem, files: Sequence[File]) -> list[File]:
    parquet = [file for file in files if file.path.lower().endswith(".parquet")]
    return [file for file in parquet if not PurePosixPath(file.path).name.startswith("_")]


def _choose_tables(fs: pafs.FileSystem, files: Sequence[File]) -> list[File]:
    """Return the tables with the names of public corpora and audio folders, if they name recordings."""
    tables = {file.path: file for file in files if PurePosixPath(file.path).name in TABLES}
    paths = [path for path in tables if names_recordings(path, get_head(fs, path, _HEAD_BYTES))]
    return [tables[path] for path in choose_tables(paths)]


def _choose_tars(_: pafs.FileSystem, files: Sequence[File]) -> list[File]:
    return [file for file in files if is_tar(file.path)]


def _choose_folder(_: pafs.FileSystem, files: Sequence[File]) -> list[File]:
    """Return all files if there is a recording among them: their transcripts are next to them."""
    return list(files) if any(get_suffix(file.path) in AUDIO_SUFFIXES for file in files) else []


_TYPES: tuple[tuple[type[Corpus], Callable[[pafs.FileSystem, Sequence[File]], list[File]]], ...] = (
    (ParquetCorpus, _choose_parquet),
    (TableCorpus, _choose_tables),
    (TarCorpus, _choose_tars),
    (FolderCorpus, _choose_folder),
)


def _open_hugging_face(uri: str, path: str, options: Options) -> Corpus:
    """Open a dataset of the Hub, or one in a folder on this disk without using the network."""
    name = path.removeprefix("hf://").rstrip("/")
    if name.startswith("/"):
        return _open_hugging_face_folder(uri, name, options)
    repo_type, _, name = name.partition("/")
    if repo_type != "datasets" or not name:
        raise CorpusError(
            f"{uri} is not a dataset; expected hf://datasets/OWNER/NAME?split=train, or hf:///FOLDER?lang=fr"
        )
    return HubCorpus(uri, options, pafs.LocalFileSystem(), name, Files([], Counter()))


def _open_hugging_face_folder(uri: str, folder: str, options: Options) -> Corpus:
    if not os.path.isdir(folder):
        raise MissingCorpus(f"the dataset {folder} does not exist; expected the folder of a Hugging Face dataset")
    fs = pafs.LocalFileSystem()
    files, is_saved = list_files(fs, folder), is_saved_dataset(folder)
    has_own_reader = not is_saved and not _choose_parquet(fs, files.found)
    has_own_reader = has_own_reader and bool(_choose_folder(fs, files.found) or _choose_tars(fs, files.found))
    if options.config and (is_saved or has_own_reader):
        raise CorpusError(f"the dataset {folder} has no configurations: remove config={options.config}")
    if not has_own_reader:
        return HubCorpus(uri, options, fs, folder, files)
    splits = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir())
    if options.split and options.split not in splits:
        raise CorpusError(f"the dataset {folder} has no split {options.split}; it has {', '.join(splits)}")
    split = f"{folder}/{options.split}" if options.split else folder
    return _open_files(split, Options(lang=options.lang, text=options.text))
