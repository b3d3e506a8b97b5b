"""CoVoST 2 joined with Common Voice: clips by file name, and the errors of tables that do not match."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from factory.corpora.audio import read
from factory.corpora.covost import main
from factory.corpora.opening import open_corpus
from tests.corpora.conftest import COLUMNS, Sources
from tests.corpora.speech import pack, put, tone

LINES = [
    'common_voice_fr_1.mp3\the said "yes\ttrain',
    "common_voice_fr_2.mp3\twhere\ttrain_covost",
    "common_voice_fr_3.mp3\tthanks\ttest",
    "common_voice_fr_7.mp3\tlost\ttest",
    "common_voice_fr_9.mp3\t\ttest",
]


def write_table(folder: Path, pair: str = "fr_en", lines: list[str] = LINES) -> Path:
    return put(folder / f"covost_v2.{pair}.tsv", "\n".join(["path\ttranslation\tsplit", *lines]))


@pytest.mark.parametrize("packed", [False, True])
def test_a_clip_gets_its_translation(
    packed: bool, sources: Sources, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = write_table(tmp_path / "covost")
    if packed:
        table = pack(tmp_path / "covost", tmp_path / "covost_v2.fr_en.tsv.tar.gz", "")
    out = tmp_path / "out"
    assert main(["--covost", str(table), "--common-voice", str(sources.common_voice), "--out", str(out)]) == 0
    assert f"left out, no clip in {sources.common_voice}: 1 of 4" in capsys.readouterr().out
    assert sorted(path.name for path in out.iterdir()) == ["test", "train"], "train_covost is a part of train"
    rows = {row["utt_id"]: row for row in pq.read_table(out / "train").to_pylist()}
    assert set(rows) == {"common_voice_fr_1/fr-en", "common_voice_fr_2/fr-en"}
    first = rows["common_voice_fr_1/fr-en"]
    assert (first["lang"], first["text"], first["reference"], first["speaker"]) == (
        *("fr", 'Il a dit "oui.'),
        *('he said "yes', "s1"),
    )
    assert len(read(first["audio"])) == 8_000
    [test] = pq.read_table(out / "test").to_pylist()
    assert (test["utt_id"], test["reference"], test["split"]) == ("common_voice_fr_3/fr-en", "thanks", "test")
    assert not open_corpus(str(out / "train")).holds_units


def test_two_targets_of_a_clip_are_two_rows(folders: Sources, tmp_path: Path) -> None:
    tables = [write_table(tmp_path), write_table(tmp_path, "fr_de", ["common_voice_fr_3.mp3\tdanke\ttest"])]
    voices = [str(folders.common_voice)] * 2
    assert main(["--covost", *map(str, tables), "--common-voice", *voices, "--out", str(tmp_path / "out")]) == 0
    rows = {row["utt_id"]: row["reference"] for row in pq.read_table(tmp_path / "out/test").to_pylist()}
    assert rows == {"common_voice_fr_3/fr-en": "thanks", "common_voice_fr_3/fr-de": "danke"}


def test_what_does_not_fit_is_refused(folders: Sources, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def refused(*arguments: object) -> str:
        assert main([*map(str, arguments), "--out", str(tmp_path / "out")]) == 2
        return capsys.readouterr().err

    table, voice = write_table(tmp_path), ("--common-voice", folders.common_voice)
    assert "validated.tsv is no table of CoVoST 2: expected covost_v2.fr_en.tsv" in refused(
        "--covost", folders.common_voice / "validated.tsv", *voice
    )
    assert "one value for each pair of languages" in refused("--covost", table, table, *voice, folders.common_voice)
    assert "one value for each pair of languages" in refused("--covost", table, *voice, folders.common_voice)
    write_table(tmp_path / "empty", "es_en")
    assert "there is no file" in refused("--covost", tmp_path / "covost_v2.es_en.tsv", *voice)
    other_archive = pack(tmp_path / "empty", tmp_path / "covost_v2.de_en.tsv.tar.gz", "")
    assert "holds no covost_v2.de_en.tsv" in refused("--covost", other_archive, *voice)
    empty = write_table(tmp_path / "empty", lines=["common_voice_fr_1.mp3\tyes\t"])
    assert "has no line with a translation and a split" in refused("--covost", empty, *voice)
    other = write_table(tmp_path, lines=["common_voice_fr_77.mp3\tyes\ttest"])
    assert "CoVoST 2 needs Common Voice version 4" in refused("--covost", other, *voice)
    line = "x\tcommon_voice_fr_1.mp3\tSí.\t2\t0\t\t\t\tes"
    put(tmp_path / "es/validated.tsv", f"{COLUMNS}\tlocale\n{line}")
    put(tmp_path / "es/clips/common_voice_fr_1.mp3", tone(0.4))
    assert "are not in fr (clips by locale: es 1)" in refused(
        "--covost", write_table(tmp_path), "--common-voice", tmp_path / "es"
    )
