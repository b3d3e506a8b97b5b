"""Parquet of other people: columns that clearly mean ours are cast, others are refused in a sentence."""

from __future__ import annotations

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
        ({"utt_id": ["a"], "lang": ["fr"], "audio": [{"file": "a.wav"}]}, "has audio as a struct of file; expected"),
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
