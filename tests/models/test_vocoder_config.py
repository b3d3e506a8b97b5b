"""The config.json of a vocoder: networks that this code base cannot build are refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from factory.models.vocoder_config import VocoderConfig, VocoderError
from schemas.audio import SAMPLE_RATE

FAIRSEQ: dict[str, Any] = {"num_embeddings": 1000, "resblock": "1", "code_hop_size": 320, "dur_prediction_weight": 1.0}


def test_the_defaults_are_those_of_fairseq_s_published_vocoders() -> None:
    config = VocoderConfig.from_json(FAIRSEQ)
    assert config == VocoderConfig(num_embeddings=1000)
    assert (config.upsample_rates, config.upsample_kernel_sizes) == ((5, 4, 4, 2, 2), (11, 8, 8, 4, 4))
    assert (config.resblock_kernel_sizes, config.resblock_dilation_sizes) == ((3, 7, 11), ((1, 3, 5),) * 3)
    assert (config.upsample_initial_channel, config.embedding_dim) == (512, 128)
    assert (config.code_hop_size, config.sampling_rate, config.carry_durations) == (320, SAMPLE_RATE, False)
    assert (config.filter_n_fft, config.filter_hop) == (0, 1)


def test_kernels_may_differ_by_level() -> None:
    config = VocoderConfig(num_embeddings=10)
    assert [config.level_kernels(level) for level in (0, 1)] == [(3, 7, 11), (3, 7, 11)]
    config = replace(config, resblock_kernel_sizes=((3,), (3, 7)))
    assert [config.level_kernels(level) for level in (0, 1)] == [(3,), (3, 7)]


def test_a_null_stands_for_the_default() -> None:
    assert VocoderConfig.from_json(FAIRSEQ | {"embedding_dim": None}).embedding_dim == 128


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"multispkr": "_"}, "has multispkr, which is not supported"),
        ({"f0": True}, "has f0, which is not supported"),
        ({"embedder_params": {"dim": 8}, "f0": True}, "has f0, embedder_params, which is not supported"),
        ({"resblock": "2"}, "has ResBlock2, which is not supported"),
        ({"resblock": 2}, "has ResBlock2, which is not supported"),
        ({"code_hop_size": 256}, "make 320 samples per frame, but code_hop_size is 256"),
        ({"filter_hop": 2}, "make 640 samples per frame, but code_hop_size is 320"),
        ({"filter_n_fft": 256}, "both or neither"),
        ({"pitch_predictor_params": {"dim": 16}}, "both or neither"),
    ],
)
def test_other_networks_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(VocoderError, match=message):
        VocoderConfig.from_json(FAIRSEQ | change)


def test_the_number_of_units_is_needed() -> None:
    with pytest.raises(VocoderError, match="has no `num_embeddings`"):
        VocoderConfig.from_json({"code_hop_size": 320})
