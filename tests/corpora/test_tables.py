"""Tables: their lines, and the errors of broken ones."""

from __future__ import annotations

import pytest

from factory.corpora.base import CorpusError
from factory.corpora.tables import is_table, parse_json_object, read_table

HEADER = "utt_id\tlang\tpath\ttext\n"


def test_only_line_feeds_end_a_line_of_a_tsv_and_its_quotes_are_letters() -> None:
    content = f'\ufeff{HEADER}a\tfr\ta.wav\tIl a dit "oui.\r\n\nb\tfr\tb.wav\tbon\u2028jour\n'
    table = read_table(content.encode(), "all.tsv")
    assert table.columns == ("utt_id", "lang", "path", "text")
    assert [(line.number, line.cells["text"], line.error) for line in table.lines] == [
        (2, 'Il a dit "oui.', None),
        (4, "bon\u2028jour", None),
    ]


def test_a_quoted_cell_of_a_csv_may_have_several_lines() -> None:
    [line] = read_table(b'utt_id,text\na,"one, two\nthree"\n', "all.csv").lines
    assert line.cells == {"utt_id": "a", "text": "one, two\nthree"}


def test_columns_can_be_given_for_a_table_without_a_header() -> None:
    [line] = read_table(b"a.mp3\tyes\n", "train.tsv", ("path", "text")).lines
    assert line.cells == {"path": "a.mp3", "text": "yes"}


def test_json_lines_are_objects() -> None:
    table = read_table(b'{"audio_filepath": "a.wav", "duration": 1.5}\n\n[1]\n{"text": \n', "m.jsonl")
    assert table.columns == ("audio_filepath", "duration")
    assert [(line.number, line.error and line.error.partition(" (")[0]) for line in table.lines] == [
        (1, None),
        (3, "a JSON list; expected an object"),
        (4, "invalid JSON"),
    ]


@pytest.mark.parametrize(("cells", "count"), [("a\tfr", 2), ("a\tfr\ta.wav\toui\tnon", 5)])
def test_a_line_with_a_wrong_number_of_cells_keeps_them(cells: str, count: int) -> None:
    [line] = read_table(f"{HEADER}{cells}\n".encode(), "all.tsv").lines
    assert line.error == f"{count} cells; the header names 4" and line.cells["utt_id"] == "a"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.tsv", "é\n".encode("latin-1"), r"a.tsv is not UTF-8 text \(byte 0 is 0xe9\): save it as UTF-8"),
        ("a.tsv", "é\n".encode("utf-16"), r"a.tsv is not UTF-8 text \(it is UTF-16\)"),
        ("a.tsv", b"\n\n", "a.tsv is empty; its first line must name its columns"),
        ("a.tsv", b"path\tpath\n", "has the columns path more than once"),
        (
            "a.tsv",
            f'{HEADER}a\tfr\ta.wav\t"ligne un\nligne deux"\n'.encode(),
            "line 2 of a.tsv begins a quoted cell that ends on line 3",
        ),
        ("a.csv", b'path\n"a.wav', r"line 2 of a.csv is not valid CSV"),
        ("m.json", b'[{"path": "a.wav"}]\n', "m.json has no line with a JSON object: write one object per line"),
    ],
)
def test_a_table_that_cannot_be_read_is_named(name: str, content: bytes, message: str) -> None:
    with pytest.raises(CorpusError, match=message):
        read_table(content, name)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("a.tsv", True), ("a.TSV", True), ("a.csv", True), ("a.jsonl", True), ("a.txt", False), ("tsv", True)],
)
def test_tables_are_known_by_their_suffix(name: str, expected: bool) -> None:
    assert is_table(name) is expected


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
def test_quotes_around_a_whole_cell_are_removed(cell: str, text: str) -> None:
    [line] = read_table(f'"utt_id"\t"text"\na\t{cell}\n'.encode(), "all.tsv").lines
    assert line.cells == {"utt_id": "a", "text": text} and line.error is None


def test_json_that_is_nested_too_deep_is_a_broken_line() -> None:
    deep = "[" * 100_000
    table = read_table(f'{{"path": "a.wav"}}\n{deep}\n'.encode(), "m.jsonl")
    assert [line.error and line.error.partition(" (")[0] for line in table.lines] == [None, "invalid JSON"]


def test_a_json_object_is_returned_without_an_error() -> None:
    assert parse_json_object(b'{"a": 1}') == ({"a": 1}, None)
    assert parse_json_object("null") == ({}, "a JSON NoneType; expected an object")
