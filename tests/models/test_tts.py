"""Text to speech: a tiny VITS speaks the same way twice, and other folders are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from factory.models.tts import Speakers
from factory.models.weights import WeightsError
from tests.toys import tiny_vits


def test_a_voice_speaks_the_same_way_twice(tmp_path: Path) -> None:
    speakers = Speakers({"fr": str(tiny_vits(tmp_path))})
    assert speakers.languages == {"fr"}
    one, two, silent = speakers.speak(["where is it", "where is it", "!!"], "fr")
    assert one.dtype == silent.dtype == np.float32
    assert len(one) > 0 and len(silent) == 0
    np.testing.assert_array_equal(one, two)
    model, ids = speakers.models["fr"], speakers.tokenizers["fr"]("where is it", return_tensors="pt")
    torch.manual_seed(0)
    with torch.inference_mode():
        samples = model(**ids).waveform.shape[1]
    assert len(one) == samples


def test_other_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="is not a VITS voice .*: change evaluate.cascade"):
        Speakers({"fr": str(tmp_path)})
