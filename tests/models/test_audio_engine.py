"""An audio LLM in a real vLLM: what it reads and writes is what transformers reads and writes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from factory.actors.round_trip import TranslationJob
from factory.actors.translator import Translator
from factory.corpora.audio import encode
from factory.models.audio_chat import AudioChat
from factory.models.audio_engine import AudioEngine
from factory.models.engine import EngineConfig, Request, Sampling
from factory.models.weights import WeightsError, policy_digest
from factory.planning.sizes import count_weights, read_size
from factory.recipe.sections import EncoderConfig, TranslatorConfig
from schemas.sequences import Variant, prompt, text_prompt
from tests.actors.test_hearing import row, table
from tests.models.test_speech_encoders import babble
from tests.toys import tiny_audio_llm, tiny_policy
from trainers.audio_llm import AudioLLM

pytestmark = pytest.mark.service

ENGINE = EngineConfig(dtype="float32", threads=1, kv_cache_gib=1, gpu_memory_utilization=0.3, max_model_len=320)
SPOKEN, WRITTEN = prompt(Variant.S2T, "fr", "en", ()), text_prompt("en", "fr", "the station")
GREEDY = Sampling(temperature=0.0, top_p=1.0, top_k=0, max_tokens=10)


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_audio_llm(tmp_path_factory.mktemp("models") / "audio-llm")


@pytest.fixture(scope="module")
def translator(policy: Path) -> Iterator[Translator]:
    encoder = EncoderConfig(max_s=40.0)
    job = TranslationJob(Variant.S2T, (Variant.S2T,), None, ("bleu",), seed=3, recordings=encoder, chats=True)
    config = TranslatorConfig(n=4, temperature=1.0, top_p=1.0, max_tokens=30, back_translate="text")
    translator = Translator(str(policy), config, job, ENGINE)
    yield translator
    translator.release()


def test_texts_are_those_of_transformers(policy: Path, translator: Translator) -> None:
    engine, model = translator.engine, AudioLLM(policy).open_hearer()
    waves = [babble(1.5, seed) for seed in range(3)]  # of one length: their prompts have the same tokens
    requests = {index: Request(SPOKEN, GREEDY, speech=wave) for index, wave in enumerate(waves)}
    before = engine.prefilled
    outputs = engine.generate(requests | {9: Request(WRITTEN, GREEDY)}, seed=0)
    inputs = [model.chat.compute_features(SPOKEN, wave) for wave in waves]
    inputs.append(model.chat.tokenizer([model.chat.write(WRITTEN)], return_tensors="pt"))
    assert engine.prefilled - before == sum(one["input_ids"].shape[1] for one in inputs), "nothing is shared"
    texts = []
    for output, features in zip(outputs.values(), inputs, strict=True):
        arguments = {"max_new_tokens": 10, "do_sample": False, "suppress_tokens": sorted(model.chat.banned)}
        [ids] = model.network.generate(**features, **arguments)  # type: ignore[operator]
        written = ids[features["input_ids"].shape[1] :].tolist()
        texts.append(model.chat.tokenizer.decode([token for token in written if token != model.end]))
        assert output.text == texts[-1]
    assert len(set(texts)) > 2, "recordings matter"


def test_the_training_reads_what_the_engine_reads(policy: Path, translator: Translator) -> None:
    wave, model = babble(2.0, 1), AudioLLM(policy).open_hearer()
    [ids] = translator.engine.encode([SPOKEN])
    read = translator.engine.make_prompt(ids, wave)["prompt_token_ids"]  # type: ignore[typeddict-item]
    heard = model.hear(SPOKEN, wave)
    assert [model.chat.place if token < 0 else token for token in heard.ids] == read
    assert heard.ids.count(-1) == len(heard.speech) == 50, "25 per second"
    table = model.llm.get_input_embeddings().weight  # type: ignore[operator]
    embeddings = table[torch.tensor(heard.ids).clamp(min=0)].detach().clone()
    embeddings[torch.tensor(heard.ids) < 0] = heard.speech
    with torch.no_grad():
        by_parts = model.llm(inputs_embeds=embeddings[None]).logits
        whole = model.network(**model.chat.compute_features(SPOKEN, wave)).logits
    torch.testing.assert_close(by_parts, whole, atol=1e-4, rtol=1e-4)


def test_recordings_that_cannot_be_used_get_their_reason(translator: Translator) -> None:
    seconds = {"good": 1.0, "cut": 31.0, "full": 14.0, "long": 41.0}
    rows = [row(name, encode(babble(length, 1), "WAV")) for name, length in seconds.items()]
    rows += [row("torn", b"RIFFxx"), row("none", None), row("unnamed", rows[0]["audio"]["bytes"]) | {"tgt_lang": "zzz"}]
    done = {found["utt_id"]: found for found in translator(table(rows)).to_pylist()}
    reasons = {name: (found["reason"] or "").partition(":")[0] for name, found in done.items()}
    assert done["good"]["status"] == "ok" and len(done["good"]["candidates"]) == 4
    assert len({candidate["text"] for candidate in done["good"]["candidates"]}) > 1
    assert (reasons["cut"], reasons["full"], reasons["long"]) == ("refused_length", "too_long", "too_long")
    assert done["full"]["reason"] == "too_long: 14.00 s of speech and the instruction do not fit into 320 tokens"
    assert done["torn"]["status"] == done["none"]["status"] == "failed"
    assert reasons["unnamed"] == "unknown_lang"


def test_a_policy_that_cannot_hear_is_refused_by_name(policy: Path, translator: Translator, tmp_path: Path) -> None:
    translator.release()  # one engine at a time
    units = tiny_policy(tmp_path / "units")
    with pytest.raises(WeightsError, match=r"units is no audio LLM: its config.json has no text_config"):
        AudioEngine(str(units), ENGINE)
    deaf = shutil.copytree(policy, tmp_path / "deaf")
    settings = json.loads((deaf / "processor_config.json").read_text())
    settings["feature_extractor"] |= {"chunk_length": 5, "n_samples": 80_000, "nb_max_frames": 500}
    (deaf / "processor_config.json").write_text(json.dumps(settings))
    with pytest.raises(WeightsError, match="vLLM takes no recordings as the prompt of .*deaf"):
        AudioEngine(str(deaf), ENGINE)
    mute = shutil.copytree(policy, tmp_path / "mute")
    (mute / "chat_template.jinja").write_text("{% for one in messages %}{{ one['content'][0]['type'] }}{% endfor %}")
    with pytest.raises(WeightsError, match="the chat template of .*mute has no place for a recording"):
        AudioChat(mute, str(mute))


@pytest.mark.parametrize("name", ["chat_template.jinja", "processor_config.json"])
def test_a_digest_covers_chat_and_processor(policy: Path, tmp_path: Path, name: str) -> None:
    copy = shutil.copytree(policy, tmp_path / "copy")
    assert policy_digest(copy) == policy_digest(policy)
    content = (copy / name).read_text()
    (copy / name).write_text(content.replace("assistant", "helper").replace('"hop_length": 160', '"hop_length": 161'))
    assert (copy / name).read_text() != content and policy_digest(copy) != policy_digest(policy)


def test_the_size_of_a_policy_is_counted_or_read_from_its_name(policy: Path, tmp_path: Path) -> None:
    assert count_weights(policy) == sum(weight.numel() for weight in AudioLLM(policy).network.parameters())
    assert count_weights(tmp_path) is None
    assert read_size("Qwen/Qwen2-Audio-7B-Instruct") == 7e9
    assert read_size("ibm-granite/granite-speech-3.3-2b") == 2e9
    assert read_size("owner4B/Talker-v2") is None
    assert np.isclose(read_size("owner/Talker-1.5B@main") or 0, 1.5e9)
