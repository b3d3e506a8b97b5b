"""Two recordings of one voice are more alike than those of two voices; without a voice there is no similarity."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from factory.corpora.audio import read
from factory.models.speaker_similarity import SpeakerSimilarity, compare_voices

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="module")
def model() -> SpeakerSimilarity:
    return SpeakerSimilarity()


@pytest.fixture(scope="module")
def voices() -> dict[str, list[np.ndarray]]:
    """Three recordings of each of the two English voices."""
    rows = pq.read_table(ROOT / "assets/phrasebook/test/en.parquet").to_pylist()
    return {name: [read(row["audio"]) for row in rows if row["speaker"] == name][:3] for name in ("heart", "joe")}


def embed(model: SpeakerSimilarity, wave: np.ndarray) -> np.ndarray:
    embedding = model.embed(wave)
    assert isinstance(embedding, np.ndarray)
    return embedding


def test_one_voice_is_more_like_itself_than_like_another_one(
    model: SpeakerSimilarity, voices: dict[str, list[np.ndarray]]
) -> None:
    embeddings = {name: [embed(model, wave) for wave in waves] for name, waves in voices.items()}
    same = [compare_voices(*two) for waves in embeddings.values() for two in combinations(waves, 2)]
    other = [compare_voices(one, two) for one in embeddings["heart"] for two in embeddings["joe"]]
    assert 0 <= max(other) + 0.15 < min(same) <= 1
    assert compare_voices(embeddings["joe"][0], embeddings["joe"][0]) == pytest.approx(1, abs=1e-6)


def test_it_is_the_cosine_of_the_embeddings_of_the_package(
    model: SpeakerSimilarity, voices: dict[str, list[np.ndarray]]
) -> None:
    from resemblyzer import VoiceEncoder, preprocess_wav

    one, two = voices["heart"][0], voices["joe"][0]
    encoder = VoiceEncoder("cpu", verbose=False)
    theirs = [encoder.embed_utterance(preprocess_wav(wave, source_sr=16_000)) for wave in (one, two)]
    ours = compare_voices(embed(model, one), embed(model, two))
    assert ours == pytest.approx(np.dot(*theirs) / np.linalg.norm(theirs[0]) / np.linalg.norm(theirs[1]), abs=1e-4)
    assert compare_voices(np.array([1.0, 0.0]), np.array([0.6, 0.8])) == pytest.approx(0.6)


def test_without_a_voice_there_is_a_reason(model: SpeakerSimilarity, voices: dict[str, list[np.ndarray]]) -> None:
    wave = voices["heart"][0]
    word = np.concatenate([wave[8_000:16_000], np.zeros(32_000, np.float32)])
    waves = (np.zeros(0, np.float32), wave[:15_999], np.full(32_000, 0.0009, np.float32), word)
    assert [model.embed(one) for one in waves] == ["too_short", "too_short", "silent", "too_little_voice"]
