"""The vocoder actor of produce: what is resynthesised, in which language, and what passes through."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from factory.actors.vocoder import SPOKEN, Vocoder, from_pcm, to_pcm
from factory.models.unit_hifigan import CodeHiFiGAN
from factory.models.voice import Voice
from schemas.datasets import FAILED, OK, SCORED, SKIPPED, Candidate, Row

TINY: Row = {
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
def vocoders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Folders of two random vocoders."""
    folder = tmp_path_factory.mktemp("vocoders")
    for seed, lang in enumerate(("fr", "en")):
        torch.manual_seed(seed)
        CodeHiFiGAN(TINY).save_pretrained(folder / lang)
    return {lang: str(folder / lang) for lang in ("fr", "en")}


@pytest.fixture(scope="module")
def actor(vocoders: dict[str, str]) -> Vocoder:
    return Vocoder(vocoders, threads=1)


def candidate(units: list[int] | None, back_translation_units: list[int] | None) -> Candidate:
    return {
        "text": "t",
        "units": units,
        "logprob": -1.0,
        "finish": "ok",
        "back_translation": "b",
        "back_translation_units": back_translation_units,
        "back_translation_finish": "ok",
    }


def table(**changes: Any) -> pa.Table:
    """Return a row with valid candidates (and `changes`), one with malformed candidates, and a skipped one."""
    row = {"src_lang": "fr", "tgt_lang": "en", "text": "x", "units": [1, 2, 3], "durations": [1, 2, 1], "status": OK}
    rows: list[Row] = [
        row | {"utt_id": "a", "candidates": [candidate([4, 5], [1, 2]), candidate([4, 5], [1, 2, 3])]} | changes,
        row | {"utt_id": "b", "candidates": [candidate(None, None), candidate([], None), candidate([6], None)]},
        row | {"utt_id": "c", "candidates": None, "status": SKIPPED, "reason": "too_short: 0.01 s"},
    ]
    return pa.Table.from_pylist(rows, schema=SCORED)


def test_source_and_back_translations_are_spoken_in_the_source_language(
    actor: Vocoder, vocoders: dict[str, str]
) -> None:
    out = actor(table())
    assert out.schema == SPOKEN
    french = Voice(vocoders["fr"])
    row = out.to_pylist()[0]
    assert row["source_audio"] == to_pcm(french.speak([[1, 2, 3]])[0])
    first, second = row["candidates"]
    assert first["back_audio"] == to_pcm(french.speak([[1, 2]])[0])
    assert second["back_audio"] == row["source_audio"]
    assert (first["text"], first["units"], first["logprob"], row["durations"]) == ("t", [4, 5], -1.0, [1, 2, 1])


def test_a_batch_in_two_languages_is_spoken_with_two_vocoders(actor: Vocoder, vocoders: dict[str, str]) -> None:
    rows = [table().to_pylist()[0], table(src_lang="en", tgt_lang="fr").to_pylist()[0]]
    done = actor(pa.Table.from_pylist(rows, schema=SCORED)).to_pylist()
    for lang, row in zip(("fr", "en"), done, strict=True):
        assert row["source_audio"] == to_pcm(Voice(vocoders[lang]).speak([[1, 2, 3]])[0])


def test_malformed_candidates_have_no_audio_and_skipped_rows_pass_through(actor: Vocoder) -> None:
    malformed, skipped = actor(table()).to_pylist()[1:]
    assert [candidate["back_audio"] for candidate in malformed["candidates"]] == [None] * 3
    assert (skipped["status"], skipped["reason"], skipped["source_audio"]) == (SKIPPED, "too_short: 0.01 s", None)


@pytest.mark.parametrize("changes", [{"units": [1, 99]}, {"src_lang": "de"}])
def test_a_row_that_cannot_be_spoken_fails_alone(actor: Vocoder, changes: dict[str, Any]) -> None:
    rows = actor(table(**changes)).to_pylist()
    assert [row["status"] for row in rows] == [FAILED, OK, SKIPPED]
    assert rows[0]["reason"].startswith("error: ")


def test_pcm_keeps_a_wave_to_16_bits() -> None:
    wave = np.array([0, 0.5, -1, 1, 1.5, -2, 1e-5], np.float32)
    np.testing.assert_allclose(from_pcm(to_pcm(wave)), wave.clip(-1, 1), atol=0.51 / 32767)
