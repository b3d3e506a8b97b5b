"""Parquet: columns with a clear meaning are converted, others are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pytest

from factory.corpora.base import CorpusError
from factory.corpora.opening import open_corpus
from tests.corpora.speech import put, rows, tone, write_parquet

WAVE = [0.1, 0.2, 0.3]


def test_a_class_label_becomes_its_name(tmp_path: Path) -> None:
    made = datasets.Dataset.from_dict({"utt_id": ["a", "b"], "lang": [1, 0], "audio": ["a.wav", "b.wav"]})
    made.cast_column("lang", datasets.ClassLabel(names=["en", "fr"])).to_parquet(tmp_path / "all.parquet")
    assert [row["lang"] for row in rows(open_corpus(str(tmp_path))).values()] == ["fr", "en"]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"utt_id": ["a"], "lang": ["fr"]}, "lacks the columns audio; it has utt_id, lang"),
        ({"lang": ["fr"], "audio": ["a.wav"]}, "lacks the columns utt_id; it has lang, audio"),
        ({"utt_id": ["a"], "audio": ["a.wav"]}, "lacks the columns lang"),
        (
            {"utt_id": ["a"], "lang": [3], "audio": ["a.wav"]},
            r"has lang as int64, numbers without names; give the language with \?lang=CODE",
        ),
        ({"utt_id": ["a"], "lang": ["fr"], "audio": [3]}, "has audio as int64; expected bytes, path"),
        (
            {"utt_id": ["a"], "lang": ["fr"], "audio": [WAVE]},
            "has audio as list<.*: double>, without a column sampling_rate; expected",
        ),
        ({"utt_id": ["a"], "lang": ["fr"], "audio": [{"file": "a.wav"}]}, r"a struct of file \(string\); expected"),
        ({"utt_id": ["a"], "lang": ["fr"], "audio": [{"path": 3}]}, r"has audio as a struct of path \(int64\)"),
        ({"utt_id": ["a"], "lang": ["fr"], "audio": [{"bytes": [1], "path": "a"}]}, "has audio as a struct of bytes"),
        ({"utt_id": ["a"], "lang": ["fr"], "audio": [{"array": ["x"], "sampling_rate": 1}]}, "has audio as a struct"),
        ({"utt_id": [["a"]], "lang": ["fr"], "audio": ["a.wav"]}, "has utt_id as list<.*>; expected text"),
    ],
)
def test_columns_without_a_clear_meaning_are_refused(tmp_path: Path, columns: dict[str, Any], message: str) -> None:
    with pytest.raises(CorpusError, match=message):
        rows(open_corpus(write_parquet(tmp_path, columns)))


@pytest.mark.parametrize(
    "path", ["../secret.wav", "{outside}/secret.wav", "file://{outside}/secret.wav", "sub/../../secret.wav"]
)
def test_a_path_out_of_the_corpus_is_not_read(tmp_path: Path, path: str) -> None:
    put(tmp_path / "secret.wav", tone())
    (tmp_path / "in").mkdir()
    uri = write_parquet(tmp_path / "in", {"utt_id": ["a"], "lang": ["fr"], "audio": [path.format(outside=tmp_path)]})
    corpus = open_corpus(uri)
    [row] = rows(corpus).values()
    assert row["status"] == "failed" and row["reason"].startswith("outside: ") and row["audio"] is None
    assert corpus.load_recordings(["a"]) == {}


@pytest.mark.parametrize(
    "uri",
    ["local://{}", "FILE://{}", "simplecache::file://{}", "dir://secret.wav::file://{}/..", "https://x::file://{}"],
)
def test_a_uri_of_this_machine_is_not_read(tmp_path: Path, uri: str) -> None:
    secret = put(tmp_path / "secret.wav", tone())
    (tmp_path / "in").mkdir()
    corpus = write_parquet(tmp_path / "in", {"utt_id": ["a"], "lang": ["fr"], "audio": [uri.format(secret)]})
    [row] = rows(open_corpus(corpus)).values()
    assert row["audio"] is None and row["reason"].startswith("outside: ")


def test_paths_are_relative_to_the_file_however_the_corpus_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / "in/a b.wav", tone())
    (tmp_path / "other").mkdir()
    audio = ["a b.wav", f"file://{tmp_path}/in/a%20b.wav"]
    write_parquet(tmp_path / "in", {"utt_id": ["a", "b"], "lang": ["fr"] * 2, "audio": audio})
    (tmp_path / "link").symlink_to(tmp_path / "in")
    monkeypatch.chdir(tmp_path / "other")
    for name in ("../in", f"{tmp_path}/other/../in", "../in/all.parquet"):
        assert set(open_corpus(name).load_recordings(["a", "b"])) == {"a", "b"}, name
    assert set(open_corpus("../link/").load_recordings(["a"])) == {"a"}


def test_of_equal_ids_the_first_recording_is_loaded(tmp_path: Path) -> None:
    corpus = open_corpus(
        write_parquet(tmp_path, {"utt_id": ["a", "a"], "lang": ["fr"] * 2, "audio": [tone(1), tone(2)]})
    )
    assert len(corpus.load_recordings(["a"])["a"]) == 16_000


@pytest.mark.parametrize("kind", [pa.string_view(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())])
def test_texts_of_every_type_are_read_and_found(tmp_path: Path, kind: pa.DataType) -> None:
    ids = pa.array(["a", "b"]).cast(kind)
    corpus = open_corpus(write_parquet(tmp_path, {"utt_id": ids, "lang": ["fr"] * 2, "audio": [tone(), tone()]}))
    assert set(rows(corpus)) == {"a", "b"} and set(corpus.load_recordings(["b"])) == {"b"}


def test_the_name_of_a_folder_may_give_the_language(tmp_path: Path) -> None:
    (tmp_path / "lang=fr").mkdir()
    write_parquet(tmp_path / "lang=fr", {"utt_id": ["a"], "audio": [tone()]})
    assert [row["lang"] for row in rows(open_corpus(str(tmp_path))).values()] == ["fr"]


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    columns = {"utt_id": [f"{n}" * 50 for n in range(99)], "lang": ["fr"] * 99, "audio": [tone(0.2)] * 99}
    path = Path(write_parquet(tmp_path, columns))
    content = bytearray(path.read_bytes())
    content[100:600:7] = bytes(len(range(100, 600, 7)))
    path.write_bytes(content)
    with pytest.raises(CorpusError, match="all.parquet is not a complete Parquet file"):
        rows(open_corpus(str(path)))
