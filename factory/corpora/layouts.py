"""How tables name recordings: ours, NeMo's, Hugging Face's audio folders, Common Voice, CVSS, FLEURS, VoxPopuli."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath

from factory.corpora.base import CorpusError, failed_row
from factory.corpora.columns import NAMES, Options, check_option, find, utterance
from factory.corpora.tables import Cells, Line, Table, read_table
from factory.corpora.text import language, stem, storable
from schemas.datasets import Row


@dataclass(frozen=True)
class Named:
    """A row of a table without its audio, the paths that its recording may have (the first that is there), its line."""

    row: Row
    paths: tuple[str, ...]
    where: str


@dataclass(frozen=True)
class Layout:
    """Where a kind of table has its recordings, from its own folder: by a line's cells and the table's stem."""

    paths: Callable[[Cells, str], tuple[str, ...]]
    lang: str | None = None
    """The language where the table has none; None: the name of its folder, if that is one."""


def named_rows(path: str, content: bytes, options: Options) -> list[Named]:
    """Return the rows of the table at `path`; a broken line becomes a failed row.

    Raises CorpusError where the table cannot be read or names no recordings, and for an option that names no column.
    """
    table = read_table(content, path, _columns_without_header(content, path))
    layout = _layout(table)
    check_option(table.columns, options, f"the table {path}")
    return [_named(line, table, layout, options) for line in table.lines]


def names_recordings(path: str, head: bytes) -> bool:
    """Whether a table with a well-known name has paths of recordings, by its first line."""
    first = head.partition(b"\n")[0].decode("utf-8-sig", "replace").strip()
    if _columns_without_header(head, path):
        return True
    if path.endswith(".jsonl"):
        return any(f'"{name}"' in first for name in (*NAMES["path"], "audio"))
    columns = {cell.strip().strip('"') for cell in first.split("\t" if path.endswith(".tsv") else ",")}
    return bool({*NAMES["path"]} & columns)


def _named(line: Line, table: Table, layout: Layout, options: Options) -> Named:
    place, where = PurePosixPath(table.name), f"line {line.number} of {table.name}"
    folder = language(place.parent.name)
    row = utterance(line.cells, options, layout.lang or (folder if len(folder) <= 3 else ""))
    paths = tuple(_absolute(path, place.parent) for path in layout.paths(line.cells, place.stem))
    row["utt_id"] = row["utt_id"] or (_name(paths[0], place.parent) if paths else f"{place.name}:{line.number}")
    row["split"] = row["split"] or (place.stem if place.stem in ("train", "dev", "test") else None)
    if fault := line.fault or _segment(line.cells):
        row = failed_row(row, f"broken_line: {where} has {fault}")
    return Named(row, paths, where)


def _absolute(path: str, folder: PurePosixPath) -> str:
    return path if "://" in path else str(folder / path)


def _name(path: str, folder: PurePosixPath) -> str:
    """Return the id of a row that has none: the path of its recording from the table's folder, without the suffix."""
    if "://" in path or not PurePosixPath(path).is_relative_to(folder):
        return stem(path)
    inside = PurePosixPath(path).relative_to(folder)
    return inside.stem.removesuffix(".mp3") if inside.parts[0] in _FOLDERS else stem(str(inside))


_FOLDERS = ("clips", "audio", "train", "dev", "test")
"""Folders that layouts of public corpora put their recordings in; ids leave them out."""


def _segment(cells: Cells) -> str | None:
    """Say so where a line asks for a part of a recording: NeMo's `offset` in seconds."""
    try:
        offset = float(str(cells.get("offset") or 0))
    except ValueError:
        return None
    return f"the offset {offset:g} s; cut recordings into one file an utterance first" if offset else None


# ---- the layouts


def _layout(table: Table) -> Layout:
    """Recognise a table by its columns; raises CorpusError where it names no recordings."""
    columns = set(table.columns)
    if table.columns == _CVSS:
        return Layout(_cvss, lang="en")
    known = next((layout for needed, layout in _LAYOUTS if needed <= columns), None)
    if known is None and not columns & {*NAMES["path"], "audio"}:
        names = ", ".join(NAMES["path"])
        hint = f"expected one of {names}, beside utt_id, lang, text, reference, speaker"
        raise CorpusError(
            f"the table {table.name} has no column of paths: {hint}; it has {', '.join(table.columns) or 'none'}"
        )
    return known or Layout(_own_paths)


def _own_paths(cells: Cells, _: str) -> tuple[str, ...]:
    value = find(cells, "path") or cells.get("audio")
    path = value.get("path") if isinstance(value, dict) else value
    return (storable(str(path)).strip(),) if path else ()


def _clips(cells: Cells, split: str) -> tuple[str, ...]:
    return tuple(place for path in _own_paths(cells, split) for place in (f"clips/{path}", f"clips/{path}.mp3", path))


def _fleurs(cells: Cells, split: str) -> tuple[str, ...]:
    return tuple(
        place for path in _own_paths(cells, split) for place in (f"audio/{split}/{path}", f"{split}/{path}", path)
    )


def _cvss(cells: Cells, split: str) -> tuple[str, ...]:
    return tuple(f"{split}/{path}.wav" for path in _own_paths(cells, split))


def _voxpopuli(cells: Cells, split: str) -> tuple[str, ...]:
    name = str(cells.get("id") or cells.get("id_") or cells.get("audio_id") or "")
    return (
        tuple(f"{folder}{name}{suffix}" for folder in (f"{name[:4]}/", "") for suffix in (".ogg", ".wav"))
        if name
        else ()
    )


_FLEURS = ("id", "file_name", "raw_transcription", "transcription", "letters", "num_samples", "gender")
_CVSS = ("path", "text")
_LAYOUTS: tuple[tuple[set[str], Layout], ...] = (
    ({"client_id", "path", "sentence"}, Layout(_clips)),
    (set(_FLEURS), Layout(_fleurs)),
    ({"id", "raw_text", "normalized_text"}, Layout(_voxpopuli)),
    ({"id_", "raw_text", "normalized_text"}, Layout(_voxpopuli)),
)
"""The columns that tell a layout, and the layout."""


def _columns_without_header(content: bytes, path: str) -> tuple[str, ...] | None:
    """Return the columns of a TSV that has no header, which FLEURS' and CVSS' have not; None for any other."""
    first = content.partition(b"\n")[0].decode("utf-8", "replace").rstrip("\r").split("\t")
    if not path.endswith(".tsv"):
        return None
    if len(first) == len(_FLEURS) and first[0].isdigit() and first[1].endswith(".wav"):
        return _FLEURS
    return _CVSS if len(first) == len(_CVSS) and first[0].endswith(".mp3") else None
