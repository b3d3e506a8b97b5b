"""Parquet of other people: columns that clearly mean ours are cast, others are refused in a sentence."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from factory.corpora.audio import read
from factory.corpora.base import CorpusError
from factory.corpora.opening import open_corpus
from tests.corpora.speech import put, rows, tone

WAVE = (np.sin(np.arange(16_000) / 20) * 0.3).tolist()


def written(tmp_path: Path, columns: dict[str, Any]) -> str:
    pq.write_table(pa.table(columns), tmp_path / "all.parquet")
    return str(tmp_path / "all.parquet")


@pytest.mark.parametrize(
    "audio",
    [
        {"audio": [{"bytes": tone(), "path": None}]},
        {"audio": [tone()]},
        {"audio": ["a.wav"]},
        {"audio": [{"bytes": None, "path": "a.wav"}]},
        {"audio": [{"array": WAVE, "path": "x.wav", "sampling_rate": 16_000}]},
        {"audio": [WAVE], "sampling_rate": [16_000]},
    ],
    ids=["struct", "bytes", "path", "path in a struct", "array", "array beside its rate"],
)
def test_audio_in_every_shape_is_the_same_recording(tmp_path: Path, audio: dict[str, Any]) -> None:
    put(tmp_path / "a.wav", tone())
    place = written(tmp_path, {"utt_id": [7], "lang": ["fr"], "sentence": ["oui"], **audio})
    corpus = open_corpus(place)
    [row] = rows(corpus).values()
    assert (row["utt_id"], row["text"]) == ("7", "oui")
    np.testing.assert_allclose(read(row["audio"]), np.array(WAVE, np.float32), atol=2**-14)
    assert set(corpus.recordings(["7"])) == {"7"}


def test_class_labels_are_their_names(tmp_path: Path) -> None:
    made = datasets.Dataset.from_dict({"utt_id": ["a", "b"], "lang": [1, 0], "audio": ["a.wav", "b.wav"]})
    made.cast_column("lang", datasets.ClassLabel(names=["en", "fr"])).to_parquet(tmp_path / "all.parquet")
    assert [row["lang"] for row in rows(open_corpus(str(tmp_path))).values()] == ["fr", "en"]


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ({"utt_id": ["a"], "lang": ["fr"]}, "lacks the columns audio; it has utt_id, lang"),
        ({"lang": ["fr"], "audio": ["a.wav"]}, "lacks the columns utt_id; it has lang, audio"),
        ({"utt_id": ["a"], "audio": ["a.wav"]}, "lacks the columns lang"),
        (
            {"utt_id": ["a"], "lang": [3], "audio": ["a.wav"]},
            r"has lang as int64, numbers without names; say the language with \?lang=CODE",
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
def test_columns_that_could_mean_anything_are_refused(tmp_path: Path, columns: dict[str, Any], sentence: str) -> None:
    with pytest.raises(CorpusError, match=sentence):
        rows(open_corpus(written(tmp_path, columns)))


@pytest.mark.parametrize(
    "path", ["../secret.wav", "{outside}/secret.wav", "file://{outside}/secret.wav", "sub/../../secret.wav"]
)
def test_a_path_that_leads_out_of_the_corpus_is_not_read(tmp_path: Path, path: str) -> None:
    put(tmp_path / "secret.wav", tone())
    (tmp_path / "in").mkdir()
    place = written(tmp_path / "in", {"utt_id": ["a"], "lang": ["fr"], "audio": [path.format(outside=tmp_path)]})
    corpus = open_corpus(place)
    [row] = rows(corpus).values()
    assert row["status"] == "failed" and row["reason"].startswith("outside: ") and row["audio"] is None
    assert corpus.recordings(["a"]) == {}


@pytest.mark.parametrize(
    "uri",
    ["local://{}", "FILE://{}", "simplecache::file://{}", "dir://secret.wav::file://{}/..", "https://x::file://{}"],
)
def test_a_uri_that_leads_to_this_machine_is_not_read(tmp_path: Path, uri: str) -> None:
    secret = put(tmp_path / "secret.wav", tone())
    (tmp_path / "in").mkdir()
    place = written(tmp_path / "in", {"utt_id": ["a"], "lang": ["fr"], "audio": [uri.format(secret)]})
    [row] = rows(open_corpus(place)).values()
    assert row["audio"] is None and row["reason"].startswith("outside: ")


def test_paths_count_from_the_file_however_the_corpus_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "in/a b.wav", tone())
    (tmp_path / "other").mkdir()
    audio = ["a b.wav", f"file://{tmp_path}/in/a%20b.wav"]
    written(tmp_path / "in", {"utt_id": ["a", "b"], "lang": ["fr"] * 2, "audio": audio})
    (tmp_path / "link").symlink_to(tmp_path / "in")
    monkeypatch.chdir(tmp_path / "other")
    for name in ("../in", f"{tmp_path}/other/../in", "../in/all.parquet"):
        assert set(open_corpus(name).recordings(["a", "b"])) == {"a", "b"}, name
    assert set(open_corpus("../link/").recordings(["a"])) == {"a"}


def test_the_first_of_an_id_is_heard_as_it_is_read(tmp_path: Path) -> None:
    corpus = open_corpus(written(tmp_path, {"utt_id": ["a", "a"], "lang": ["fr"] * 2, "audio": [tone(1), tone(2)]}))
    assert len(corpus.recordings(["a"])["a"]) == 16_000


@pytest.mark.parametrize("kind", [pa.string_view(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())])
def test_texts_of_every_type_are_read_and_found(tmp_path: Path, kind: pa.DataType) -> None:
    ids = pa.array(["a", "b"]).cast(kind)
    corpus = open_corpus(written(tmp_path, {"utt_id": ids, "lang": ["fr"] * 2, "audio": [tone(), tone()]}))
    assert set(rows(corpus)) == {"a", "b"} and set(corpus.recordings(["b"])) == {"b"}


def test_a_folder_may_name_the_language(tmp_path: Path) -> None:
    (tmp_path / "lang=fr").mkdir()
    written(tmp_path / "lang=fr", {"utt_id": ["a"], "audio": [tone()]})
    assert [row["lang"] for row in rows(open_corpus(str(tmp_path))).values()] == ["fr"]


def test_damage_inside_a_file_is_said(tmp_path: Path) -> None:
    columns = {"utt_id": [f"{n}" * 50 for n in range(99)], "lang": ["fr"] * 99, "audio": [tone(0.2)] * 99}
    place = Path(written(tmp_path, columns))
    content = bytearray(place.read_bytes())
    content[100:600:7] = bytes(len(range(100, 600, 7)))
    place.write_bytes(content)
    with pytest.raises(CorpusError, match="all.parquet is no complete Parquet file"):
        rows(open_corpus(str(place)))


@pytest.mark.parametrize(
    ("array", "rate", "found"),
    [
        ([sample * 32_767 for sample in WAVE], 16_000, "a sample is 9830.1; expected floats in"),
        ([int(sample * 2**31) for sample in WAVE], 16_000, "expected floats in .* or integers of 16 bits"),
        (WAVE, -1, r"no wave at -1 Hz \(a sampling rate is above 0\)"),
        (WAVE, None, "no wave at None Hz"),
        ([[0.1, 0.2], [0.1]], 16_000, "no wave at 16000 Hz"),
    ],
)
def test_an_array_that_is_no_wave_fails_its_row_alone(tmp_path: Path, array: list[Any], rate: Any, found: str) -> None:
    good = [[sample] for sample in WAVE] if isinstance(array[0], list) else [type(array[0])(0)] * 16_000
    audio = [{"array": array, "sampling_rate": rate}, {"array": good, "sampling_rate": 16_000}]
    place = written(tmp_path, {"utt_id": ["a", "b"], "lang": ["fr"] * 2, "audio": audio})
    first, second = rows(open_corpus(place)).values()
    assert first["status"] == "failed" and re.search(f"^not_audio: .*{found}", first["reason"]), first["reason"]
    assert second["status"] == "ok" and second["audio"]["bytes"]
