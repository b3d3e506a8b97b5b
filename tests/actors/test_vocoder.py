"""The speaker of produce: who is spoken, in which language, and what travels on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from factory.actors.vocoder import SPOKEN, Vocoder, from_pcm, to_pcm
from factory.models.unit_hifigan import CodeHiFiGAN
from factory.models.voice import Voice
from schemas.datasets import FAILED, OK, SCORED, SKIPPED

TINY: dict[str, Any] = {
    "num_embeddings": 10,
    "embedding_dim": 8,
    "upsample_rates": [5, 4, 4, 4],
    "upsample_kernel_sizes": [11, 8, 8, 8],
    "upsample_initial_channel": 32,
    "resblock_kernel_sizes": [3],
    "resblock_dilation_sizes": [[1, 3]],
    "dur_predictor_params": {"encoder_embed_dim": 8, "var_pred_hidden_dim": 8},
}


@pytest.fixture(scope="module")
def voices(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Folders of two random voices."""
    folder = tmp_path_factory.mktemp("voices")
    for seed, lang in enumerate(("fr", "en")):
        torch.manual_seed(seed)
        CodeHiFiGAN(TINY).save_pretrained(folder / lang)
    return {lang: str(folder / lang) for lang in ("fr", "en")}


def candidate(units: list[int] | None, back_translation_units: list[int] | None) -> dict[str, Any]:
    """Return a candidate with these units."""
    return {
        "text": "t",
        "units": units,
        "finish": "ok",
        "back_translation": "b",
        "back_translation_units": back_translation_units,
        "back_translation_finish": "ok",
    }


def table(**changes: Any) -> pa.Table:
    """Return three rows: sound, malformed candidates, skipped."""
    row = {"src_lang": "fr", "tgt_lang": "en", "text": "x", "units": [1, 2, 3], "durations": [1, 2, 1], "status": OK}
    rows: list[dict[str, Any]] = [
        row | {"utt_id": "a", "candidates": [candidate([4, 5], [1, 2]), candidate([4, 5], [1, 2, 3])]},
        row | {"utt_id": "b", "candidates": [candidate(None, None), candidate([], None), candidate([6], None)]},
        row | {"utt_id": "c", "candidates": None, "status": SKIPPED, "reason": "too_short: 0.01 s"},
    ]
    rows[0] |= changes
    return pa.Table.from_pylist(rows, schema=SCORED)


def same(audio: bytes, wave: np.ndarray) -> bool:
    """Whether PCM holds this wave."""
    return audio == to_pcm(wave)


def test_source_and_ways_back_are_spoken_in_the_sources_language(voices: dict[str, str]) -> None:
    out = Vocoder(checkpoints=voices)(table())
    assert out.schema == SPOKEN
    french = Voice(voices["fr"])
    row = out.to_pylist()[0]
    assert same(row["source_audio"], french.speak([[1, 2, 3]])[0])
    first, second = row["candidates"]
    assert same(first["back_audio"], french.speak([[1, 2]])[0])
    assert second["back_audio"] == row["source_audio"]
    assert first["text"] == "t" and row["durations"] == [1, 2, 1]


def test_malformed_candidates_are_silent_and_skipped_rows_untouched(voices: dict[str, str]) -> None:
    malformed, skipped = Vocoder(checkpoints=voices)(table()).to_pylist()[1:]
    assert [c["back_audio"] for c in malformed["candidates"]] == [None] * 3
    assert (skipped["status"], skipped["reason"], skipped["source_audio"]) == (SKIPPED, "too_short: 0.01 s", None)


@pytest.mark.parametrize("changes", [{"units": [1, 99]}, {"src_lang": "de"}])
def test_a_row_that_cannot_be_spoken_fails_alone(voices: dict[str, str], changes: dict[str, Any]) -> None:
    rows = Vocoder(checkpoints=voices)(table(**changes)).to_pylist()
    assert [row["status"] for row in rows] == [FAILED, OK, SKIPPED]
    assert rows[0]["reason"].startswith("error: ")


def test_a_voice_speaks_in_order(voices: dict[str, str]) -> None:
    voice = Voice(voices["en"])
    waves = voice.speak([[1, 2], [3], [], [1, 2]])
    assert len(waves) == 4 and len(waves[2]) == 0
    np.testing.assert_array_equal(waves[0], waves[3])
    np.testing.assert_array_equal(waves[1], voice.speak([[3]])[0])


def test_pcm_keeps_a_wave_to_16_bits() -> None:
    wave = np.array([0, 0.5, -1, 1, 1.5, -2, 1e-5], np.float32)
    np.testing.assert_allclose(from_pcm(to_pcm(wave)), wave.clip(-1, 1), atol=0.51 / 32767)
