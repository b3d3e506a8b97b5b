"""FLEURS joined over languages: one utterance per sentence and language, and folders that are not FLEURS."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from factory.corpora.audio import read
from factory.corpora.fleurs import main
from schemas.datasets import UTTERANCE, Row
from tests.corpora.speech import pack, put, tone

SENTENCES = {"fr_fr": {7: "bonjour", 8: "oui", 9: "seul"}, "en_us": {7: "hello", 8: "yes"}, "es_419": {7: "hola"}}


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    """Three languages; sentence 7 has two recordings in each, the second of which is longer."""
    paths = [tmp_path / name for name in SENTENCES]
    for path in paths:
        lines = []
        for number, text in SENTENCES[path.name].items():
            for index in range(2 if number == 7 else 1):
                name = f"{number}{index}.wav"
                put(path / f"audio/train/{name}", tone(0.4 + index))
                lines.append(f"{number}\t{name}\t{text.title()}.\t{text}\t{' '.join(text)}\t16000\tMALE\n")
        put(path / "train.tsv", "".join(lines))
    return paths


def convert(paths: list[Path], out: Path) -> dict[str, Row]:
    """Convert the languages; return the rows of the split train by id."""
    assert main(["--fleurs", *map(str, paths), "--out", str(out)]) == 0
    table = pq.read_table(out / "train")
    assert table.schema.names == UTTERANCE.names
    return {row["utt_id"]: row for row in table.to_pylist()}


@pytest.mark.parametrize("as_archives", [False, True])
def test_a_sentence_has_one_utterance_in_each_language(folders: list[Path], tmp_path: Path, as_archives: bool) -> None:
    if as_archives:
        folders = [pack(path, tmp_path / f"{path.name}.tar.gz", f"{path.name}/") for path in folders]
    rows = convert(folders, tmp_path / "out")
    texts = {utt_id: row["text"] for utt_id, row in rows.items()}
    assert texts == {
        f"fleurs_{number}/{name[:2]}": text for name, known in SENTENCES.items() for number, text in known.items()
    }
    assert {row["lang"] for row in rows.values()} == {"fr", "en", "es"}
    assert {row["reference"] for row in rows.values()} == {None}, "the text of each other language is one"
    assert len(read(rows["fleurs_7/es"]["audio"])) == 6_400, "the first recording"


def test_two_languages_have_references(folders: list[Path], tmp_path: Path) -> None:
    rows = convert(folders[:2], tmp_path / "out")
    assert {utt_id: row["reference"] for utt_id, row in rows.items()} == {
        "fleurs_7/fr": "hello",
        "fleurs_8/fr": "yes",
        "fleurs_9/fr": None,
        "fleurs_7/en": "bonjour",
        "fleurs_8/en": "oui",
    }


def test_other_folders_are_refused(folders: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(tmp_path / "fr/a.wav", tone(0.4))
    put(tmp_path / "fr/train.tsv", "path\tsentence\na.wav\toui\n")
    for paths, words in (
        ([folders[0]], "must name two or more languages, each once; got fr"),
        ([folders[0], folders[0]], "must name two or more languages, each once; got fr, fr"),
        ([folders[0], tmp_path / "fr"], f"{tmp_path}/fr is not one language of FLEURS"),
    ):
        assert main(["--fleurs", *map(str, paths), "--out", str(tmp_path / "out")]) == 2
        assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
