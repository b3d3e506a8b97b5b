"""The files of a corpus: every one is read, named by a row, or counted."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from factory.corpora.files import path_inside, summarise_left_out, uri_of
from factory.corpora.marking import mark
from factory.corpora.opening import open_corpus
from tests.corpora.speech import put, rows, tone

HEADER = "utt_id\tlang\tpath\ttext\n"


def left_out(uri: str) -> str:
    corpus = open_corpus(uri)
    counted = mark(corpus.shards).left_out
    return summarise_left_out(corpus.left_out + counted)


@pytest.mark.parametrize("path", ["\\ud800.wav", "a\\u0000.wav", "x" * 300 + ".wav", "x/" * 3000, "a.wav/b.wav"])
def test_a_path_that_no_file_can_have_fails_its_row_alone(tmp_path: Path, path: str) -> None:
    put(tmp_path / "a.wav", tone())
    lines = [f'{{"utt_id": "{name}", "lang": "fr", "path": "{at}"}}' for name, at in (("a", "a.wav"), ("b", path))]
    corpus = open_corpus(str(put(tmp_path / "all.jsonl", "\n".join(lines))))
    assert set(rows(corpus)) == {"a", "b"} and set(corpus.recordings(["a", "b"])) == {"a"}


def test_recordings_that_no_row_names_are_counted(tmp_path: Path) -> None:
    for kind in ("table", "parquet"):
        for name in ("a", "b", "c"):
            put(tmp_path / f"{kind}/fr/{name}.wav", tone())
    put(tmp_path / "table/metadata.csv", '"file_name","lang"\n"fr/a.wav","fr"\n')
    columns = {"utt_id": ["a", "b"], "lang": ["fr", "fr"], "audio": ["fr/a.wav", "fr/b.wav"]}
    pq.write_table(pa.table(columns), tmp_path / "parquet/all.parquet")
    assert left_out(str(tmp_path / "table")) == "recording that no row names 2"
    assert left_out(str(tmp_path / "parquet")) == "recording that no row names 1"


def test_a_table_that_a_folder_does_not_use_is_counted(tmp_path: Path) -> None:
    put(tmp_path / "fr/a.wav", tone())
    put(tmp_path / "all.tsv", HEADER)
    assert left_out(str(tmp_path)) == ".tsv table (name it as the corpus to read it) 1"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may open any folder")
def test_a_folder_that_cannot_be_opened_is_counted(tmp_path: Path) -> None:
    put(tmp_path / "fr/a.wav", tone())
    (tmp_path / "en").mkdir(mode=0)
    assert left_out(str(tmp_path)) == "folder that cannot be opened 1"


def test_what_is_no_file_is_counted(tmp_path: Path) -> None:
    put(tmp_path / "fr/a.wav", tone())
    os.mkfifo(tmp_path / "fr/b.wav")
    (tmp_path / "fr/c.wav").symlink_to("c.wav")
    assert list(rows(open_corpus(str(tmp_path)))) == ["fr/a"]
    assert left_out(str(tmp_path)) == "broken link 1, no file that can be opened 1"


def test_what_is_left_out_of_many_files_is_counted_at_once(tmp_path: Path) -> None:
    pq.write_table(pa.table({"utt_id": ["a"], "lang": ["fr"], "audio": [tone()]}), tmp_path / "a.parquet")
    for number in range(15_000):
        os.link(tmp_path / "a.parquet", tmp_path / f"{number}.parquet")
    began = time.process_time()
    open_corpus(str(tmp_path))
    assert time.process_time() - began < 6


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("a.wav", "/in/x/a.wav"),
        ("../a.wav", "/in/a.wav"),
        ("../../a.wav", None),
        ("/in/a.wav", "/in/a.wav"),
        ("/inside/a.wav", None),
        ("..a.wav", "/in/x/..a.wav"),
        ("y/../../../a.wav", None),
    ],
)
def test_a_path_counts_from_its_folder_and_leads_nowhere_out_of_the_corpus(path: str, expected: str | None) -> None:
    assert path_inside("/in", "/in/x", path) == expected


@pytest.mark.parametrize(
    ("like", "expected"),
    [
        ("corpus", "/a/b.wav"),
        ("file:///a", "/a/b.wav"),
        ("s3://bucket/a", "s3:///a/b.wav"),
        ("s3://bucket/a?endpoint_override=localhost:9000", "s3:///a/b.wav?endpoint_override=localhost:9000"),
    ],
)
def test_a_worker_finds_a_file_by_its_uri_alone(like: str, expected: str) -> None:
    assert uri_of("/a/b.wav", like) == expected
