"""How tables name recordings: Roundtrip, NeMo, Hugging Face audio folders, Common Voice, CVSS, FLEURS and VoxPopuli."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath

from factory.corpora.base import CorpusError, mark_failed
from factory.corpora.columns import COLUMN_NAMES, Options, check_text_option, find_value, to_utterance
from factory.corpora.tables import Cells, Line, Table, read_table
from factory.corpora.text import escape_surrogates, normalise_language, remove_suffix
from schemas.datasets import Row

SENTENCE = "sentence"
"""The key of a row with the number of its sentence, where a table has one; it is no column of UTTERANCE."""


@dataclass(frozen=True)
class TableRow:
    """A row of a table without its audio."""

    row: Row
    paths: tuple[str, ...]
    """The paths that its recording may have; the first that exists counts."""
    source: str
    """Line and table, for messages."""


@dataclass(frozen=True)
class Layout:
    """Where the recordings of a kind of table are."""

    paths: Callable[[Cells, str], tuple[str, ...]]
    """Returns the paths, relative to the table, from the cells of a line and the name of the table without suffix."""
    lang: str | None = None
    """The language of the table; None: the name of its folder, if that is a language code."""
    sentence: str | None = None
    """The column with the number that a sentence has in all languages; None: there is none."""


def read_table_rows(path: str, content: bytes, options: Options) -> list[TableRow]:
    """Return the rows of a table; a broken line becomes a failed row.

    Args:
        path: the path of the table; the paths that it names are relative to its folder.
        content: the file.
        options: the options of the corpus.

    Raises:
        CorpusError: the table cannot be read, names no recordings, or lacks the column of the option `text`.
    """
    table = read_table(content, path, _find_missing_header(content, path))
    layout = _find_layout(table)
    check_text_option(table.columns, options, f"the table {path}")
    return [_make_row(line, table, layout, options) for line in table.lines]


def names_recordings(path: str, head: bytes) -> bool:
    """Return whether a table has paths of recordings, by its first line."""
    first = head.partition(b"\n")[0].decode("utf-8-sig", "replace").strip()
    if _find_missing_header(head, path):
        return True
    if path.endswith(".jsonl"):
        return any(f'"{name}"' in first for name in (*COLUMN_NAMES["path"], "audio"))
    columns = {cell.strip().strip('"') for cell in first.split("\t" if path.endswith(".tsv") else ",")}
    return bool({*COLUMN_NAMES["path"]} & columns)


def _make_row(line: Line, table: Table, layout: Layout, options: Options) -> TableRow:
    file, source = PurePosixPath(table.name), f"line {line.number} of {table.name}"
    folder = normalise_language(file.parent.name)
    row = to_utterance(line.cells, options, layout.lang or (folder if len(folder) <= 3 else ""))
    paths = tuple(_join(file.parent, path) for path in layout.paths(line.cells, file.stem))
    row["utt_id"] = row["utt_id"] or (_make_id(paths[0], file.parent) if paths else f"{file.name}:{line.number}")
    row["split"] = row["split"] or (file.stem if file.stem in ("train", "dev", "test") else None)
    if layout.sentence:
        row[SENTENCE] = str(line.cells.get(layout.sentence) or "")
    if error := line.error or _find_segment(line.cells):
        row = mark_failed(row, f"broken_line: {source} has {error}")
    return TableRow(row, paths, source)


def _join(folder: PurePosixPath, path: str) -> str:
    return path if "://" in path else str(folder / path)


def _make_id(path: str, folder: PurePosixPath) -> str:
    """Return the id of a row that has none: the path of its recording in the table's folder, without the suffix."""
    if "://" in path or not PurePosixPath(path).is_relative_to(folder):
        return remove_suffix(path)
    inside = PurePosixPath(path).relative_to(folder)
    return inside.stem.removesuffix(".mp3") if inside.parts[0] in _FOLDERS else remove_suffix(str(inside))


_FOLDERS = ("clips", "audio", "train", "dev", "test")
"""Folders in which public corpora keep their recordings; ids leave them out."""


def _find_segment(cells: Cells) -> str | None:
    """Return an error if a line names a part of a recording, which is not supported: NeMo's `offset` in seconds."""
    try:
        offset = float(str(cells.get("offset") or 0))
    except ValueError:
        return None
    return f"the offset {offset:g} s; cut recordings into one file per utterance first" if offset else None


# ---- the layouts


def _find_layout(table: Table) -> Layout:
    """Recognise a table by its columns. Raises CorpusError if it names no recordings."""
    columns = set(table.columns)
    if table.columns == _CVSS:
        return Layout(_cvss_paths, lang="en")
    layout = next((layout for needed, layout in _LAYOUTS if needed <= columns), None)
    if layout is None and not columns & {*COLUMN_NAMES["path"], "audio"}:
        names = ", ".join(COLUMN_NAMES["path"])
        hint = f"expected one of {names}, next to utt_id, lang, text, reference, speaker"
        raise CorpusError(
            f"the table {table.name} has no column of paths: {hint}; it has {', '.join(table.columns) or 'none'}"
        )
    return layout or Layout(_own_paths)


def _own_paths(cells: Cells, _: str) -> tuple[str, ...]:
    value = find_value(cells, "path") or cells.get("audio")
    path = value.get("path") if isinstance(value, dict) else value
    return (escape_surrogates(str(path)).strip(),) if path else ()


def _common_voice_paths(cells: Cells, split: str) -> tuple[str, ...]:
    return tuple(file for path in _own_paths(cells, split) for file in (f"clips/{path}", f"clips/{path}.mp3", path))


def _fleurs_paths(cells: Cells, split: str) -> tuple[str, ...]:
    paths = _own_paths(cells, split)
    return tuple(file for path in paths for file in (f"audio/{split}/{path}", f"{split}/{path}", path))


def _cvss_paths(cells: Cells, split: str) -> tuple[str, ...]:
    return tuple(f"{split}/{path}.wav" for path in _own_paths(cells, split))


def _voxpopuli_paths(cells: Cells, _: str) -> tuple[str, ...]:
    name = str(cells.get("id") or cells.get("id_") or cells.get("audio_id") or "")
    folders = (f"{name[:4]}/", "") if name else ()
    return tuple(f"{folder}{name}{suffix}" for folder in folders for suffix in (".ogg", ".wav"))


_FLEURS = ("id", "file_name", "raw_transcription", "transcription", "letters", "num_samples", "gender")
_CVSS = ("path", "text")
_LAYOUTS: tuple[tuple[set[str], Layout], ...] = (
    ({"client_id", "path", "sentence"}, Layout(_common_voice_paths)),
    (set(_FLEURS), Layout(_fleurs_paths, sentence="id")),
    ({"id", "raw_text", "normalized_text"}, Layout(_voxpopuli_paths)),
    ({"id_", "raw_text", "normalized_text"}, Layout(_voxpopuli_paths)),
)
"""The columns by which a layout is recognised, and the layout."""


def _find_missing_header(content: bytes, path: str) -> tuple[str, ...] | None:
    """Return the columns of a TSV of FLEURS or CVSS, which have no header; None for any other table."""
    first = content.partition(b"\n")[0].decode("utf-8", "replace").rstrip("\r").split("\t")
    if not path.endswith(".tsv"):
        return None
    if len(first) == len(_FLEURS) and first[0].isdigit() and first[1].endswith(".wav"):
        return _FLEURS
    return _CVSS if len(first) == len(_CVSS) and first[0].endswith(".mp3") else None
