"""Folders of audio files and tables: one row per recording or line, and every other file is counted."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from factory.corpora.corpus import FolderCorpus, TableCorpus
from factory.corpora.opening import open_corpus
from tests.corpora.speech import left_out, put, rows, tone

HEADER = "utt_id\tlang\tpath\ttext\n"


def test_a_folder_gives_languages_and_transcripts_and_counts_other_files(tmp_path: Path) -> None:
    recordings = ("fr/a.wav", "fr_FR/b.aiff", "en/deep/c.d.flac", "fr/e.opus")
    for name in (*recordings, "fr/._a.wav", "__MACOSX/fr/._b.wav", ".cache/f.wav"):
        put(tmp_path / name, tone())
    put(tmp_path / "fr/a.TXT", "\ufeffil pleut\n")
    for name in ("fr/lone.txt", "fr/x.xyz", "README", "notes.md"):
        put(tmp_path / name, "x")
    os.symlink("nowhere.wav", tmp_path / "fr/link.wav")
    corpus = open_corpus(str(tmp_path))
    found = rows(corpus)
    assert isinstance(corpus, FolderCorpus) and corpus.size == len(found) == 4
    langs = {"fr/a": "fr", "fr_FR/b": "fr", "en/deep/c.d": "en", "fr/e": "fr"}
    assert {name: row["lang"] for name, row in found.items()} == langs
    assert (found["fr/a"]["text"], found["fr/e"]["text"]) == ("il pleut", None)
    assert left_out(str(tmp_path)) == (
        "hidden 2, .md files 1, .xyz files 1, broken link 1, files without a suffix 1, in __MACOSX 1, "
        "transcript without a recording 1"
    )


def test_a_transcript_that_is_not_utf_8_fails_only_its_row(tmp_path: Path) -> None:
    for name in ("a", "b"):
        put(tmp_path / f"fr/{name}.wav", tone())
    put(tmp_path / "fr/a.txt", "déjà".encode("latin-1"))
    found = rows(open_corpus(str(tmp_path)))
    assert (found["fr/a"]["status"], found["fr/b"]["status"]) == ("failed", "ok")
    assert found["fr/a"]["reason"].startswith("not_utf8: fr/a.txt is not UTF-8 text")


@pytest.mark.parametrize("name", ["all.tsv", "all.csv", "all.jsonl", "ALL.TSV"])
def test_paths_of_a_table_are_relative_to_its_folder_and_uris_lead_anywhere(tmp_path: Path, name: str) -> None:
    sound = put(tmp_path / "wavs/a.wav", tone())
    cells = [
        ("a", "fr ", "wavs/a.wav", "oui"),
        ("b", "EN", str(sound), "yes"),
        ("c", "fr", f"file://{sound}", "non"),
        ("d", "fr", "no.wav", "x"),
    ]
    if name.endswith("jsonl"):
        keys = ("utt_id", "lang", "audio_filepath", "text")
        lines = ["{" + ", ".join(f'"{key}": "{cell}"' for key, cell in zip(keys, line)) + "}" for line in cells]
    else:
        separator = "\t" if name.lower().endswith("tsv") else ","
        lines = [separator.join(line) for line in (("utt_id", "lang", "path", "text"), *cells)]
    put(tmp_path / name, "\n".join(lines))
    corpus = open_corpus(str(tmp_path / name))
    assert isinstance(corpus, TableCorpus) and corpus.size == 4
    assert [(row["lang"], row["text"], row["status"]) for row in rows(corpus).values()] == [
        ("fr", "oui", "ok"),
        ("en", "yes", "ok"),
        ("fr", "non", "ok"),
        ("fr", "x", "ok"),
    ]
    assert set(corpus.load_recordings(["a", "b", "c", "d"])) == {"a", "b", "c"}


def test_broken_lines_are_failed_rows_that_name_their_line(tmp_path: Path) -> None:
    put(tmp_path / "a.wav", tone())
    path = put(tmp_path / "all.tsv", f"{HEADER}a\tfr\ta.wav\toui\nb\tfr\ta.wav\toui\tnon\nc\tfr\tclips\\a.wav\toui\n")
    found = rows(open_corpus(str(path)))
    assert found["a"]["status"] == "ok" and found["b"]["status"] == found["c"]["status"] == "failed"
    assert found["b"]["reason"] == f"broken_line: line 3 of {path} has 5 cells; the header names 4"
    names = f"line 4 of {path} names clips\\a.wav"
    assert found["c"]["reason"] == f"missing_file: {names}, no such file; write paths with /"


@pytest.mark.parametrize("path", ["\\ud800.wav", "a\\u0000.wav", "x" * 300 + ".wav", "x/" * 3000, "a.wav/b.wav"])
def test_an_impossible_path_fails_only_its_row(tmp_path: Path, path: str) -> None:
    put(tmp_path / "a.wav", tone())
    lines = [f'{{"utt_id": "{name}", "lang": "fr", "path": "{file}"}}' for name, file in (("a", "a.wav"), ("b", path))]
    corpus = open_corpus(str(put(tmp_path / "all.jsonl", "\n".join(lines))))
    assert set(rows(corpus)) == {"a", "b"} and set(corpus.load_recordings(["a", "b"])) == {"a"}


def test_recordings_that_no_line_names_are_counted(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        put(tmp_path / f"fr/{name}.wav", tone())
    put(tmp_path / "metadata.csv", '"file_name","lang"\n"fr/a.wav","fr"\n')
    assert left_out(str(tmp_path)) == "recording that no row names 2"


def test_a_table_in_a_folder_of_recordings_is_counted(tmp_path: Path) -> None:
    put(tmp_path / "fr/a.wav", tone())
    put(tmp_path / "all.tsv", HEADER)
    assert left_out(str(tmp_path)) == ".tsv table (name it as the corpus to read it) 1"
