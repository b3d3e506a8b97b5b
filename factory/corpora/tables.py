"""Reads tables: TSV, CSV and JSON lines.

In a TSV, quotes around a whole cell are removed; other quotes are letters.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from factory.corpora.base import CorpusError
from factory.corpora.text import NotUtf8Error, decode_utf8

Cells = dict[str, object]


@dataclass(frozen=True)
class Line:
    """A row of a table: its line number (from 1), its cells by column, and its error, None if it has none."""

    number: int
    cells: Cells
    error: str | None = None


@dataclass(frozen=True)
class Table:
    """A table: its columns in the order of the header (JSON lines: of their first use), and its rows."""

    name: str
    columns: tuple[str, ...]
    lines: list[Line] = field(repr=False)


def read_table(content: bytes, name: str, columns: tuple[str, ...] | None = None) -> Table:
    """Read a table; empty lines are ignored, and a line with broken JSON or a wrong number of cells keeps its error.

    Args:
        content: the file.
        name: its path; the suffix `.tsv`, `.csv`, `.jsonl` or `.json` (JSON lines) gives the format.
        columns: the columns of a table without a header.

    Raises:
        CorpusError: the file is not UTF-8, has no header, or has a quoted cell over several lines of a TSV.
    """
    try:
        text = decode_utf8(content)
    except NotUtf8Error as error:
        hint = "save it as UTF-8, e.g. with iconv -f latin1 -t utf-8"
        raise CorpusError(f"the table {name} is not UTF-8 text ({error}): {hint}") from error
    suffix = name.rpartition(".")[2].lower()
    if suffix in ("jsonl", "json"):
        return _read_json_lines(text, name)
    return _make_table(_READERS[suffix](text, name), name, columns)


def is_table(path: str) -> bool:
    """Return whether a file is a table by its suffix."""
    return path.rpartition(".")[2].lower() in (*_READERS, "jsonl")


def _make_table(lines: Iterator[tuple[int, list[str]]], name: str, columns: tuple[str, ...] | None) -> Table:
    if columns is None:
        _, header = next(lines, (0, []))
        columns = tuple(cell.strip() for cell in header)
        if not any(columns):
            raise CorpusError(f"the table {name} is empty; its first line must name its columns")
        if repeated := sorted({column for column in columns if columns.count(column) > 1}):
            raise CorpusError(f"the table {name} has the columns {', '.join(repeated)} more than once: rename them")
    return Table(name, columns, [_make_line(number, cells, columns) for number, cells in lines])


def _make_line(number: int, cells: list[str], columns: tuple[str, ...]) -> Line:
    error = None if len(cells) == len(columns) else f"{len(cells)} cells; the header names {len(columns)}"
    return Line(number, dict(zip(columns, cells, strict=False)), error)


def _read_tsv(text: str, name: str) -> Iterator[tuple[int, list[str]]]:
    """Yield number and cells of each line. Only a line feed ends a line: sentences hold other line separators."""
    opened: int | None = None
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), 1):
        if not line.strip():
            continue
        cells = line.split("\t")
        if opened is not None and len(cells) == 1:
            problem = f"line {opened} of {name} begins a quoted cell that ends on line {number}"
            raise CorpusError(f"{problem}: a TSV has one line per row; remove the line breaks, or save it as .csv")
        begins_quote = cells[-1].startswith('"') and not cells[-1].rstrip().endswith('"')
        opened = number if begins_quote else None
        yield number, [_unquote(cell) for cell in cells]


_QUOTED = re.compile(r'"((?:[^"]|"")*)"')


def _unquote(cell: str) -> str:
    """Return a cell without the quotes that CSV writers put around it and double inside it."""
    match = _QUOTED.fullmatch(cell) if cell.startswith('"') else None
    return match[1].replace('""', '"') if match else cell


def _read_csv(text: str, name: str) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield reader.line_num, cells
    except csv.Error as error:
        raise CorpusError(f"line {reader.line_num} of {name} is not valid CSV ({error}): fix it") from error


_READERS: dict[str, Callable[[str, str], Iterator[tuple[int, list[str]]]]] = {"tsv": _read_tsv, "csv": _read_csv}


def _read_json_lines(text: str, name: str) -> Table:
    parsed = ((number, parse_json_object(line)) for number, line in enumerate(text.split("\n"), 1) if line.strip())
    lines = [Line(number, cells, error) for number, (cells, error) in parsed]
    if lines and not any(line.cells for line in lines):
        hint = "write one object per line (of a list, with jq -c .[])"
        raise CorpusError(f"the table {name} has no line with a JSON object: {hint}")
    columns = dict.fromkeys(column for line in lines for column in line.cells)
    return Table(name, tuple(columns), lines)


def parse_json_object(content: str | bytes) -> tuple[Cells, str | None]:
    """Return the JSON object in a text and None, or no cells and what the text is instead."""
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        return {}, f"invalid JSON ({error})"
    if not isinstance(value, dict):
        return {}, f"a JSON {type(value).__name__}; expected an object"
    return value, None
