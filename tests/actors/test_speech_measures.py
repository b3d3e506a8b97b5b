"""The measures of spoken translations: values, or reasons that can be counted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from factory.actors.speech_measures import SpeechMeasures
from factory.corpora.audio import encode, read
from factory.corpora.base import Audio
from factory.storage.manifest import StoreError

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="module")
def measures() -> SpeechMeasures:
    return SpeechMeasures(["dnsmos", "speaker_similarity"], threads=1)


@pytest.fixture(scope="module")
def recordings() -> list[Audio]:
    """A recording of each of the two English voices."""
    rows = pq.read_table(ROOT / "assets/phrasebook/test/en.parquet").to_pylist()
    return [next(row["audio"] for row in rows if row["speaker"] == name) for name in ("heart", "joe")]


def test_each_measure_has_its_column_and_other_voices_are_less_alike(
    measures: SpeechMeasures, recordings: list[Audio]
) -> None:
    wave = np.concatenate([read(recordings[0])] * 6)[:144_160]  # the fastest to rate
    found = measures.measure(wave, recordings[0])
    assert list(found) == ["unmeasured", "dnsmos", "speaker_similarity"] and found["unmeasured"] == []
    assert 2.5 < found["dnsmos"] < 5 and 0.9 < found["speaker_similarity"] <= 1
    similarity = SpeechMeasures(["speaker_similarity"], threads=1)
    other = similarity.measure(wave, recordings[1])
    assert set(other) == {"unmeasured", "speaker_similarity"}
    assert other["speaker_similarity"] < found["speaker_similarity"] - 0.2


def test_what_cannot_be_measured_is_null_with_a_reason(
    measures: SpeechMeasures, recordings: list[Audio], monkeypatch: pytest.MonkeyPatch
) -> None:
    wave, silence = read(recordings[0]), np.zeros(32_000, np.float32)
    nothing = measures.measure(None, recordings[0])
    assert nothing == {
        "unmeasured": ["dnsmos: no_speech", "speaker_similarity: no_speech"],
        "dnsmos": None,
        "speaker_similarity": None,
    }
    silent = measures.measure(silence, recordings[0])
    assert silent["unmeasured"] == ["dnsmos: silent", "speaker_similarity: silent"]
    similarity = SpeechMeasures(["speaker_similarity"], threads=1)
    sources: dict[str, Audio | None] = {
        "source_not_recorded": None,
        "source_missing_file": {"bytes": None, "path": "/no/such/file"},
        "source_not_audio": {"bytes": b"text", "path": None},
        "source_too_short": {"bytes": encode(wave[:12_000], "FLAC"), "path": None},
        "source_silent": {"bytes": encode(silence, "FLAC"), "path": None},
    }
    for reason, source in sources.items():
        found = similarity.measure(wave, source)
        assert found == {"unmeasured": [f"speaker_similarity: {reason}"], "speaker_similarity": None}

    def fail(recording: Audio) -> np.ndarray:
        raise StoreError("the store does not answer")

    monkeypatch.setattr("factory.actors.speech_measures.read", fail)
    assert similarity.measure(wave, recordings[0])["unmeasured"] == ["speaker_similarity: source_unreadable"]
