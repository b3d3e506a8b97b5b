"""Common Voice as untranslated speech: which clips are written, and the errors of broken archives."""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from factory.corpora.common_voice import main
from tests.corpora.conftest import SENTENCES, Sources
from tests.corpora.speech import put, tone

COLUMNS = "client_id\tpath\tsentence\tlocale\n"
LINE = "s1\tcommon_voice_fr_1.mp3\tOui.\tfr\n"


def convert(archive: Path, out: Path, lang: str = "fr", *more: str) -> int:
    return main(["--archive", str(archive), "--lang", lang, "--out", str(out), *more])


def test_every_clip_becomes_a_row_without_reference(sources: Sources, tmp_path: Path) -> None:
    assert convert(sources.common_voice, tmp_path) == 0
    rows = pq.read_table(tmp_path / "mono").to_pylist()
    assert {row["utt_id"]: row["text"] for row in rows} == SENTENCES
    assert {row["lang"] for row in rows} == {"fr"} and all(row["reference"] is None for row in rows)


def test_excluded_clips_and_sentences_are_left_out(
    folders: Sources, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        {"utt_id": "common_voice_fr_1/fr", "lang": "fr", "text": "another sentence"},
        {"utt_id": "x/fr", "lang": "fr", "text": "Merci."},
        {"utt_id": "common_voice_fr_2/en", "lang": "en", "text": "Seul."},  # of the other language, so it stays
    ]
    (tmp_path / "cvss/train").mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "cvss/train/a.parquet")
    assert convert(folders.common_voice, tmp_path, "fr", "--exclude", str(tmp_path / "cvss")) == 0
    written = pq.read_table(tmp_path / "mono")["utt_id"].to_pylist()
    assert written == ["common_voice_fr_2", "common_voice_fr_9"]
    assert "'left out, excluded': 2" in capsys.readouterr().out


def test_of_a_folder_of_several_languages_one_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for lang, text in (("en", "Yes."), ("fr", "Oui.")):
        put(tmp_path / f"cv/{lang}/clips/common_voice_{lang}_1.mp3", tone(0.5))
        put(tmp_path / f"cv/{lang}/validated.tsv", f"{COLUMNS}s\tcommon_voice_{lang}_1.mp3\t{text}\t{lang}\n")
    assert convert(tmp_path / "cv", tmp_path / "out", "en") == 0
    assert [(row["lang"], row["text"]) for row in pq.read_table(tmp_path / "out/mono").to_pylist()] == [("en", "Yes.")]
    assert convert(tmp_path / "cv/fr", tmp_path / "none", "en") == 2
    assert "cv/fr are not in en (clips by locale: fr 1); change the language" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (f"{COLUMNS}{LINE}s2\tcommon_voice_fr_2.mp3", "left out: broken_line: line 3 of "),
        (f"{COLUMNS}{LINE}\n\n", ""),
        (f"\ufeff{COLUMNS}{LINE}", ""),
        (f"{COLUMNS}{LINE}s3\tcommon_voice_fr_3.mp3\tbon\u2028jour\tfr\n", "'left out, missing clip': 1"),
    ],
    ids=["cut", "blank", "byte order mark", "missing clip"],
)
def test_a_broken_line_is_left_out_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], table: str, message: str
) -> None:
    put(tmp_path / "fr/clips/common_voice_fr_1.mp3", tone(0.5))
    put(tmp_path / "fr/validated.tsv", table)
    put(tmp_path / "fr/._validated.tsv", b"\xb0\x00")
    assert convert(tmp_path / "fr", tmp_path / "out") == 0
    assert message in capsys.readouterr().out
    [row] = pq.read_table(tmp_path / "out/mono").to_pylist()
    assert (row["utt_id"], row["text"], row["speaker"]) == ("common_voice_fr_1", "Oui.", "s1")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "has no lines in validated.tsv"),
        (
            {"validated.tsv": f"{COLUMNS}{LINE}"},
            "no recording that .*validated.tsv names exists; the first is .*clips/common_voice_fr_1.mp3",
        ),
        ({"validated.tsv": f"{COLUMNS}s\ta.mp3\té\tfr\n".encode("latin-1")}, "validated.tsv is not UTF-8 text"),
    ],
)
def test_an_archive_without_clips_ends_with_one_sentence_and_exit_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], files: dict[str, str | bytes], message: str
) -> None:
    put(tmp_path / "fr/clips/.keep", "")
    for name, content in files.items():
        put(tmp_path / "fr" / name, content)
    assert convert(tmp_path / "fr", tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert re.search(message, error) and error.startswith("common_voice: ") and not (tmp_path / "out").exists()


@pytest.mark.parametrize("files", [{}, {"a.txt": "x"}, None], ids=["empty", "no Parquet", "missing"])
def test_an_excluded_corpus_must_be_parquet(
    folders: Sources, tmp_path: Path, capsys: pytest.CaptureFixture[str], files: dict[str, str] | None
) -> None:
    other = tmp_path / "other"
    if files is not None:
        other.mkdir()
    for name, content in (files or {}).items():
        put(other / name, content)
    assert convert(folders.common_voice, tmp_path / "out", "FR", "--exclude", str(other)) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"common_voice: --exclude {other} is not a folder of Parquet") and error.count("\n") == 1
