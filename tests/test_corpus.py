"""Reading speech as people have it, and what becomes of rows that are wrong."""

from __future__ import annotations

import io
import json
import tarfile
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
    with pytest.raises(CorpusError, match="neither Parquet nor tar shards nor audio files"):
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


def shard(path: Path, members: dict[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def test_tar_shards_in_webdatasets_layout(tmp_path: Path) -> None:
    tone(tmp_path / "a.wav")
    sound = (tmp_path / "a.wav").read_bytes()
    told = json.dumps({"utt_id": 7, "lang": "en", "text": "hello", "reference": "bonjour", "extra": 1}).encode()
    shard(tmp_path / "all/fr/000.tar", {"a.wav": sound, "a.txt": b"il pleut\n", "./b.wav": sound, "._b.wav": b"mac", "c.txt": b"seul"})
    shard(tmp_path / "all/001.tar.gz", {"b.json": told, "b.flac": sound, "en/a.mp3": sound, "a.seg1.wav": sound})
    found = read_corpus(str(tmp_path / "all"))
    assert sorted(found.ids) == ["7", "a", "a#2", "b", "c", "en/a"]
    made = {row["utt_id"]: row for row in rows(found)}
    assert (made["7"]["lang"], made["7"]["text"], made["7"]["reference"]) == ("en", "hello", "bonjour")
    assert {name: made[name]["lang"] for name in ("en/a", "b", "c")} == {"en/a": "en", "b": "fr", "c": "fr"}
    assert "a" in made and {made["a"]["status"], made["a#2"]["status"]} == {"ok", "failed"}
    assert made["7"]["audio"]["bytes"] == sound and made["c"]["audio"] is None
    assert read_corpus(str(tmp_path / "all/fr/000.tar")).ids == ["a", "b", "c"]


def test_broken_shards_are_named(tmp_path: Path) -> None:
    whole = shard(tmp_path / "cut/0.tar", {"a.wav": b"x" * 5000, "b.wav": b"x" * 5000}).read_bytes()
    (tmp_path / "cut/0.tar").write_bytes(whole[:7000])
    with pytest.raises(CorpusError, match=r"cut/0.tar is no complete tar archive \(.*\): make or fetch it again"):
        read_corpus(str(tmp_path / "cut"))
    shard(tmp_path / "json/0.tar", {"a.json": b"{", "a.wav": b"x"})
    with pytest.raises(CorpusError, match=r"a.json in .*json/0.tar is no JSON"):
        read_corpus(str(tmp_path / "json"))


@pytest.mark.parametrize("kept", [True, False], ids=["save_to_disk", "a folder of Parquet"])
def test_a_hugging_face_dataset_is_streamed_by_the_workers(tmp_path: Path, kept: bool) -> None:
    import datasets

    tone(tmp_path / "a.wav")
    audio = {"bytes": (tmp_path / "a.wav").read_bytes(), "path": None}
    made = datasets.Dataset.from_list([{"audio": audio, "sentence": f"s{number}"} for number in range(3)])
    made = made.cast_column("audio", datasets.Audio(decode=False))
    if kept:
        made.save_to_disk(tmp_path / "set")
    else:
        for number in range(3):
            made.select([number]).to_parquet(tmp_path / f"set/train-{number:05d}-of-00003.parquet")
    found = read_corpus(f"hf://{tmp_path}/set?lang=fr")
    assert len(found.ids) == len(set(found.ids)) == 3
    assert sorted((row["lang"], row["text"], row["audio"]["bytes"]) for row in rows(found)) == [
        ("fr", f"s{number}", audio["bytes"]) for number in range(3)
    ]
    assert sorted(found.ids) == [row["utt_id"] for row in rows(found)]
    with pytest.raises(CorpusError, match=r"the dataset .*none \(split train\) could not be opened"):
        read_corpus(f"hf://{tmp_path}/none")
