"""A voice synthesises equal utterances once, and refuses checkpoints and units that do not fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from factory.models.unit_hifigan import CodeHiFiGAN
from factory.models.vocoder_config import VocoderError
from factory.models.voice import Voice
from factory.models.weights import WeightsError

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


def test_equal_utterances_are_synthesised_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    CodeHiFiGAN(TINY).save_pretrained(tmp_path)
    voice = Voice(tmp_path)
    synthesize, calls = voice.model.synthesize, []

    def record(units: list[tuple[int, ...]]) -> list[np.ndarray]:
        calls.append(units)
        return synthesize(units)

    monkeypatch.setattr(voice.model, "synthesize", record)
    one, two, again, empty = voice.speak([[1, 2], [3, 4], [1, 2], []])
    assert calls == [[(1, 2), (3, 4), ()]]
    np.testing.assert_array_equal(one, again)
    np.testing.assert_array_equal(two, CodeHiFiGAN.from_pretrained(tmp_path).synthesize([[3, 4]])[0])
    assert (one.dtype, len(empty)) == (np.float32, 0)


def test_units_and_checkpoints_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="there are no weights at"):
        Voice(tmp_path / "absent")
    with pytest.raises(VocoderError, match="is not a vocoder"):
        Voice(tmp_path)
    CodeHiFiGAN(TINY).save_pretrained(tmp_path)
    with pytest.raises(VocoderError, match="unit 10 is outside"):
        Voice(tmp_path).speak([[10]])
