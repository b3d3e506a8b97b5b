"""What recognizer and aligner share of Whisper: contexts, batches, and messages that name the right section."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from factory.models.weights import WeightsError
from factory.models.whisper import WhisperNetwork, batches, group_by_context, shortest_context
from schemas.audio import SAMPLE_RATE


def silence(seconds: float) -> np.ndarray:
    return np.zeros(int(seconds * SAMPLE_RATE), np.float32)


def test_a_wave_has_the_shortest_context_that_holds_it() -> None:
    assert [shortest_context(silence(seconds)) for seconds in (0, 10, 10.1, 20, 30)] == [10, 10, 20, 20, 30]
    waves = [silence(seconds) for seconds in (21, 3, 30, 4)]
    assert list(group_by_context(waves)) == [(10.0, [1, 3]), (30.0, [0, 2])]


def test_batches_hold_every_item_once_in_order() -> None:
    assert list(batches([1, 2, 3, 4, 5], 2)) == [[1, 2], [3, 4], [5]]
    assert list(batches([], 2)) == []


def test_messages_name_the_section_of_the_recipe(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="^the aligner .* has no model.bin and no tokenizer.json .* aligner.model$"):
        WhisperNetwork("aligner", str(tmp_path), compute_type="int8", threads=1)
    network = WhisperNetwork("aligner", "package:whisper-base", compute_type="int8", threads=1)
    assert len(network.prompt("fr")) == 4 and network.prompt("fr") != network.prompt("en")
    with pytest.raises(WeightsError, match="does not know the language 'xx': .* or change aligner.model$"):
        network.prompt("xx")


def test_states_come_at_50_hz_and_do_not_depend_on_the_batch() -> None:
    network = WhisperNetwork("recognizer", "package:whisper-base", compute_type="float32", threads=1)
    rng = np.random.default_rng(0)
    waves = [0.1 * rng.standard_normal(SAMPLE_RATE).astype(np.float32) for _ in range(3)]
    together = np.array(network.encode(waves, 10.0))
    assert together.shape == (3, 500, 512)
    assert np.abs(together[2] - np.array(network.encode(waves[2:], 10.0))[0]).max() < 1e-3
