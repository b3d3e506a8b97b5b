"""CVSS joined with Common Voice: pairs by file name, and the errors of archives that do not match."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from factory.corpora.archive import Clips
from factory.corpora.audio import read
from factory.corpora.base import CorpusError
from factory.corpora.cvss import TABLES, join_texts, main
from factory.corpora.opening import open_corpus
from tests.corpora.conftest import COLUMNS, Sources
from tests.corpora.speech import put, tone

VALIDATED = ("validated.tsv",)


def test_both_sides_are_joined_by_file_name(
    sources: Sources, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    arguments = ["--cvss", str(sources.cvss), "--common-voice", str(sources.common_voice), "--src", "fr"]
    assert main([*arguments, "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert f"left out, no sentence in {sources.common_voice}: {{'train': 1}}" in printed
    assert sorted(path.name for path in out.iterdir()) == ["dev", "test", "train"]
    rows = {row["utt_id"]: row for row in pq.read_table(out / "train").to_pylist()}
    assert set(rows) == {"common_voice_fr_1/fr", "common_voice_fr_1/en"}
    french, english = rows["common_voice_fr_1/fr"], rows["common_voice_fr_1/en"]
    assert (french["text"], french["reference"], french["speaker"]) == ('Il a dit "oui.', 'he said "yes', "s1")
    assert (english["text"], english["reference"]) == ('he said "yes', 'Il a dit "oui.')
    assert len(read(french["audio"])) == 8_000 and len(read(english["audio"])) == 6_400
    assert not open_corpus(str(out / "train")).holds_units


def test_several_languages_are_written_together(
    folders: Sources, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = "x\tcommon_voice_es_1.mp3\tSí.\t2\t0\t\t\t"
    put(tmp_path / "es/validated.tsv", f"{COLUMNS}\n{line}")
    put(tmp_path / "es/clips/common_voice_es_1.mp3", tone(0.4))
    put(tmp_path / "es-en/train.tsv", "common_voice_es_1.mp3\tyes\n")
    put(tmp_path / "es-en/train/common_voice_es_1.mp3.wav", tone(0.4))
    both = ["--cvss", str(folders.cvss), f"{tmp_path}/es-en", "--common-voice", str(folders.common_voice)]
    arguments = [*both, f"{tmp_path}/es", "--out", f"{tmp_path}/out", "--src"]
    assert main([*arguments, "fr", "es"]) == 0
    rows = {row["utt_id"]: row for row in pq.read_table(tmp_path / "out/train").to_pylist()}
    names = {f"common_voice_{lang}_1/{side}" for lang in ("fr", "es") for side in (lang, "en")}
    assert set(rows) == names, "no file of one language replaces that of another"
    assert rows["common_voice_es_1/es"]["reference"] == rows["common_voice_es_1/en"]["text"] == "yes"
    for wrong in (["fr"], ["fr", "fr"]):
        assert main([*arguments, *wrong]) == 2
        assert "must have one value for each language, in the same order; got 2, 2 and fr" in capsys.readouterr().err


def test_another_source_language_is_refused(
    folders: Sources, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(tmp_path / "es/train.tsv", "common_voice_es_1.mp3\tyes\n")
    put(tmp_path / "es/train/common_voice_es_1.mp3.wav", tone(0.4))
    arguments = ["--cvss", str(tmp_path / "es"), "--common-voice", str(folders.common_voice)]
    assert main([*arguments, "--out", str(tmp_path / "out")]) == 2
    assert "es are in es, but --src is fr: give --src es" in capsys.readouterr().err


def test_archives_that_do_not_match_are_refused(folders: Sources, tmp_path: Path) -> None:
    cvss, common_voice = Clips(folders.cvss, TABLES), Clips(folders.common_voice, VALIDATED)
    with pytest.raises(CorpusError, match=r"has no lines in validated.tsv; is it the right archive\?"):
        join_texts(cvss, Clips(folders.cvss, VALIDATED), "fr")
    with pytest.raises(CorpusError, match=r"has no lines in train.tsv, dev.tsv, test.tsv"):
        join_texts(Clips(folders.common_voice, TABLES), common_voice, "fr")
    put(tmp_path / "other/validated.tsv", f"{COLUMNS}\nx\tcommon_voice_fr_77.mp3\tJa.\t2\t0\t\t\t")
    put(tmp_path / "other/clips/common_voice_fr_77.mp3", tone(0.4))
    with pytest.raises(CorpusError, match="no file name of .* occurs in .*: CVSS needs Common Voice version 4"):
        join_texts(cvss, Clips(tmp_path / "other", VALIDATED), "fr")
