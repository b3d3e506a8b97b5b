"""Speech encoders agree with their reference implementations, and frames depend on the wave alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from factory.models.codebook import Codebook, assign
from factory.models.speech_encoder import BATCH_FRAMES, SpeechEncoder
from factory.models.speech_encoders import load_speech_encoder
from factory.models.weights import WeightsError, resolve
from factory.models.whisper_encoder import WhisperEncoder
from schemas.audio import SAMPLE_RATE

WHISPER = "package:whisper-base"
BY_NAME = ("hubert", "wav2vec2", "wavlm", "wav2vec2-bert")
"""The kinds of network that a name on the Hub gives."""


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


def tiny_network(path: Path, kind: str, stable: bool = False) -> str:
    """Save a random network of two layers; `stable` puts the layer norms first, as in the large networks."""
    import transformers

    names = {"hubert": "Hubert", "wav2vec2": "Wav2Vec2", "wavlm": "WavLM", "wav2vec2-bert": "Wav2Vec2Bert"}
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    if kind != "wav2vec2-bert":
        sizes |= {"conv_dim": (16,) * 7, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 2}
        sizes |= {"do_stable_layer_norm": stable, "feat_extract_norm": "layer" if stable else "group"}
    config = getattr(transformers, f"{names[kind]}Config")(**sizes)
    torch.manual_seed(0)
    getattr(transformers, f"{names[kind]}Model")(config).save_pretrained(path)
    if kind == "wav2vec2-bert":
        transformers.SeamlessM4TFeatureExtractor().save_pretrained(path)
    return str(path)


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
    assert not [name for name in whisper.network if name.startswith(later)]
    assert whisper.fingerprint != WhisperEncoder(WHISPER, layer=5).fingerprint


@pytest.mark.parametrize("samples", [399, 480_001])
def test_whisper_refuses_other_lengths(whisper: WhisperEncoder, samples: int) -> None:
    with pytest.raises(ValueError, match=f"0.025 to 30 s of audio; got {samples / 16_000:.3f} s"):
        whisper.frames(np.zeros(samples, np.float32))


@pytest.mark.parametrize("layer", [1, 2])
@pytest.mark.parametrize("stable", [False, True])
@pytest.mark.parametrize("kind", ["hubert", "wav2vec2", "wavlm"])
def test_wave_encoders_agree_with_hugging_face(kind: str, stable: bool, layer: int, tmp_path: Path) -> None:
    """Layers count as in fairseq: the bare output of a block, without the norm that follows the last one."""
    from transformers import AutoModel, Wav2Vec2FeatureExtractor

    encoder = load_speech_encoder(kind, tiny_network(tmp_path, kind, stable), layer)
    wave, model = 0.1 * babble(1.0) + 0.02, AutoModel.from_pretrained(tmp_path).eval()
    bare: list[torch.Tensor] = []
    block = model.encoder.layers[layer - 1]
    block.register_forward_hook(lambda _, __, output: bare.append(output[0] if isinstance(output, tuple) else output))
    with torch.inference_mode():
        model(**Wav2Vec2FeatureExtractor(do_normalize=stable)(wave, sampling_rate=16_000, return_tensors="pt"))
    frames = encoder.frames(wave)
    assert frames.shape == ((len(wave) - 400) // 320 + 1, 32)
    np.testing.assert_allclose(frames, bare[0].reshape(-1, 32).numpy(), atol=1e-4)
    with pytest.raises(ValueError, match="400 samples .* got 399"):
        encoder.frames(wave[:399])


@pytest.mark.parametrize("samples", [560, 16_000, 16_160])
@pytest.mark.parametrize("layer", [1, 2])
def test_w2v_bert_agrees_with_hugging_face(layer: int, samples: int, tmp_path: Path) -> None:
    from transformers import AutoFeatureExtractor, AutoModel

    encoder = load_speech_encoder("wav2vec2-bert", tiny_network(tmp_path, "wav2vec2-bert"), layer)
    wave, model = babble(1.1)[:samples], AutoModel.from_pretrained(tmp_path).eval()
    inputs = AutoFeatureExtractor.from_pretrained(tmp_path)(wave, sampling_rate=16_000, return_tensors="pt")
    with torch.inference_mode():
        expected = model(**inputs, output_hidden_states=True).hidden_states[layer][0]
    frames = encoder.frames(wave)
    assert len(frames) == ((samples - 400) // 160 + 1) // 2
    np.testing.assert_allclose(frames, expected[: len(frames)].numpy(), atol=1e-4)
    with pytest.raises(ValueError, match="560 samples .* got 559"):
        encoder.frames(wave[:559])


def test_a_checkpoint_with_a_head_gives_the_network_below_it(tmp_path: Path) -> None:
    from transformers import AutoModelForCTC

    bare = tiny_network(tmp_path / "bare", "wav2vec2")
    AutoModelForCTC.from_pretrained(bare).save_pretrained(tmp_path / "ctc")
    one, other = (load_speech_encoder("wav2vec2", name, 2) for name in (bare, str(tmp_path / "ctc")))
    assert one.fingerprint == other.fingerprint
    np.testing.assert_array_equal(one.frames(babble(0.5)), other.frames(babble(0.5)))


@pytest.mark.parametrize("kind", ["whisper", *BY_NAME, "stable hubert"])
@pytest.mark.parametrize("layer", [1, 2])
def test_a_saved_encoder_is_the_same_encoder(kind: str, layer: int, tmp_path: Path) -> None:
    name = kind.removeprefix("stable ")
    model = WHISPER if name == "whisper" else tiny_network(tmp_path / "all", name, stable=kind != name)
    encoder = load_speech_encoder(name, model, layer)
    encoder.save(tmp_path / "saved")
    again = load_speech_encoder(name, str(tmp_path / "saved"), layer)
    assert again.fingerprint == encoder.fingerprint and again.width == encoder.width
    np.testing.assert_array_equal(again.frames(babble(0.5)), encoder.frames(babble(0.5)))
    with pytest.raises(WeightsError, match=f"has layers 1 to {layer}"):
        load_speech_encoder(name, str(tmp_path / "saved"), layer + 1)


def test_a_whole_whisper_is_saved_with_its_last_norm_and_a_trained_bias(tmp_path: Path) -> None:
    encoder = WhisperEncoder(WHISPER, layer=6)
    with torch.no_grad():
        encoder.network["layer_2/self_attention/linear_0/bias"] += 0.1  # that of the keys too
    encoder.save(tmp_path)
    again = load_speech_encoder("whisper", str(tmp_path), 6)
    np.testing.assert_array_equal(again.frames(babble(0.5)), encoder.frames(babble(0.5)))


def test_frames_are_the_same_bits_in_any_order(whisper: WhisperEncoder, tmp_path: Path) -> None:
    waves = [babble(seconds, seed) for seed, seconds in enumerate((0.1, 1.37, 3.0, 0.51))]
    for encoder in (whisper, *(load_speech_encoder(kind, tiny_network(tmp_path / kind, kind), 2) for kind in BY_NAME)):
        forward = [encoder.frames(wave) for wave in waves]
        backward = [encoder.frames(wave.copy()) for wave in reversed(waves)][::-1]
        for one, other in zip(forward, backward, strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("kind", ["whisper", *BY_NAME, "stable hubert", "stable wavlm"])
def test_a_masked_batch_changes_at_most_one_unit_of_10_000(kind: str, tmp_path: Path) -> None:
    encoder: SpeechEncoder
    if kind == "whisper":
        encoder = WhisperEncoder(WHISPER, layer=6)
    else:
        name = kind.removeprefix("stable ")
        encoder = load_speech_encoder(name, tiny_network(tmp_path, name, stable="stable" in kind), 2)
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


@pytest.mark.parametrize("kind", ["whisper", *BY_NAME])
def test_a_cpu_encodes_one_utterance_at_a_time_and_no_bit_depends_on_the_others(kind: str, tmp_path: Path) -> None:
    encoder = load_speech_encoder(kind, WHISPER if kind == "whisper" else tiny_network(tmp_path, kind), 2)
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
    with pytest.raises(WeightsError, match="one of whisper, hubert, wav2vec2, wavlm, wav2vec2-bert; got 'mfcc'"):
        load_speech_encoder("mfcc", WHISPER, 4)
    wavlm = tiny_network(tmp_path / "wavlm", "wavlm")
    with pytest.raises(WeightsError, match="is a network of type wavlm, and encoder.kind is hubert"):
        load_speech_encoder("hubert", wavlm, 1)
    with pytest.raises(WeightsError, match="has layers 1 to 2; encoder.layer is 3"):
        load_speech_encoder("wavlm", wavlm, 3)
    headless = tiny_network(tmp_path / "bert", "wav2vec2-bert")
    Path(headless, "preprocessor_config.json").unlink()
    with pytest.raises(WeightsError, match="is not a feature extractor that transformers can load"):
        load_speech_encoder("wav2vec2-bert", headless, 1)
    with pytest.raises(WeightsError, match="has layers 1 to 6; encoder.layer is 7"):
        load_speech_encoder("whisper", WHISPER, 7)
    with pytest.raises(WeightsError, match="has layers 1 to 6; encoder.layer is 0"):
        load_speech_encoder("whisper", WHISPER, 0)
    with pytest.raises(WeightsError, match="neither model.bin"):
        load_speech_encoder("whisper", str(tmp_path), 4)
    with pytest.raises(WeightsError, match="is not a hubert that transformers can load"):
        load_speech_encoder("hubert", str(tmp_path), 4)
