"""The vocoder reads fairseq's checkpoints and its own, and a wave does not depend on the other utterances of a call."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from factory.models.unit_hifigan import CodeHiFiGAN, fold_weight_norm
from factory.models.vocoder_config import VocoderError

FAIRSEQ: dict[str, Any] = {
    "resblock": "1",
    "upsample_rates": [5, 4, 4, 2, 2],
    "upsample_kernel_sizes": [11, 8, 8, 4, 4],
    "upsample_initial_channel": 32,  # 512 in the published ones
    "resblock_kernel_sizes": [3, 7, 11],
    "resblock_dilation_sizes": [[1, 3, 5], [1, 3, 5], [1, 3, 5]],
    "num_embeddings": 1000,
    "embedding_dim": 128,
    "model_in_dim": 128,
    "segment_size": 8960,
    "code_hop_size": 320,
    "sampling_rate": 16000,
    "dur_prediction_weight": 1.0,
    "dur_predictor_params": {
        "encoder_embed_dim": 128,
        "var_pred_hidden_dim": 128,
        "var_pred_kernel_size": 3,
        "var_pred_dropout": 0.5,
    },
}
SMALL: dict[str, Any] = {
    "num_embeddings": 20,
    "embedding_dim": 16,
    "upsample_rates": [1, 5],
    "upsample_kernel_sizes": [3, 11],
    "upsample_initial_channel": 64,
    "resblock_kernel_sizes": [[3], [3, 7]],
    "resblock_dilation_sizes": [[1, 3, 5]] * 2,
    "filter_n_fft": 256,
    "filter_hop": 64,
    "dur_predictor_params": {"encoder_embed_dim": 16, "var_pred_hidden_dim": 16},
    "pitch_predictor_params": {"dim": 16},
}


def fairseq_state(seed: int = 0) -> dict[str, Tensor]:
    """Return random weights under every key of fairseq's format, weight normalisation included."""
    torch.manual_seed(seed)
    state: dict[str, Tensor] = {"dict.weight": torch.randn(1000, 128)}

    def normalised(name: str, *shape: int, bias: int) -> None:
        state[f"{name}.weight_v"] = torch.randn(shape) / math.sqrt(math.prod(shape[1:]))
        state[f"{name}.weight_g"] = torch.rand(shape[0], *[1] * (len(shape) - 1)) + 0.5
        state[f"{name}.bias"] = torch.randn(bias) * 0.1

    for conv, norm in (("conv1.0", "ln1"), ("conv2.0", "ln2")):
        state |= {
            f"dur_predictor.{conv}.weight": torch.randn(128, 128, 3) * 0.05,
            f"dur_predictor.{conv}.bias": torch.randn(128) * 0.1,
        }
        state |= {
            f"dur_predictor.{norm}.weight": torch.rand(128) + 0.5,
            f"dur_predictor.{norm}.bias": torch.randn(128) * 0.1,
        }
    state |= {"dur_predictor.proj.weight": torch.randn(1, 128) * 0.05, "dur_predictor.proj.bias": torch.ones(1)}
    normalised("conv_pre", 32, 128, 7, bias=32)
    for level, kernel in enumerate(FAIRSEQ["upsample_kernel_sizes"]):
        channels = 32 >> (level + 1)
        normalised(f"ups.{level}", 2 * channels, channels, kernel, bias=channels)
        for block, size in enumerate(FAIRSEQ["resblock_kernel_sizes"]):
            for half in ("convs1", "convs2"):
                for conv_ in range(3):
                    normalised(f"resblocks.{3 * level + block}.{half}.{conv_}", channels, channels, size, bias=channels)
    normalised("conv_post", 1, 1, 7, bias=1)
    return state


def write_fairseq(folder: Path, state: dict[str, Tensor]) -> Path:
    """Write a checkpoint as fairseq does: config.json next to a pickle with the state under "generator"."""
    (folder / "config.json").write_text(json.dumps(FAIRSEQ))
    torch.save({"generator": state}, folder / "model.pt")
    return folder / "model.pt"


def small_voice(seed: int = 0) -> CodeHiFiGAN:
    """Return a random voice of 20 units."""
    torch.manual_seed(seed)
    return CodeHiFiGAN(SMALL).eval()


def reference_wave(state: dict[str, Tensor], units: list[int]) -> Tensor:
    """HiFi-GAN written out with torch's own weight normalisation and 1-d convolutions, as in the original code."""

    def run(name: str, x: Tensor, transposed: bool = False, rate: int = 1, dilation: int = 1) -> Tensor:
        v = state[f"{name}.weight_v"]
        kind = nn.ConvTranspose1d if transposed else nn.Conv1d
        pad = (v.shape[2] - rate) // 2 if transposed else dilation * (v.shape[2] - 1) // 2
        sizes = (v.shape[0], v.shape[1]) if transposed else (v.shape[1], v.shape[0])
        layer = nn.utils.weight_norm(kind(*sizes, v.shape[2], stride=rate, padding=pad, dilation=dilation))
        layer.load_state_dict({key: state[f"{name}.{key}"] for key in ("weight_g", "weight_v", "bias")})
        with torch.no_grad():
            return layer(x)

    relu = nn.functional.leaky_relu
    x = run("conv_pre", state["dict.weight"][torch.tensor(units)].T[None])
    for level, rate in enumerate(FAIRSEQ["upsample_rates"]):
        x = run(f"ups.{level}", relu(x, 0.1), True, rate)
        total = torch.zeros_like(x)
        for block in range(3):
            y = x
            for i, dilation in enumerate((1, 3, 5)):
                name = f"resblocks.{3 * level + block}"
                y = y + run(f"{name}.convs2.{i}", relu(run(f"{name}.convs1.{i}", relu(y, 0.1), dilation=dilation), 0.1))
            total = total + y
        x = total / 3
    return torch.tanh(run("conv_post", relu(x)))[0, 0]


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_a_fairseq_checkpoint_speaks_as_the_original_network(tmp_path: Path) -> None:
    state = fairseq_state()
    voice = CodeHiFiGAN.from_pretrained(write_fairseq(tmp_path, state))
    units = [991, 393, 946, 215]
    wave = voice.synthesize([units], [[1, 1, 2, 1]])[0]
    expected = reference_wave(state, [991, 393, 946, 946, 215])
    assert wave.shape == (5 * 320,)
    np.testing.assert_allclose(wave, expected.numpy(), atol=1e-5)


def test_durations_follow_the_predictor(tmp_path: Path) -> None:
    voice = CodeHiFiGAN.from_pretrained(write_fairseq(tmp_path, fairseq_state()).parent)
    units = torch.arange(30)
    with torch.no_grad():
        x = voice.dur_predictor(voice.dict(units)[None])[0]
    expected = [max(1, round(math.exp(value) - 1)) for value in x.tolist()]
    assert voice.predict_durations(units).tolist() == expected
    assert len(set(expected)) > 1
    assert len(voice.synthesize([units.tolist()])[0]) == 320 * sum(expected)


def test_without_a_predictor_a_unit_lasts_one_frame(tmp_path: Path) -> None:
    CodeHiFiGAN({**SMALL, "dur_predictor_params": {}}).save_pretrained(tmp_path)
    voice = CodeHiFiGAN.from_pretrained(tmp_path)
    assert not [key for key in voice.state_dict() if key.startswith("dur_predictor")]
    one, two = voice.synthesize([[3, 3, 3, 4], [3, 4]])
    assert (len(one), len(two)) == (4 * 320, 2 * 320)
    np.testing.assert_array_equal(one, voice.synthesize([[3, 4]], durations=[[3, 1]])[0])


def test_carried_durations_keep_an_utterances_length(tmp_path: Path) -> None:
    voice = CodeHiFiGAN.from_pretrained(write_fairseq(tmp_path, fairseq_state()).parent)
    with torch.no_grad():
        voice.dur_predictor.proj.weight.zero_()
        voice.dur_predictor.proj.bias.fill_(math.log(2.4))  # 1.4 frames each
    units = torch.arange(50)
    assert int(voice.predict_durations(units).sum()) == 50
    voice.config = replace(voice.config, carry_durations=True)
    assert voice.predict_durations(units).tolist() == [1, 2, 1, 2, 1] * 10


def test_missing_keys_are_named(tmp_path: Path) -> None:
    state = fairseq_state()
    del state["dict.weight"], state["ups.1.bias"]
    with pytest.raises(VocoderError, match=r"missing \['dict.weight', 'ups.1.bias'\]"):
        CodeHiFiGAN.from_pretrained(write_fairseq(tmp_path, state))


def test_half_of_a_weight_norm_is_named(tmp_path: Path) -> None:
    state = fairseq_state()
    del state["conv_pre.weight_g"]
    with pytest.raises(VocoderError, match="conv_pre.weight_v but no conv_pre.weight_g"):
        CodeHiFiGAN.from_pretrained(write_fairseq(tmp_path, state))


def test_another_shape_is_a_clear_error(tmp_path: Path) -> None:
    state = fairseq_state() | {"dict.weight": torch.randn(100, 128)}
    with pytest.raises(VocoderError, match="does not fit"):
        CodeHiFiGAN.from_pretrained(write_fairseq(tmp_path, state))


@pytest.mark.parametrize("keep", [0, 1000, 100_000])
def test_a_truncated_checkpoint_is_a_clear_error(tmp_path: Path, keep: int) -> None:
    file = write_fairseq(tmp_path, fairseq_state())
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(VocoderError, match="may be truncated"):
        CodeHiFiGAN.from_pretrained(tmp_path)


def test_a_folder_without_a_checkpoint_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(VocoderError, match="is not a vocoder"):
        CodeHiFiGAN.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "describes no unit vocoder"),
        ("[]", "describes no unit vocoder"),
        ('{"num_embeddings": 10, "dur_predictor_params": {"layers": 2}}', "describes no unit vocoder .*layers"),
        ('{"num_embeddings": -1}', "describes no unit vocoder"),
        ('{"multispkr": "_"}', r"config.json: the vocoder's config has multispkr"),
    ],
)
def test_a_config_without_a_network_is_refused(content: str, message: str, tmp_path: Path) -> None:
    write_fairseq(tmp_path, {})
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(VocoderError, match=message):
        CodeHiFiGAN.from_pretrained(tmp_path)


def test_a_checkpoint_without_a_state_is_refused(tmp_path: Path) -> None:
    write_fairseq(tmp_path, {})
    for content in ({"generator": 3}, [1, 2]):
        torch.save(content, tmp_path / "model.pt")
        with pytest.raises(VocoderError, match="holds no state of a network"):
            CodeHiFiGAN.from_pretrained(tmp_path)


def test_weight_normalisation_is_folded() -> None:
    v, g = torch.tensor([[[3.0, 4.0]], [[0.0, 2.0]]]), torch.tensor([[[10.0]], [[1.0]]])
    folded = fold_weight_norm({"conv.weight_v": v, "conv.weight_g": g, "conv.bias": torch.ones(2)})
    assert {key: value.tolist() for key, value in folded.items()} == {
        "conv.bias": [1.0, 1.0],
        "conv.weight": [[[6.0, 8.0]], [[0.0, 1.0]]],
    }


def test_a_saved_voice_is_loaded_again(tmp_path: Path) -> None:
    voice = small_voice()
    voice.save_pretrained(tmp_path)
    again = CodeHiFiGAN.from_pretrained(tmp_path)
    again.save_pretrained(tmp_path / "again")
    assert (tmp_path / "model.safetensors").read_bytes() == (tmp_path / "again/model.safetensors").read_bytes()
    a, b = (v.synthesize([[1, 2, 3]], [[2, 2, 2]])[0] for v in (voice, again))
    assert np.abs(a - b).mean() < 0.01 * np.abs(a).mean()  # half precision on disk


@pytest.mark.parametrize("config", [SMALL, FAIRSEQ | {"num_embeddings": 20}], ids=["filter", "plain"])
def test_a_wave_does_not_depend_on_its_batch(config: dict[str, Any]) -> None:
    torch.manual_seed(0)
    voice = CodeHiFiGAN(config).eval()
    lines = [[1, 2, 3, 4], [5], [], [6, 7, 8, 9], [1, 2, 3, 4, 5, 6, 7], [4, 3, 2, 1]]
    durations = [[1, 2, 3, 4], [3], [], [4, 3, 2, 1], [1] * 7, [2, 2, 4, 2]]
    for lengths in (None, durations):
        together = voice.synthesize(lines, lengths)
        for i, line in enumerate(lines):
            alone = voice.synthesize([line], None if lengths is None else [lengths[i]])[0]
            np.testing.assert_allclose(together[i], alone, atol=1e-5)
    assert [len(wave) for wave in together] == [320 * sum(line) for line in durations]
    assert np.abs(together[0] - together[3]).max() > 1e-4


def test_units_outside_the_codebook_and_uneven_durations_are_refused() -> None:
    voice = small_voice()
    for unit in (20, -1):
        with pytest.raises(VocoderError, match=rf"unit {unit} is outside 0\.\.19"):
            voice.synthesize([[3, unit, 4]])
    with pytest.raises(ValueError, match="2 units, but 1 durations"):
        voice.synthesize([[3, 4]], [[1]])
