"""Tables as corpora have them: TSV (quotes around a whole cell are taken off, others are letters), CSV, JSON lines."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from factory.corpora.base import CorpusError
from factory.corpora.text import NotText, decode_text

Cells = dict[str, object]


@dataclass(frozen=True)
class Line:
    """A row of a table: its line number (from 1), its cells by column, and what is wrong with it (None: nothing)."""

    number: int
    cells: Cells
    fault: str | None = None


@dataclass(frozen=True)
class Table:
    """A table: its columns, in the order of the header (JSON lines: of their first use), and its rows."""

    name: str
    columns: tuple[str, ...]
    lines: list[Line] = field(repr=False)


def read_table(content: bytes, name: str, columns: tuple[str, ...] | None = None) -> Table:
    """Read a table by the suffix of its name: `.tsv`, `.csv` or `.jsonl`; empty lines are passed over.

    `columns` names those of a table without a header. A line with too few or too many cells, or with broken JSON, is
    kept with its fault. Raises CorpusError where the file is no text in UTF-8, has no header, or holds a quoted cell
    that goes over several lines of a TSV.
    """
    try:
        text = decode_text(content)
    except NotText as error:
        hint = "save it as UTF-8, e.g. with iconv -f latin1 -t utf-8"
        raise CorpusError(f"the table {name} is no text in UTF-8 ({error}): {hint}") from error
    kind = name.rpartition(".")[2].lower()
    if kind in ("jsonl", "json"):
        return _json_lines(text, name)
    return _separated(_READERS[kind](text, name), name, columns)


def is_table(path: str) -> bool:
    """Whether a file is a table by its suffix."""
    return path.rpartition(".")[2].lower() in (*_READERS, "jsonl")


def _separated(lines: Iterator[tuple[int, list[str]]], name: str, columns: tuple[str, ...] | None) -> Table:
    if columns is None:
        _, header = next(lines, (0, []))
        columns = tuple(cell.strip() for cell in header)
        if not any(columns):
            raise CorpusError(f"the table {name} is empty; its first line must name its columns")
        if twice := sorted({column for column in columns if columns.count(column) > 1}):
            raise CorpusError(f"the table {name} has the columns {', '.join(twice)} more than once: rename them")
    return Table(name, columns, [_line(number, cells, columns) for number, cells in lines])


def _line(number: int, cells: list[str], columns: tuple[str, ...]) -> Line:
    known = dict(zip(columns, cells, strict=False))
    if len(cells) == len(columns):
        return Line(number, dict(known))
    return Line(number, dict(known), f"{len(cells)} cells, and its header names {len(columns)}")


def _tab_separated(text: str, name: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the lines of a TSV. Only line feeds end a line: other characters that may do so occur in sentences."""
    opened: int | None = None
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), 1):
        if not line.strip():
            continue
        cells = line.split("\t")
        if opened is not None and len(cells) == 1:
            told = f"line {opened} of {name} begins a quoted cell that ends on line {number}"
            raise CorpusError(f"{told}: a TSV has one line a row; take the line breaks out, or save it as .csv")
        begins = cells[-1].startswith('"') and not cells[-1].rstrip().endswith('"')
        opened = number if begins else None
        yield number, [_unquoted(cell) for cell in cells]


_QUOTED = re.compile(r'"((?:[^"]|"")*)"')


def _unquoted(cell: str) -> str:
    """Return a cell without the quotes that writers of CSV put around one, and double inside it."""
    found = _QUOTED.fullmatch(cell) if cell.startswith('"') else None
    return found[1].replace('""', '"') if found else cell


def _comma_separated(text: str, name: str) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield reader.line_num, cells
    except csv.Error as error:
        raise CorpusError(f"line {reader.line_num} of {name} is no CSV ({error}): mend it") from error


_READERS: dict[str, Callable[[str, str], Iterator[tuple[int, list[str]]]]] = {
    "tsv": _tab_separated,
    "csv": _comma_separated,
}


def _json_lines(text: str, name: str) -> Table:
    parsed = ((number, json_object(line)) for number, line in enumerate(text.split("\n"), 1) if line.strip())
    lines = [Line(number, cells, fault) for number, (cells, fault) in parsed]
    if lines and not any(line.cells for line in lines):
        hint = "write one a line (of a list, with jq -c .[])"
        raise CorpusError(f"the table {name} has no JSON object in a line: {hint}")
    columns = dict.fromkeys(column for line in lines for column in line.cells)
    return Table(name, tuple(columns), lines)


def json_object(content: str | bytes) -> tuple[Cells, str | None]:
    """Return the JSON object in a text, or no cells and what is there in its place."""
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        return {}, f"no JSON ({error})"
    if not isinstance(value, dict):
        return {}, f"a JSON {type(value).__name__}, and an object is expected"
    return value, None
