"""Reads speech as people have it (Parquet, a folder of audio files, a TSV manifest, a Hugging Face dataset) into UTTERANCE rows.

Audio is only named here; it is read where it is used. Two rows with one utt_id cannot both be kept apart later: the first is used, the
others travel on as `failed` with the reason `duplicate_id` under an id of their own, and so does a row without an id (`no_id`).
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from factory.files import filesystem, parquet_files
from factory.light import light
from factory.recipe import digest
from schemas.datasets import FAILED, OK, UTTERANCE

if TYPE_CHECKING:
    import ray.data

Row = dict[str, Any]

STATED = pa.schema([*UTTERANCE, pa.field("status", pa.string()), pa.field("reason", pa.string())])
AUDIO_SUFFIXES = {".wav", ".flac", ".ogg", ".opus", ".mp3"}
_CHUNK = 64


class CorpusError(ValueError):
    """A corpus that cannot be read at all; a bad row is no error, it is kept with its reason."""


class Speech(NamedTuple):
    """A corpus: its rows as a streaming dataset (columns of UTTERANCE, `status`, `reason`), their ids, and a digest of what was found."""

    rows: ray.data.Dataset
    ids: list[str]
    digest: str


def read_corpus(uri: str) -> Speech:
    """Open the corpus at `uri`.

    `uri` is a Parquet file or a folder of them, a `.tsv` manifest (columns `utt_id`, `lang`, `path`, and optionally `text`, `reference`,
    `speaker`, `split`), a folder of audio files (`<lang>/name.wav`, with the transcript in `<lang>/name.txt` where there is one), or
    `hf://datasets/NAME?split=train&lang=fr`. Raises CorpusError when there is nothing to read.
    """
    if uri.startswith("hf://"):
        return _listed(_hugging_face_rows(uri))
    fs, path = filesystem(uri)
    info = fs.get_file_info(path)
    if info.type == pafs.FileType.NotFound:
        raise CorpusError(f"the corpus {uri} does not exist; expected Parquet, a .tsv manifest or a folder of audio files there")
    if path.endswith(".tsv"):
        return _listed(_manifest_rows(fs, path, _scheme(uri)))
    if parquet := parquet_files(fs, path):
        return _sharded(uri, fs, parquet)
    return _listed(_folder_rows(uri, path, sorted(file.path for file in fs.get_file_info(pafs.FileSelector(path, recursive=True)))))


def corpus_size(uri: str) -> int | None:
    """Return how many rows the corpus at `uri` has, where that is known without reading it (Parquet); else None."""
    fs, path = filesystem(uri)
    files = parquet_files(fs, path)
    return sum(pq.ParquetFile(fs.open_input_file(file.path)).metadata.num_rows for file in files) if files else None


def _listed(rows: list[Row]) -> Speech:
    import ray.data

    marked = mark_duplicates(rows)
    chunks = [marked[start : start + _CHUNK] for start in range(0, len(marked), _CHUNK)]
    ids = [row["utt_id"] for row in marked]
    return Speech(ray.data.from_arrow([pa.Table.from_pylist(chunk, schema=STATED) for chunk in chunks]), ids, digest(ids))


def _sharded(uri: str, fs: pafs.FileSystem, files: list[pafs.FileInfo]) -> Speech:
    import ray.data

    shards, ids = _parquet_shards(fs, [file.path for file in files])
    rows = ray.data.from_items(shards).map_batches(partial(_read_shards, uri=uri), batch_size=1, **light())
    return Speech(rows, ids, digest([ids, [file.size for file in files]]))


def mark_duplicates(rows: list[Row]) -> list[Row]:
    """Give every row its status: the first of an utt_id is `ok`, the others `failed` with an id of their own."""
    seen: Counter[str | None] = Counter()
    marked = []
    for row in rows:
        seen[row["utt_id"] or None] += 1
        marked.append(_marked(row, seen[row["utt_id"] or None]))
    return marked


def _marked(row: Row, occurrence: int) -> Row:
    if not row["utt_id"]:
        return {**row, "utt_id": nameless(occurrence), "status": FAILED, "reason": "no_id: the row has no utt_id"}
    return {"status": OK, **row} if occurrence == 1 else duplicate(row, occurrence)


def nameless(occurrence: int) -> str:
    """Return the id of the n-th row without one."""
    return f"no_id#{occurrence}"


def duplicate(row: Row, occurrence: int) -> Row:
    """Return a row whose utt_id was already taken as `failed`."""
    reason = f"duplicate_id: {row['utt_id']} occurs more than once in the corpus; give every utterance an id of its own"
    return {**row, "utt_id": f"{row['utt_id']}#{occurrence}", "status": FAILED, "reason": reason}


def _parquet_shards(fs: pafs.FileSystem, paths: list[str]) -> tuple[list[Row], list[str]]:
    """List the files, each with the rows in it whose id occurred before, and all ids (reads the id column only)."""
    seen: Counter[str | None] = Counter()
    shards, named = [], []
    for path in paths:
        repeats = {}
        for position, utt_id in enumerate(utt_id or None for utt_id in _ids(fs, path)):
            seen[utt_id] += 1
            if seen[utt_id] > 1 or utt_id is None:
                repeats[position] = seen[utt_id]
            named.append(_marked({"utt_id": utt_id}, seen[utt_id])["utt_id"])
        shards.append({"path": path, "positions": list(repeats), "occurrences": list(repeats.values())})
    return shards, named


def _ids(fs: pafs.FileSystem, path: str) -> list[str]:
    try:
        with fs.open_input_file(path) as file:
            parquet = pq.ParquetFile(file)
            _check_columns(path, parquet.schema_arrow)
            return parquet.read(columns=["utt_id"]).column("utt_id").to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise CorpusError(f"{path} is no complete Parquet file: {error}") from error


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


def _read_shards(batch: Row, uri: str) -> Iterator[pa.Table]:
    fs, _ = filesystem(uri)
    for path, positions, occurrences in zip(batch["path"], batch["positions"], batch["occurrences"], strict=True):
        repeats = dict(zip(map(int, positions), map(int, occurrences), strict=True))
        start = 0
        for records in pq.ParquetFile(fs.open_input_file(path)).iter_batches(batch_size=_CHUNK):
            rows = [{"status": OK, **row} for row in records.to_pylist()]
            for position in [at for at in repeats if start <= at < start + len(rows)]:
                rows[position - start] = _marked(rows[position - start], repeats[position])
            start += len(rows)
            yield pa.Table.from_pylist(rows, schema=STATED)


def _scheme(uri: str) -> str:
    """Return what stands before a path of this file system, so that a worker finds it again: `s3://`, or nothing on a disk."""
    scheme, found, _ = uri.partition("://")
    return f"{scheme}://" if found and scheme != "file" else ""


def _manifest_rows(fs: pafs.FileSystem, path: str, scheme: str) -> list[Row]:
    with fs.open_input_stream(path) as stream:
        content = stream.read()
    try:
        reader = csv.DictReader(content.decode("utf-8").splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE)
        rows = list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise CorpusError(f"the manifest {path} is no tab-separated text in UTF-8: {error}") from error
    missing = {"utt_id", "lang", "path"} - set(reader.fieldnames or ())
    if missing:
        raise CorpusError(f"the manifest {path} lacks the columns {sorted(missing)}; its first line names {reader.fieldnames}")
    folder = PurePosixPath(path).parent
    paths = [f"{scheme}{folder / row['path']}" if row["path"] else None for row in rows]
    return [{**row, "audio": {"path": path, "bytes": None}} for row, path in zip(rows, paths, strict=True)]


def _folder_rows(uri: str, root: str, paths: list[str]) -> list[Row]:
    sounds = [PurePosixPath(path) for path in paths if PurePosixPath(path).suffix.lower() in AUDIO_SUFFIXES]
    if not sounds:
        raise CorpusError(f"{uri} holds neither Parquet nor audio files ({', '.join(sorted(AUDIO_SUFFIXES))})")
    fs, _ = filesystem(uri)
    texts = {path for path in paths if path.endswith(".txt")}
    return [_folder_row(fs, PurePosixPath(root), sound, texts, _scheme(uri)) for sound in sounds]


def _folder_row(fs: pafs.FileSystem, root: PurePosixPath, sound: PurePosixPath, texts: set[str], scheme: str) -> Row:
    inside, transcript = sound.relative_to(root), str(sound.with_suffix(".txt"))
    text = None
    if transcript in texts:
        with fs.open_input_stream(transcript) as stream:
            text = stream.read().decode("utf-8", "replace").strip()
    lang = inside.parts[0] if len(inside.parts) > 1 else ""
    return {"utt_id": str(inside.with_suffix("")), "lang": lang, "audio": {"path": f"{scheme}{sound}", "bytes": None}, "text": text}


def _hugging_face_rows(uri: str) -> list[Row]:
    from urllib.parse import parse_qsl, urlsplit

    import datasets

    parts = urlsplit(uri)
    query = dict(parse_qsl(parts.query))
    name = parts.path.strip("/")
    dataset = datasets.load_dataset(name, query.get("config"), split=query.get("split", "train"))
    dataset = dataset.cast_column("audio", datasets.Audio(decode=False))
    text = query.get("text", "sentence" if "sentence" in dataset.column_names else "text")
    return [
        {
            "utt_id": row.get("utt_id") or f"{name}/{number:08d}",
            "lang": row.get("lang") or query.get("lang", ""),
            "audio": row["audio"],
            "text": row.get(text),
            "reference": row.get("reference"),
        }
        for number, row in enumerate(dataset)
    ]
