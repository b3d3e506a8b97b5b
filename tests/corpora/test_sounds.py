"""The audio column of a table: every supported type gives the same recording, others are refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from factory.corpora.audio import read
from factory.corpora.base import AudioError, CorpusError
from factory.corpora.opening import open_corpus
from factory.corpora.sounds import add_audio, make_audio_reader
from tests.corpora.speech import put, rows, tone, write_parquet

WAVE = (np.sin(np.arange(16_000) / 20) * 0.3).tolist()


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
    ids=["struct", "bytes", "path", "path in a struct", "array", "array next to its rate"],
)
def test_audio_of_every_type_is_the_same_recording(tmp_path: Path, audio: dict[str, Any]) -> None:
    put(tmp_path / "a.wav", tone())
    uri = write_parquet(tmp_path, {"utt_id": [7], "lang": ["fr"], "sentence": ["oui"], **audio})
    corpus = open_corpus(uri)
    [row] = rows(corpus).values()
    assert (row["utt_id"], row["text"]) == ("7", "oui")
    np.testing.assert_allclose(read(row["audio"]), np.array(WAVE, np.float32), atol=2**-14)
    assert set(corpus.load_recordings(["7"])) == {"7"}


@pytest.mark.parametrize(
    ("array", "rate", "message"),
    [
        ([sample * 32_767 for sample in WAVE], 16_000, "a sample is 9830.1; expected floats in"),
        ([int(sample * 2**31) for sample in WAVE], 16_000, "expected floats in .* or integers of 16 bits"),
        (WAVE, -1, r"not audio at -1 Hz \(a sampling rate is above 0\)"),
        (WAVE, None, "not audio at None Hz"),
        ([[0.1, 0.2], [0.1]], 16_000, "not audio at 16000 Hz"),
    ],
)
def test_an_array_that_is_not_audio_fails_only_its_row(
    tmp_path: Path, array: list[Any], rate: object, message: str
) -> None:
    good = [[sample] for sample in WAVE] if isinstance(array[0], list) else [type(array[0])(0)] * 16_000
    audio = [{"array": array, "sampling_rate": rate}, {"array": good, "sampling_rate": 16_000}]
    uri = write_parquet(tmp_path, {"utt_id": ["a", "b"], "lang": ["fr"] * 2, "audio": audio})
    first, second = rows(open_corpus(uri)).values()
    assert first["status"] == "failed" and re.search(f"^not_audio: .*{message}", first["reason"]), first["reason"]
    assert second["status"] == "ok" and second["audio"]["bytes"]


def test_an_unsupported_type_is_refused_by_name() -> None:
    schema = pa.schema([("audio", pa.struct([("file", pa.string())]))])
    with pytest.raises(CorpusError, match=r"the table has audio as a struct of file \(string\); expected bytes, path"):
        make_audio_reader(schema, "the table")


def test_a_row_whose_audio_cannot_be_read_is_failed() -> None:
    def fail(_: object) -> None:
        raise AudioError("not_audio", "no samples")

    row = add_audio({"utt_id": "a"}, fail, {})
    assert row == {"utt_id": "a", "audio": None, "status": "failed", "reason": "not_audio: no samples"}
