"""Archives and folders of clips, and the Parquet that is written from them."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from factory.corpora.archive import Clips, count_failed, write_utterances
from factory.corpora.base import CorpusError
from tests.corpora.conftest import SENTENCES, Sources
from tests.corpora.speech import pack, put, tone

VALIDATED = ("validated.tsv",)


def test_lines_and_clips_are_the_same_from_a_folder_and_an_archive(sources: Sources) -> None:
    clips = Clips(sources.common_voice, VALIDATED)
    assert {row["utt_id"]: row["text"] for row in clips.read_lines()} == SENTENCES
    rows = {row["utt_id"]: row for row in clips.read_rows()}
    assert rows.keys() == SENTENCES.keys()
    assert rows["common_voice_fr_1"]["audio"]["bytes"] == tone(0.5)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("nowhere", "there is no .*nowhere: expected an archive"),
        ("a.zip", r"a.zip is neither an archive \(.tar, .*\) nor a folder"),
        ("fr", r"fr has no lines in validated.tsv; is it the right archive\?"),
    ],
)
def test_a_path_without_clips_is_refused(tmp_path: Path, path: str, message: str) -> None:
    put(tmp_path / "a.zip", "PK")
    put(tmp_path / "fr/train.tsv", "x")
    with pytest.raises(CorpusError, match=message):
        Clips(tmp_path / path, VALIDATED).read_lines()


def test_an_incomplete_archive_is_refused(folders: Sources, tmp_path: Path) -> None:
    complete = pack(folders.common_voice, tmp_path / "complete.tar.gz", "")
    put(tmp_path / "cut.tar.gz", complete.read_bytes()[:1_000])
    with pytest.raises(CorpusError, match=r"cut.tar.gz is not a complete tar archive"):
        Clips(tmp_path / "cut.tar.gz", VALIDATED).read_lines()


def test_the_first_reason_of_each_slug_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"status": "failed", "reason": reason} for reason in ("a: one", "a: two", "b: three")]
    assert count_failed([*rows, {"status": None}]) == {"a": 2, "b": 1}
    assert capsys.readouterr().out == "left out: a: one\nleft out: b: three\n"


def test_a_file_holds_a_thousand_rows_of_one_split_and_language(tmp_path: Path) -> None:
    rows = [
        {"utt_id": f"{lang}{number}", "lang": lang, "split": "mono", "audio": None}
        for number in range(1_001)
        for lang in ("fr", "en")
    ]
    assert write_utterances(rows, tmp_path) == {"mono-fr": 1_001, "mono-en": 1_001}
    sizes = {file.name: pq.read_metadata(file).num_rows for file in (tmp_path / "mono").iterdir()}
    assert sizes == {
        f"mono-{lang}-{number:05d}.parquet": size for lang in ("fr", "en") for number, size in ((0, 1_000), (1, 1))
    }
    assert pq.read_table(tmp_path / "mono/mono-fr-00001.parquet")["utt_id"].to_pylist() == ["fr1000"]


def test_an_output_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    put(tmp_path / "file", "x")
    row = {"utt_id": "a", "lang": "fr", "split": "mono"}
    with pytest.raises(CorpusError, match=r"file/mono cannot be written \(.*Not a directory.*\): choose another --out"):
        write_utterances([row], tmp_path / "file")
    with pytest.raises(CorpusError, match="nothing was written: no line of the tables has its clip"):
        write_utterances([], tmp_path)
