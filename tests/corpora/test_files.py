"""The files of a corpus: every file is listed or counted, and paths stay inside the corpus."""

from __future__ import annotations

import hashlib
import os
import time
from collections import Counter
from pathlib import Path

import pyarrow.fs as pafs
import pytest

from factory.corpora import files
from factory.corpora.files import find_files, identify_files, list_files, make_uri, resolve_inside, summarise_left_out
from tests.corpora.speech import put

LOCAL = pafs.LocalFileSystem()


def names(folder: Path) -> list[str]:
    return [file.path.removeprefix(f"{folder}/") for file in list_files(LOCAL, str(folder)).found]


def test_hidden_files_and_folders_of_macos_are_left_out(tmp_path: Path) -> None:
    for name in ("fr/a.wav", "fr/.b.wav", ".cache/c.wav", "__MACOSX/fr/._d.wav"):
        put(tmp_path / name, "x")
    assert names(tmp_path) == ["fr/a.wav"]
    assert list_files(LOCAL, str(tmp_path)).left_out == {"hidden": 2, "in __MACOSX": 1}
    assert [file.size for file in list_files(LOCAL, f"{tmp_path}/fr/a.wav").found] == [1]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may open any folder")
def test_a_folder_without_permission_is_counted(tmp_path: Path) -> None:
    put(tmp_path / "fr/a.wav", "x")
    (tmp_path / "en").mkdir(mode=0)
    assert list_files(LOCAL, str(tmp_path)).left_out == {"folder that cannot be opened": 1}


def test_pipes_broken_links_and_names_that_are_not_utf_8_are_counted(tmp_path: Path) -> None:
    put(tmp_path / "fr/a.wav", "x")
    os.mkfifo(tmp_path / "fr/b.wav")
    (tmp_path / "fr/c.wav").symlink_to("c.wav")
    Path(os.fsdecode(os.fsencode(str(tmp_path)) + b"/fr/caf\xe9.wav")).write_bytes(b"x")
    assert names(tmp_path) == ["fr/a.wav"]
    assert list_files(LOCAL, str(tmp_path)).left_out == {
        "not a regular file": 1,
        "broken link": 1,
        "name that is not UTF-8": 1,
    }


def test_linked_folders_are_listed_and_loops_are_not(tmp_path: Path) -> None:
    put(tmp_path / "real/a.wav", "x")
    (tmp_path / "corpus").mkdir()
    os.symlink(tmp_path / "real", tmp_path / "corpus/fr")
    os.symlink(tmp_path / "corpus", tmp_path / "real/again")
    assert names(tmp_path / "corpus") == ["fr/a.wav"]


def test_many_files_are_listed_quickly(tmp_path: Path) -> None:
    put(tmp_path / "a.wav", "x")
    for number in range(15_000):
        os.link(tmp_path / "a.wav", tmp_path / f"{number}.wav")
    began = time.process_time()
    assert len(list_files(LOCAL, str(tmp_path)).found) == 15_001
    assert time.process_time() - began < 6


def test_of_many_paths_only_files_are_found(tmp_path: Path) -> None:
    path = str(put(tmp_path / "a.wav", "x"))
    assert list(find_files(LOCAL, [path, str(tmp_path), f"{tmp_path}/b.wav", "a\0b", "x" * 300])) == [path]


def test_a_file_is_identified_by_its_content_and_a_large_corpus_by_sizes_and_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / "a.wav", "abc")
    listed = list_files(LOCAL, str(tmp_path)).found
    assert identify_files(LOCAL, listed) == [[hashlib.sha256(b"abc").hexdigest()[:16]]]
    monkeypatch.setattr(files, "MAX_HASHED_BYTES", 2)
    assert identify_files(LOCAL, listed) == [[3, os.stat(tmp_path / "a.wav").st_mtime_ns]]


def test_the_summary_begins_with_the_most_frequent_reason() -> None:
    counts = Counter({"hidden": 1, "link": 2_000, "broken link": 1})
    assert summarise_left_out(counts) == "link 2,000, broken link 1, hidden 1"


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
def test_a_path_is_relative_to_its_folder_and_does_not_lead_out_of_the_corpus(path: str, expected: str | None) -> None:
    assert resolve_inside("/in", "/in/x", path) == expected


@pytest.mark.parametrize(
    ("like", "expected"),
    [
        ("corpus", "/a/b.wav"),
        ("file:///a", "/a/b.wav"),
        ("s3://bucket/a", "s3:///a/b.wav"),
        ("s3://bucket/a?endpoint_override=localhost:9000", "s3:///a/b.wav?endpoint_override=localhost:9000"),
    ],
)
def test_a_uri_has_the_scheme_and_the_options_of_its_corpus(like: str, expected: str) -> None:
    assert make_uri("/a/b.wav", like) == expected
