"""Reading speech as people have it, and what becomes of rows that are wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from factory.corpus import CorpusError, Speech, corpus_size, mark_duplicates, read_corpus
from schemas.datasets import UTTERANCE

pytestmark = pytest.mark.usefixtures("local_ray")


def rows(speech: Speech) -> list[dict]:
    return sorted(speech.rows.take_all(), key=lambda row: row["utt_id"])


def tone(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.sin(np.arange(16_000) / 20).astype(np.float32) * 0.3, 16_000)


def test_a_folder_of_audio_names_languages_and_transcripts(tmp_path: Path) -> None:
    tone(tmp_path / "fr" / "a.wav")
    tone(tmp_path / "en" / "deep" / "b.flac")
    (tmp_path / "fr" / "a.txt").write_text("il pleut\n")
    found = read_corpus(str(tmp_path))
    assert sorted(found.ids) == ["en/deep/b", "fr/a"]
    english, french = rows(found)
    assert (french["lang"], french["text"], english["text"]) == ("fr", "il pleut", None)
    assert Path(french["audio"]["path"]).exists()


def test_a_manifest_names_paths_beside_itself(tmp_path: Path) -> None:
    tone(tmp_path / "wavs" / "a.wav")
    lines = ["utt_id\tlang\tpath\ttext", "a\tfr\twavs/a.wav\til pleut", "b\tfr\twavs/none.wav\til neige"]
    (tmp_path / "all.tsv").write_text("\n".join(lines))
    first, second = rows(read_corpus(str(tmp_path / "all.tsv")))
    assert (first["utt_id"], first["text"]) == ("a", "il pleut")
    assert second["status"] == "ok"  # that the file is missing is found where it is read


def test_the_second_row_of_an_id_fails_and_no_row_is_lost(tmp_path: Path) -> None:
    told = [{"utt_id": name, "lang": "fr", "text": str(place)} for place, name in enumerate(["a", "b", "a"])]
    pq.write_table(pa.Table.from_pylist(told, schema=UTTERANCE), tmp_path / "1.parquet")
    pq.write_table(pa.Table.from_pylist(told[:1], schema=UTTERANCE), tmp_path / "2.parquet")
    found = read_corpus(str(tmp_path))
    assert corpus_size(str(tmp_path)) == 4
    assert sorted(found.ids) == ["a", "a#2", "a#3", "b"]
    assert {row["utt_id"]: row["status"] for row in rows(found)} == {"a": "ok", "a#2": "failed", "a#3": "failed", "b": "ok"}
    assert next(row for row in rows(found) if row["utt_id"] == "a#2")["reason"].startswith("duplicate_id: a occurs more than once")


def test_what_cannot_be_read_at_all_is_said_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"none does not exist; expected Parquet"):
        read_corpus(str(tmp_path / "none"))
    (tmp_path / "x.tsv").write_text("id\tfile\n")
    with pytest.raises(CorpusError, match=r"lacks the columns \['lang', 'path', 'utt_id'\]"):
        read_corpus(str(tmp_path / "x.tsv"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(CorpusError, match="neither Parquet nor audio files"):
        read_corpus(str(tmp_path / "empty"))
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(CorpusError, match="is no complete Parquet file"):
        read_corpus(str(tmp_path / "bad.parquet"))


def test_rows_without_an_id_fail_under_one_of_their_own() -> None:
    rows = [{"utt_id": None, "lang": "fr"}, {"utt_id": "a", "lang": "fr"}, {"utt_id": "", "lang": "fr"}]
    told = [(row["utt_id"], row["status"]) for row in mark_duplicates(rows)]
    assert told == [("no_id#1", "failed"), ("a", "ok"), ("no_id#2", "failed")]


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ({"utt_id": ["a"], "lang": ["fr"]}, "lacks the columns audio; it has utt_id, lang"),
        ({"utt_id": [1], "lang": ["fr"], "audio": [{"bytes": b"", "path": None}]}, "has utt_id as int64; expected string"),
        ({"utt_id": ["a"], "lang": ["fr"], "audio": ["a.wav"]}, "has audio as string; expected struct"),
    ],
)
def test_parquet_with_other_columns_is_refused(tmp_path: Path, columns: dict[str, list[object]], sentence: str) -> None:
    pq.write_table(pa.table(columns), tmp_path / "all.parquet")
    with pytest.raises(CorpusError, match=sentence):
        read_corpus(str(tmp_path))
