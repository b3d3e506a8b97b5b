"""Speech encoders agree with their reference implementations, and frames depend on the wave alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from factory.models.codebook import Codebook, assign
from factory.models.speech_encoders import (
    BATCH_FRAMES,
    HubertEncoder,
    SpeechEncoder,
    WhisperEncoder,
    load_speech_encoder,
)
from factory.models.weights import WeightsError, resolve
from schemas.audio import SAMPLE_RATE

WHISPER = "package:whisper-base"


def babble(seconds: float, seed: int = 0) -> np.ndarray:
    """Return a wave that changes as speech does: noise and a gliding tone, loud and soft four times a second."""
    rng, t = np.random.default_rng(seed), np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    tone = np.sin(2 * np.pi * (120 + 40 * np.sin(2 * np.pi * t)) * t)
    wave = (0.3 * tone + 0.05 * rng.standard_normal(len(t))) * (0.5 + 0.5 * np.sin(2 * np.pi * 4 * t))
    return wave.astype(np.float32)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def whisper() -> WhisperEncoder:
    return WhisperEncoder(WHISPER, layer=4)


def tiny_hubert(path: Path, stable: bool = False) -> Path:
    """Save a random HubertModel of two layers; `stable` puts the layer norms first, as in HuBERT large."""
    from transformers import HubertConfig, HubertModel

    config = HubertConfig(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        conv_dim=(16,) * 7,
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=2,
        do_stable_layer_norm=stable,
        feat_extract_norm="layer" if stable else "group",
    )
    torch.manual_seed(0)
    HubertModel(config).save_pretrained(path)
    return path


def test_whisper_agrees_with_ctranslate2() -> None:
    import ctranslate2
    from faster_whisper.feature_extractor import FeatureExtractor

    wave = np.zeros(480_000, np.float32)
    wave[: 7 * SAMPLE_RATE] = babble(7)
    encoder = WhisperEncoder(WHISPER, layer=6)
    mel = FeatureExtractor()(wave, padding=0)[:, :3000]
    np.testing.assert_allclose(encoder.log_mel(wave).numpy(), mel, atol=1e-4)
    model = ctranslate2.models.Whisper(str(resolve(WHISPER)), compute_type="float32", intra_threads=1)
    features = ctranslate2.StorageView.from_array(np.ascontiguousarray(mel[None], np.float32))
    np.testing.assert_allclose(encoder.frames(wave), np.array(model.encode(features))[0], atol=1e-2)


@pytest.mark.parametrize("layer", [1, 2])
def test_whisper_agrees_with_hugging_face(layer: int, tmp_path: Path) -> None:
    from transformers import WhisperConfig, WhisperModel

    sizes = {
        f"{side}_{name}": size
        for side in ("encoder", "decoder")
        for name, size in (("layers", 2), ("attention_heads", 2), ("ffn_dim", 64))
    }
    ids = dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id"), 0)
    model = WhisperModel(WhisperConfig(d_model=32, vocab_size=10, **sizes, **ids)).eval()
    model.save_pretrained(tmp_path)
    encoder, wave = WhisperEncoder(str(tmp_path), layer), babble(30)
    with torch.inference_mode():
        expected = model.encoder(encoder.log_mel(wave)[None], output_hidden_states=True).hidden_states[layer]
    np.testing.assert_allclose(encoder.frames(wave), expected[0].numpy(), atol=1e-5)


def test_whisper_frames_come_at_50_hz_and_later_layers_are_not_kept(whisper: WhisperEncoder) -> None:
    assert whisper.frames(babble(2.0)).shape == (100, 512)
    later = ("layer_4/", "layer_5/", "layer_norm")
    assert not [name for name in whisper.weights if name.startswith(later)]
    assert whisper.fingerprint != WhisperEncoder(WHISPER, layer=5).fingerprint


@pytest.mark.parametrize("samples", [399, 480_001])
def test_whisper_refuses_other_lengths(whisper: WhisperEncoder, samples: int) -> None:
    with pytest.raises(ValueError, match=f"0.025 to 30 s of audio; got {samples / 16_000:.3f} s"):
        whisper.frames(np.zeros(samples, np.float32))


@pytest.mark.parametrize("stable", [False, True])
@pytest.mark.parametrize("layer", [1, 2])
def test_hubert_layers_count_as_in_fairseq(stable: bool, layer: int, tmp_path: Path) -> None:
    from transformers import HubertModel

    encoder = HubertEncoder(str(tiny_hubert(tmp_path, stable)), layer)
    wave, model = babble(1.0), HubertModel.from_pretrained(tmp_path).eval()
    bare: list[torch.Tensor] = []
    block = model.encoder.layers[layer - 1]
    block.register_forward_hook(lambda _, __, output: bare.append(output[0] if isinstance(output, tuple) else output))
    with torch.inference_mode():
        model(torch.from_numpy(wave)[None])
    assert encoder.frames(wave).shape == ((len(wave) - 400) // 320 + 1, 32)
    np.testing.assert_array_equal(encoder.frames(wave), bare[0].reshape(-1, 32).numpy())
    with pytest.raises(ValueError, match="400 samples .* got 399"):
        encoder.frames(wave[:399])


def test_frames_are_the_same_bits_in_any_order(whisper: WhisperEncoder, tmp_path: Path) -> None:
    waves = [babble(seconds, seed) for seed, seconds in enumerate((0.1, 1.37, 3.0, 0.51))]
    for encoder in (whisper, HubertEncoder(str(tiny_hubert(tmp_path)), 2)):
        forward = [encoder.frames(wave) for wave in waves]
        backward = [encoder.frames(wave.copy()) for wave in reversed(waves)][::-1]
        for one, other in zip(forward, backward, strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("kind", ["whisper", "hubert", "stable hubert"])
def test_a_masked_batch_changes_at_most_one_unit_of_10_000(kind: str, tmp_path: Path) -> None:
    encoder: SpeechEncoder
    if kind == "whisper":
        encoder = WhisperEncoder(WHISPER, layer=6)
    else:
        encoder = HubertEncoder(str(tiny_hubert(tmp_path, stable="stable" in kind)), 2)
    lengths = np.random.default_rng(0).uniform(0.05, 4.0, 110)
    waves = [babble(seconds, seed) for seed, seconds in enumerate(lengths)]
    encoder.batch_frames = None
    alone = [encoder.frames(wave) for wave in waves]
    centers = np.concatenate(alone)[:: sum(map(len, alone)) // 100]
    encoder.batch_frames = 600
    together = {index: frames.cpu().numpy() for index, frames in encoder.encode(waves)}
    assert list(together) == sorted(range(len(waves)), key=lambda index: -len(alone[index]))
    for index, frames in enumerate(alone):
        np.testing.assert_allclose(together[index], frames, atol=2e-3 * np.abs(frames).max())
    units = [np.concatenate([assign(part, centers) for part in parts]) for parts in (alone, sorted_values(together))]
    assert len(units[0]) >= 10_000
    assert (units[0] != units[1]).mean() <= 1e-4


def sorted_values(frames: dict[int, np.ndarray]) -> list[np.ndarray]:
    return [frames[index] for index in sorted(frames)]


@pytest.mark.parametrize("kind", ["whisper", "hubert"])
def test_a_cpu_encodes_one_utterance_at_a_time_and_no_bit_depends_on_the_others(kind: str, tmp_path: Path) -> None:
    encoder = WhisperEncoder(WHISPER, 2) if kind == "whisper" else HubertEncoder(str(tiny_hubert(tmp_path)), 2)
    if encoder.device.type != "cpu":
        assert encoder.batch_frames == BATCH_FRAMES
        return
    assert encoder.batch_frames is None
    waves = [babble(seconds, seed) for seed, seconds in enumerate((1.0, 0.3, 2.0, 0.3))]
    together = dict(encoder.encode(waves))
    assert list(together) == [0, 1, 2, 3]
    for index, wave in enumerate(waves):
        np.testing.assert_array_equal(together[index].numpy(), encoder.frames(wave))
    assert not list(encoder.encode([]))


def test_the_shipped_codebook_belongs_to_the_shipped_encoder(whisper: WhisperEncoder) -> None:
    root = Path(__file__).resolve().parent.parent.parent
    book = Codebook.load(root / "assets/phrasebook/codebook.safetensors", whisper)
    assert (book.model, book.layer, book.centers.shape[1]) == (WHISPER, 4, 512)


def test_an_encoder_or_layer_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="one of whisper, hubert; got 'wavlm'"):
        load_speech_encoder("wavlm", WHISPER, 4)
    with pytest.raises(WeightsError, match="has layers 1 to 6; encoder.layer is 7"):
        load_speech_encoder("whisper", WHISPER, 7)
    with pytest.raises(WeightsError, match="has layers 1 to 6; encoder.layer is 0"):
        load_speech_encoder("whisper", WHISPER, 0)
    with pytest.raises(WeightsError, match="neither model.bin"):
        load_speech_encoder("whisper", str(tmp_path), 4)
    with pytest.raises(WeightsError, match="is not a HubertModel that transformers can load"):
        load_speech_encoder("hubert", str(tmp_path), 4)
