"""Tables: what a line is, and what is wrong with one."""

from __future__ import annotations

import pytest

from factory.corpora.base import CorpusError
from factory.corpora.tables import is_table, read_table

HEADER = "utt_id\tlang\tpath\ttext\n"


def test_a_tsv_ends_its_lines_at_line_feeds_alone_and_its_quotes_are_letters() -> None:
    table = read_table(
        f'\ufeff{HEADER}a\tfr\ta.wav\tIl a dit "oui.\r\n\nb\tfr\tb.wav\tbon\u2028jour\n'.encode(), "all.tsv"
    )
    assert table.columns == ("utt_id", "lang", "path", "text")
    assert [(line.number, line.cells["text"], line.fault) for line in table.lines] == [
        (2, 'Il a dit "oui.', None),
        (4, "bon\u2028jour", None),
    ]


def test_a_csv_has_quoted_cells_over_several_lines() -> None:
    [line] = read_table(b'utt_id,text\na,"one, two\nthree"\n', "all.csv").lines
    assert line.cells == {"utt_id": "a", "text": "one, two\nthree"}


def test_json_lines_are_objects() -> None:
    table = read_table(b'{"audio_filepath": "a.wav", "duration": 1.5}\n\n[1]\n{"text": \n', "m.jsonl")
    assert table.columns == ("audio_filepath", "duration")
    assert [(line.number, line.fault and line.fault.partition(" (")[0]) for line in table.lines] == [
        (1, None),
        (3, "a JSON list, and an object is expected"),
        (4, "no JSON"),
    ]


@pytest.mark.parametrize(("cells", "count"), [("a\tfr", 2), ("a\tfr\ta.wav\toui\tnon", 5)])
def test_a_line_with_other_cells_than_the_header_keeps_what_it_has(cells: str, count: int) -> None:
    [line] = read_table(f"{HEADER}{cells}\n".encode(), "all.tsv").lines
    assert line.fault == f"{count} cells, and its header names 4" and line.cells["utt_id"] == "a"


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.tsv", "é\n".encode("latin-1"), r"a.tsv is no text in UTF-8 \(byte 0 is 0xe9\): save it as UTF-8"),
        ("a.tsv", "é\n".encode("utf-16"), r"a.tsv is no text in UTF-8 \(it is UTF-16\)"),
        ("a.tsv", b"\n\n", "a.tsv is empty; its first line must name its columns"),
        ("a.tsv", b"path\tpath\n", "has the columns path more than once"),
        (
            "a.tsv",
            f'{HEADER}a\tfr\ta.wav\t"ligne un\nligne deux"\n'.encode(),
            "line 2 of a.tsv begins a quoted cell that ends on line 3",
        ),
        ("a.csv", b'path\n"a.wav', r"line 2 of a.csv is no CSV"),
    ],
)
def test_a_table_that_cannot_be_read_is_named(name: str, content: bytes, sentence: str) -> None:
    with pytest.raises(CorpusError, match=sentence):
        read_table(content, name)


def test_tables_are_known_by_their_suffix() -> None:
    assert [is_table(name) for name in ("a.tsv", "a.TSV", "a.csv", "a.jsonl", "a.txt", "tsv")] == [
        True,
        True,
        True,
        True,
        False,
        True,
    ]


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        ('"Il a dit ""oui""."', 'Il a dit "oui".'),
        ('"""Oui"""', '"Oui"'),
        ('"Oui."', "Oui."),
        ('"Oui", dit-il. "Non."', '"Oui", dit-il. "Non."'),
        ('"', '"'),
    ],
)
def test_quotes_that_a_writer_of_csv_put_around_a_cell_are_taken_off(cell: str, text: str) -> None:
    [line] = read_table(f'"utt_id"\t"text"\na\t{cell}\n'.encode(), "all.tsv").lines
    assert line.cells == {"utt_id": "a", "text": text} and line.fault is None


def test_json_that_is_nested_too_deep_is_a_broken_line() -> None:
    deep = "[" * 100_000
    table = read_table(f'{{"path": "a.wav"}}\n{deep}\n'.encode(), "m.jsonl")
    assert [line.fault and line.fault.partition(" (")[0] for line in table.lines] == [None, "no JSON"]


def test_a_json_list_is_no_table() -> None:
    with pytest.raises(CorpusError, match="m.json has no JSON object in a line: write one a line"):
        read_table(b'[{"path": "a.wav"}]\n', "m.json")
