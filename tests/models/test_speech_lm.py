"""A speech language model: what it computes does not depend on the batch, and a folder gives it again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from factory.models.speech_adapter import SpeechAdapter
from factory.models.speech_config import AdapterConfig
from factory.models.speech_encoders import load_speech_encoder
from factory.models.speech_lm import IGNORED, SpeechLM, Spoken
from factory.models.weights import WeightsError
from tests.models.test_speech_encoders import babble, tiny_network
from tests.toys import tiny_policy

WHISPER = "package:whisper-base"
WAVES = [babble(seconds, seed) for seed, seconds in enumerate((1.0, 0.31, 2.0, 0.1))]


@pytest.fixture(scope="module")
def llm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_policy(tmp_path_factory.mktemp("llm"))


@pytest.fixture(scope="module")
def model(llm: Path) -> SpeechLM:
    torch.set_num_threads(1)
    return SpeechLM.create(load_speech_encoder("whisper", WHISPER, 2), "whisper", llm, seed=1).eval()


def ids(model: SpeechLM, text: str) -> torch.Tensor:
    return torch.tensor(model.tokenizer(text, add_special_tokens=False)["input_ids"])


def spoken(model: SpeechLM, wave: np.ndarray, text: str) -> Spoken:
    stem = model.speech_encoder.compute_stem(wave)
    return Spoken(ids(model, "<|asr|><|fr|><|fr|><|sosp|>"), stem, ids(model, "<|eosp|>"), ids(model, f"{text}<|eos|>"))


def written(model: SpeechLM, text: str) -> Spoken:
    nothing = torch.zeros(0, dtype=torch.long)
    return Spoken(ids(model, "<|mt|><|fr|><|en|>la gare<|sep|>"), None, nothing, ids(model, f"{text}<|eos|>"))


@pytest.mark.parametrize("kind", ["whisper", "wav2vec2-bert"])
def test_embeddings_do_not_depend_on_the_batch(kind: str, llm: Path, tmp_path: Path) -> None:
    name = WHISPER if kind == "whisper" else tiny_network(tmp_path, kind)
    model = SpeechLM.create(load_speech_encoder(kind, name, 2), kind, llm).eval()
    together = model.embed(WAVES)
    for wave, one in zip(WAVES, together, strict=True):
        [alone] = model.embed([wave])
        frames = model.speech_encoder.count_frames(len(wave))
        assert alone.shape == one.shape == (-(-frames // 4), 64)
        scale = float(alone.std())
        np.testing.assert_allclose(one.numpy(), alone.numpy(), atol=1e-4 * max(1.0, scale))
    assert model.embed([]) == []
    with pytest.raises(ValueError, match="samples|audio"):
        model.embed([np.zeros(300, np.float32)])


def test_new_embeddings_have_the_scale_of_those_of_tokens(model: SpeechLM) -> None:
    tokens = float(model.llm.get_input_embeddings().weight.std())
    assert float(torch.cat(model.embed(WAVES)).std()) == pytest.approx(tokens, rel=0.1)


def test_the_loss_of_a_batch_is_the_sum_of_its_rows(model: SpeechLM) -> None:
    rows = [spoken(model, WAVES[0], "bonjour"), written(model, "the station"), spoken(model, WAVES[2], "la gare")]
    with torch.no_grad():
        loss, count = model(rows)
        alone = [model([row]) for row in rows]
    assert count == sum(number for _, number in alone) == sum(len(row.completion) for row in rows)
    assert float(loss) == pytest.approx(sum(float(one) for one, _ in alone), rel=1e-4)


def test_a_text_has_the_loss_that_the_language_model_gives_its_tokens(model: SpeechLM, llm: Path) -> None:
    row = written(model, "the station")
    bare, tokens = AutoModelForCausalLM.from_pretrained(llm), torch.cat([row.before, row.completion])[None]
    labels = tokens.clone()
    labels[:, : len(row.before)] = IGNORED
    with torch.no_grad():
        loss, count = model([row])
        expected = bare(input_ids=tokens, labels=labels).loss
    assert float(loss) / count == pytest.approx(float(expected), rel=1e-5)


def test_speech_stands_where_the_prompt_has_its_units(model: SpeechLM) -> None:
    row = spoken(model, WAVES[0], "bonjour")
    with torch.no_grad():
        sequences, [speech] = model.join([row]), model.embed([WAVES[0]])
    table = model.llm.get_input_embeddings().weight
    expected = torch.cat([table[row.before], speech, table[row.after], table[row.completion]])
    torch.testing.assert_close(sequences.embeddings[0], expected, atol=1e-5, rtol=0)
    prompt = len(row.before) + len(speech) + len(row.after)
    assert sequences.labels[0].tolist() == [IGNORED] * prompt + row.completion.tolist()


def test_every_part_learns(llm: Path) -> None:
    model = SpeechLM.create(load_speech_encoder("whisper", WHISPER, 2), "whisper", llm)
    loss, _ = model([spoken(model, WAVES[0], "bonjour")])
    loss.backward()
    learned = {name for name, weight in model.named_parameters() if weight.grad is not None and weight.grad.any()}
    assert {"adapter.shrink.weight", "encoder.layer_0/ffn/linear_0/weight"} <= learned
    assert any(name.startswith("llm.") for name in learned)


def test_a_folder_gives_the_model_again(model: SpeechLM, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path)
    again = SpeechLM.from_pretrained(tmp_path).eval()
    row = spoken(model, WAVES[0], "bonjour")
    with torch.no_grad():
        assert float(again([row])[0]) == float(model([row])[0])
    torch.testing.assert_close(again.embed(WAVES)[0], model.embed(WAVES)[0], atol=0, rtol=0)


def test_parts_that_do_not_fit_are_refused(model: SpeechLM, llm: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"is no speech language model .*expected config\.json, adapter"):
        SpeechLM.from_pretrained(llm)
    shape = AdapterConfig(width=512, out=32, layers=1, stride=4)
    with pytest.raises(WeightsError, match=r"gives embeddings of 32 dimensions, and the language model takes 64"):
        SpeechLM(model.speech_encoder, "whisper", model.llm, model.tokenizer, SpeechAdapter(shape))
    model.save_pretrained(tmp_path)
    config = (tmp_path / "config.json").read_text()
    (tmp_path / "config.json").write_text(config.replace('"stride": 4', '"stride": 5'))
    with pytest.raises(WeightsError, match=r"adapter\.safetensors does not fit .*config\.json"):
        SpeechLM.from_pretrained(tmp_path)
    with pytest.raises(WeightsError, match="is not a causal language model with its tokenizer"):
        SpeechLM.create(model.speech_encoder, "whisper", tmp_path / "nothing")
