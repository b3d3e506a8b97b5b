"""Speech encoders agree with their reference implementations; units do not depend on anything but the wave; codebooks know theirs."""

from __future__ import annotations

import json
import struct
from dataclasses import replace
from pathlib import Path

import joblib
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from factory.models.speech_encoders import (
    Codebook,
    HubertEncoder,
    WhisperEncoder,
    assign,
    convert_fairseq_kmeans,
    deduplicate,
    expand,
    speech_encoder,
)
from factory.models.weights import WeightsError, resolve, weights_digest

WHISPER = "package:whisper-base"


def babble(seconds: float, seed: int = 0) -> np.ndarray:
    """A wave that changes as speech does: noise and a gliding tone, loud and soft four times a second."""
    rng, t = np.random.default_rng(seed), np.arange(int(seconds * 16_000)) / 16_000
    tone = np.sin(2 * np.pi * (120 + 40 * np.sin(2 * np.pi * t)) * t)
    return ((0.3 * tone + 0.05 * rng.standard_normal(len(t))) * (0.5 + 0.5 * np.sin(2 * np.pi * 4 * t))).astype(
        np.float32
    )


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def whisper() -> WhisperEncoder:
    return WhisperEncoder(WHISPER, layer=4)


def tiny_hubert(path: Path, stable: bool = False) -> Path:
    """Save a random HubertModel of two layers; `stable` is the kind with its layer norm first, as HuBERT large has it."""
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
    wave[: 7 * 16_000] = babble(7)
    mine = WhisperEncoder(WHISPER, layer=6)
    mel = FeatureExtractor()(wave, padding=0)[:, :3000]
    np.testing.assert_allclose(mine.log_mel(wave).numpy(), mel, atol=1e-4)
    model = ctranslate2.models.Whisper(str(resolve(WHISPER)), compute_type="float32", intra_threads=1)
    theirs = np.array(model.encode(ctranslate2.StorageView.from_array(np.ascontiguousarray(mel[None], np.float32))))
    np.testing.assert_allclose(mine.frames(wave), theirs[0], atol=1e-2)


@pytest.mark.parametrize("layer", [1, 2])
def test_whisper_agrees_with_hugging_face(layer: int, tmp_path: Path) -> None:
    from transformers import WhisperConfig, WhisperModel

    small = {
        f"{side}_{what}": n
        for side in ("encoder", "decoder")
        for what, n in (("layers", 2), ("attention_heads", 2), ("ffn_dim", 64))
    }
    ids = dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id"), 0)
    model = WhisperModel(WhisperConfig(d_model=32, vocab_size=10, **small, **ids)).eval()
    model.save_pretrained(tmp_path)
    mine, wave = WhisperEncoder(str(tmp_path), layer), babble(30)
    with torch.inference_mode():
        theirs = model.encoder(mine.log_mel(wave)[None], output_hidden_states=True).hidden_states[layer]
    np.testing.assert_allclose(mine.frames(wave), theirs[0].numpy(), atol=1e-5)


def test_whisper_frames_come_at_50_hz_and_layers_stop(whisper: WhisperEncoder) -> None:
    assert whisper.frames(babble(2.0)).shape == (100, 512)
    assert not [name for name in whisper.weights if name.startswith(("layer_4/", "layer_5/", "layer_norm"))], (
        "nothing past layer 4"
    )
    assert whisper.fingerprint != WhisperEncoder(WHISPER, layer=5).fingerprint


@pytest.mark.parametrize("samples", [399, 480_001])
def test_whisper_refuses_lengths_it_cannot_take(whisper: WhisperEncoder, samples: int) -> None:
    with pytest.raises(ValueError, match="0.025 to 30 s"):
        whisper.frames(np.zeros(samples, np.float32))


@pytest.mark.parametrize("stable", [False, True])
@pytest.mark.parametrize("layer", [1, 2])
def test_hubert_layers_count_as_in_fairseq(stable: bool, layer: int, tmp_path: Path) -> None:
    from transformers import HubertModel

    mine = HubertEncoder(str(tiny_hubert(tmp_path, stable)), layer)
    wave, whole = babble(1.0), HubertModel.from_pretrained(tmp_path).eval()
    bare: list[torch.Tensor] = []
    block = whole.encoder.layers[layer - 1]
    block.register_forward_hook(lambda _, __, output: bare.append(output[0] if isinstance(output, tuple) else output))
    with torch.inference_mode():
        whole(torch.from_numpy(wave)[None])
    assert mine.frames(wave).shape == ((len(wave) - 400) // 320 + 1, 32)
    np.testing.assert_array_equal(mine.frames(wave), bare[0].reshape(-1, 32).numpy())


def test_frames_are_the_same_bits_whatever_came_before(whisper: WhisperEncoder, tmp_path: Path) -> None:
    waves = [babble(seconds, seed) for seed, seconds in enumerate((0.1, 1.37, 3.0, 0.51))]
    for encoder in (whisper, HubertEncoder(str(tiny_hubert(tmp_path)), 2)):
        forth = [encoder.frames(wave) for wave in waves]
        back = [encoder.frames(wave.copy()) for wave in reversed(waves)][::-1]
        for one, other in zip(forth, back, strict=True):
            np.testing.assert_array_equal(one, other)


def test_an_encoder_or_layer_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="one of whisper, hubert; got 'wavlm'"):
        speech_encoder("wavlm", WHISPER, 4)
    with pytest.raises(ValueError, match="layers 1 to 6; got 7"):
        speech_encoder("whisper", WHISPER, 7)
    with pytest.raises(WeightsError, match="neither model.bin"):
        speech_encoder("whisper", str(tmp_path), 4)


def test_quantized_or_foreign_weights_are_refused(tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(b"\x01\x00\x00\x00other")
    with pytest.raises(WeightsError, match="binary version 6"):
        WhisperEncoder(str(tmp_path), 4)
    name = b"encoder/layer_0/ffn/linear_0/weight_scale\0"
    variable = struct.pack("<H", len(name)) + name + struct.pack("<BIBIf", 1, 1, 0, 4, 0.5)
    (tmp_path / "model.bin").write_bytes(struct.pack("<IH", 6, 2) + b"W\0" + struct.pack("<II", 3, 1) + variable)
    with pytest.raises(WeightsError, match="holds quantized weights"):
        WhisperEncoder(str(tmp_path), 4)


def test_assign_finds_the_nearest_center() -> None:
    rng = np.random.default_rng(0)
    frames, centers = (
        rng.standard_normal((200, 16)).astype(np.float32),
        rng.standard_normal((10, 16)).astype(np.float32),
    )
    plain = ((frames[:, None].astype(float) - centers[None]) ** 2).sum(-1).argmin(1)
    np.testing.assert_array_equal(assign(frames, centers), plain)
    with pytest.raises(ValueError, match="dimensions"):
        assign(frames, centers[:, :8])


@given(st.lists(st.integers(0, 3), max_size=40))
def test_deduplicate_and_expand_are_inverse(ids: list[int]) -> None:
    units, durations = deduplicate(np.array(ids, np.int32))
    assert expand(units, durations).tolist() == ids
    assert (np.diff(units) != 0).all()
    assert (durations > 0).all() and units.dtype == durations.dtype == np.int32


def test_a_codebook_is_bound_to_its_encoder(whisper: WhisperEncoder, tmp_path: Path) -> None:
    book = Codebook(np.eye(5, 512, dtype=np.float32), whisper.model, whisper.layer, whisper.fingerprint)
    book.save(tmp_path / "book.safetensors")
    loaded = Codebook.load(tmp_path / "book.safetensors", whisper)
    np.testing.assert_array_equal(loaded.centers, book.centers)
    assert (loaded.model, loaded.layer, loaded.k, loaded.fingerprint) == (WHISPER, 4, 5, whisper.fingerprint)
    digest_before = weights_digest(tmp_path / "book.safetensors")
    book.save(tmp_path / "book.safetensors")
    assert weights_digest(tmp_path / "book.safetensors") == digest_before, "the same codebook is the same file"
    with pytest.raises(
        WeightsError, match="belongs to layer 4 of package:whisper-base, not to layer 5 of package:whisper-base"
    ):
        Codebook.load(tmp_path / "book.safetensors", WhisperEncoder(WHISPER, layer=5))


def test_weights_decide_over_names(whisper: WhisperEncoder) -> None:
    book = Codebook(np.eye(5, 512, dtype=np.float32), "Systran/faster-whisper-base", 4, whisper.fingerprint)
    book.check(whisper)  # the same weights under another name
    with pytest.raises(WeightsError, match="layer 4 of package:whisper-base with other weights, not"):
        replace(book, model=WHISPER, fingerprint="0" * 16).check(whisper)
    replace(book, model=WHISPER, fingerprint="").check(whisper)  # converted from fairseq: only the name is known
    with pytest.raises(WeightsError, match="belongs to layer 4 of Systran"):
        replace(book, fingerprint="").check(whisper)


def test_npy_needs_a_sidecar(tmp_path: Path) -> None:
    np.save(tmp_path / "book.npy", np.eye(3, 4))
    with pytest.raises(WeightsError, match="does not say which encoder"):
        Codebook.load(tmp_path / "book.npy")
    (tmp_path / "book.json").write_text(json.dumps({"model": "owner/mhubert", "layer": 11}))
    book = Codebook.load(tmp_path / "book.npy")
    assert (book.model, book.layer, book.centers.dtype) == ("owner/mhubert", 11, np.float32)


def test_what_is_no_codebook_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="there is no codebook"):
        Codebook.load(tmp_path / "absent.safetensors")
    (tmp_path / "torn.safetensors").write_bytes(b"torn")
    with pytest.raises(WeightsError, match="is no codebook"):
        Codebook.load(tmp_path / "torn.safetensors")


class Trap:
    """An object whose pickle runs code when it is opened: it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.path,)


def test_fairseq_kmeans_is_converted_only_with_its_hash(tmp_path: Path) -> None:
    from sklearn.cluster import MiniBatchKMeans

    kmeans = MiniBatchKMeans(4, random_state=0, n_init=1).fit(np.random.default_rng(0).standard_normal((50, 8)))
    joblib.dump(kmeans, tmp_path / "km.bin")
    book = convert_fairseq_kmeans(tmp_path / "km.bin", weights_digest(tmp_path / "km.bin"), "owner/mhubert", 11)
    np.testing.assert_allclose(book.centers, kmeans.cluster_centers_, rtol=1e-6)
    joblib.dump(Trap(tmp_path / "sprung"), tmp_path / "trap.bin")
    with pytest.raises(WeightsError, match="it was not opened"):
        convert_fairseq_kmeans(tmp_path / "trap.bin", weights_digest(tmp_path / "km.bin"), "owner/mhubert", 11)
    assert not (tmp_path / "sprung").exists()
