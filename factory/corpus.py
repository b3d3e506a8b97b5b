"""Reads speech as people have it (Parquet, tar shards, audio files, a TSV manifest, a Hugging Face dataset) into UTTERANCE rows.

Audio is only named here; workers read it, and the driver never does. Two rows with one utt_id cannot both be kept apart later: the
first is used, the others travel on as `failed` with the reason `duplicate_id` under an id of their own, and so does a row without an id
(`no_id`).
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from factory.files import files_below, filesystem, get, look, parquet_files
from factory.light import LIGHT, light
from factory.recipe import digest
from factory.shards import AUDIO_SUFFIXES, TAR_SUFFIXES, CorpusError, HubShard, ParquetShard, Shard, TarShard
from schemas.datasets import FAILED, OK, UTTERANCE

if TYPE_CHECKING:
    import ray.data

Row = dict[str, Any]

STATED = pa.schema([*UTTERANCE, pa.field("status", pa.string()), pa.field("reason", pa.string())])
_CHUNK = 64
_AT_ONCE = 16


class Speech(NamedTuple):
    """A corpus: its rows as a streaming dataset (columns of UTTERANCE, `status`, `reason`), their ids, and a digest of what was found."""

    rows: ray.data.Dataset
    ids: list[str]
    digest: str


def read_corpus(uri: str) -> Speech:
    """Open the corpus at `uri`.

    `uri` is a Parquet file or a folder of them, tar shards in WebDataset's layout (`factory.shards.TarShard`), a `.tsv` manifest (columns
    `utt_id`, `lang`, `path`, and optionally `text`, `reference`, `speaker`, `split`), a folder of audio files (`<lang>/name.wav`, with the
    transcript in `<lang>/name.txt` where there is one), `hf://datasets/NAME?split=train&lang=fr` or, for a dataset in a folder here,
    `hf:///FOLDER?…`. Raises CorpusError when there is nothing to read.
    """
    if uri.startswith("hf://"):
        return _sharded(_hugging_face(uri).shards())
    fs, path = filesystem(uri)
    if look(fs, path).type == pafs.FileType.NotFound:
        raise CorpusError(f"the corpus {uri} does not exist; expected Parquet, tar shards, a .tsv manifest or audio files")
    if path.endswith(".tsv"):
        return _listed(_manifest_rows(fs, path, _scheme(uri)))
    if not path.endswith(TAR_SUFFIXES) and (parquet := parquet_files(fs, path)):
        return _sharded([ParquetShard(uri, file.path) for file in parquet], [file.size for file in parquet])
    files = [look(fs, path)] if path.endswith(TAR_SUFFIXES) else files_below(fs, path)
    if tars := [file for file in files if file.path.endswith(TAR_SUFFIXES)]:
        return _sharded([TarShard(uri, file.path, _folder(file.path, path)) for file in tars], [file.size for file in tars])
    return _listed(_folder_rows(uri, path, [file.path for file in files]))


def _folder(path: str, root: str) -> str:
    """Return the first folder of a file below the corpus, empty where it lies in the corpus itself."""
    inside = path.removeprefix(root).lstrip("/")
    return inside.partition("/")[0] if "/" in inside else ""


def corpus_size(uri: str) -> int | None:
    """Return how many rows the corpus at `uri` has, where that is known without reading it (Parquet); else None."""
    fs, path = filesystem(uri)
    files = parquet_files(fs, path)
    return sum(pq.ParquetFile(fs.open_input_file(file.path)).metadata.num_rows for file in files) if files else None


def holds_units(uri: str) -> bool:
    """Whether the corpus at `uri` is units already (Parquet with rows of PAIRED), and no speech."""
    if uri.startswith("hf://"):
        return False
    fs, path = filesystem(uri)
    files = [] if path.endswith((*TAR_SUFFIXES, ".tsv")) else parquet_files(fs, path)
    return bool(files) and "src_units" in pq.read_schema(fs.open_input_file(files[0].path)).names


def _listed(rows: list[Row]) -> Speech:
    import ray.data

    marked = mark_duplicates(rows)
    chunks = [marked[start : start + _CHUNK] for start in range(0, len(marked), _CHUNK)]
    ids = [row["utt_id"] for row in marked]
    return Speech(ray.data.from_arrow([pa.Table.from_pylist(chunk, schema=STATED) for chunk in chunks]), ids, digest(ids))


@dataclass(frozen=True)
class _Part:
    """A shard, and the places of its rows that are marked, each with how often its id occurred by then."""

    shard: Shard
    repeats: dict[int, int]


def _sharded(shards: Sequence[Shard], sizes: Sequence[int] = ()) -> Speech:
    """Open shards; `sizes` (bytes of each) tell other recordings under the same ids apart."""
    import ray.data

    repeats, ids = _repeats(_names(shards))
    parts = [_Part(shard, repeated) for shard, repeated in zip(shards, repeats, strict=True)]
    rows = ray.data.from_items([{"part": part} for part in parts]).map_batches(_read_shards, batch_size=1, **light())
    return Speech(rows, ids, digest([ids, *([list(sizes)] if sizes else [])]))


def _names(shards: Sequence[Shard]) -> list[list[str | None]]:
    """Return the ids of every shard, many shards at a time; where audio has to be passed by, workers do it."""
    import ray

    if not shards or not shards[0].reads_audio:
        with ThreadPoolExecutor(_AT_ONCE) as threads:
            return list(threads.map(_names_of, shards))
    named: Any = ray.remote(num_cpus=LIGHT)(_names_of)
    try:
        return ray.get([named.remote(shard) for shard in shards])
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None


def _names_of(shard: Shard) -> list[str | None]:
    return shard.names()


def _repeats(named: Iterable[Iterable[str | None]]) -> tuple[list[dict[int, int]], list[str]]:
    """Return for each shard the places of rows whose id occurred before (or that have none) and how often; and all ids."""
    seen: Counter[str | None] = Counter()
    repeats, ids = [], []
    for shard in named:
        found = {}
        for place, utt_id in enumerate(name or None for name in shard):
            seen[utt_id] += 1
            if seen[utt_id] > 1 or utt_id is None:
                found[place] = seen[utt_id]
            ids.append(_marked({"utt_id": utt_id}, seen[utt_id])["utt_id"])
        repeats.append(found)
    return repeats, ids


def _read_shards(batch: Row) -> Iterator[pa.Table]:
    for part in batch["part"]:
        start = 0
        for rows in part.shard.rows():
            told = [_marked(row, part.repeats[at]) if at in part.repeats else {"status": OK, **row} for at, row in enumerate(rows, start)]
            start += len(rows)
            yield pa.Table.from_pylist(told, schema=STATED)


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


def _scheme(uri: str) -> str:
    """Return what stands before a path of this file system, so that a worker finds it again: `s3://`, or nothing on a disk."""
    scheme, found, _ = uri.partition("://")
    return f"{scheme}://" if found and scheme != "file" else ""


def _manifest_rows(fs: pafs.FileSystem, path: str, scheme: str) -> list[Row]:
    content = get(fs, path)
    try:
        reader = csv.DictReader(io.StringIO(content.decode("utf-8"), newline=""), delimiter="\t", quoting=csv.QUOTE_NONE)
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
        raise CorpusError(f"{uri} holds neither Parquet nor tar shards nor audio files ({', '.join(sorted(AUDIO_SUFFIXES))})")
    fs, _ = filesystem(uri)
    texts = {path for path in paths if path.endswith(".txt")}
    with ThreadPoolExecutor(_AT_ONCE) as threads:  # an object store answers slowly, but many at once
        return list(threads.map(lambda sound: _folder_row(fs, PurePosixPath(root), sound, texts, _scheme(uri)), sounds))


def _folder_row(fs: pafs.FileSystem, root: PurePosixPath, sound: PurePosixPath, texts: set[str], scheme: str) -> Row:
    inside, transcript = sound.relative_to(root), str(sound.with_suffix(".txt"))
    text = get(fs, transcript).decode("utf-8", "replace").strip() if transcript in texts else None
    lang = inside.parts[0] if len(inside.parts) > 1 else ""
    return {"utt_id": str(inside.with_suffix("")), "lang": lang, "audio": {"path": f"{scheme}{sound}", "bytes": None}, "text": text}


def _hugging_face(uri: str) -> HubShard:
    """Read `hf://datasets/OWNER/NAME?...` or `hf:///FOLDER?...`; options are config, split, lang and text (the column of transcripts)."""
    parts = urlsplit(uri)
    query = dict(parse_qsl(parts.query))
    name = parts.path.strip("/") if parts.netloc else parts.path
    return HubShard(name, query.get("config"), query.get("split", "train"), query.get("lang", ""), query.get("text"))
