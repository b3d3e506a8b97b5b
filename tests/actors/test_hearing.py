"""A translator that hears continuous speech: recordings in, texts and their back-translations out, on a real vLLM."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from factory.actors.greedy import GreedyTranslator
from factory.actors.round_trip import TranslationJob
from factory.actors.translator import Translator
from factory.corpora.audio import encode
from factory.models.engine import EngineConfig
from factory.models.speech_lm import SpeechLM
from factory.models.weights import WeightsError
from factory.recipe.part import PartConfig
from factory.recipe.sections import EncoderConfig, TranslatorConfig
from schemas.datasets import UTTERANCE, Row
from schemas.sequences import EOSP, SOSP, Variant, is_unit
from tests.models.test_speech_encoders import babble, tiny_network
from trainers.speech_policy import create_speech_policy

pytestmark = pytest.mark.service

CONFIG = TranslatorConfig(n=3, temperature=0.0, top_p=1.0, max_tokens=12, back_translate="text")
ENGINE = EngineConfig(dtype="float32", threads=1, kv_cache_gib=1, gpu_memory_utilization=0.3, max_model_len=None)
ROWS = pa.schema([*UTTERANCE, pa.field("tgt_lang", pa.string())])


def job(encoder: EncoderConfig) -> TranslationJob:
    return TranslationJob(Variant.S2T, (Variant.S2T,), None, ("bleu",), seed=3, recordings=encoder)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> EncoderConfig:
    network = tiny_network(tmp_path_factory.mktemp("encoder"), "wav2vec2")
    return EncoderConfig(kind="wav2vec2", model=network, layer=2, max_s=6.0)


@pytest.fixture(scope="module")
def policy(encoder: EncoderConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("speech")
    llm = "assets/phrasebook/policy"  # it writes sentences, whatever it hears
    return create_speech_policy(llm, folder / "policy", encoder=encoder, part=PartConfig(), langs=("fr", "en"))


def row(name: str, audio: bytes | None) -> Row:
    recording = None if audio is None else {"bytes": audio, "path": None}
    head: Row = {"utt_id": name, "lang": "fr", "tgt_lang": "en", "text": "la gare", "reference": "the station"}
    return head | {"audio": recording, "status": "ok"}


def table(rows: list[Row]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=ROWS.append(pa.field("status", pa.string())))


@pytest.fixture(scope="module")
def translator(policy: Path, encoder: EncoderConfig) -> Iterator[Translator]:
    translator = Translator(str(policy), CONFIG, job(encoder), ENGINE)
    yield translator
    translator.release()


def test_texts_are_those_of_the_speech_language_model(policy: Path, translator: Translator) -> None:
    waves = {f"u{seed}": babble(1.0 + seed, seed) for seed in range(3)}
    rows = translator(table([row(name, encode(wave, "WAV")) for name, wave in waves.items()])).to_pylist()
    model = SpeechLM.from_pretrained(policy).eval()
    for name, found in zip(waves, rows, strict=True):
        assert (found["utt_id"], found["status"], found["units"]) == (name, "ok", None)
        wave = np.round(waves[name] * 32768).clip(-32768, 32767).astype(np.float32) / 32768  # as WAV stores it
        expected = greedy(model, wave, max_tokens=CONFIG.max_tokens)
        for candidate in found["candidates"]:
            assert candidate["units"] is None and candidate["back_translation_units"] is None
            assert (candidate["text"] or "") == expected


def greedy(model: SpeechLM, wave: np.ndarray, max_tokens: int) -> str:
    """Write greedily with the network itself, under the bans of the engine."""
    from schemas.sequences import find_banned

    vocabulary = model.tokenizer.get_vocab()
    speech = [index for token, index in vocabulary.items() if token in (SOSP, EOSP) or is_unit(token)]
    banned = [*find_banned(model.tokenizer.get_added_vocab(), []), *speech]
    weights = model.llm.get_input_embeddings().weight
    [heard] = model.embed([wave])
    before, after = (
        weights[torch.tensor([vocabulary[token] for token in tokens])]
        for tokens in (("<|s2t|>", "<|fr|>", "<|en|>", "<|sosp|>"), ("<|eosp|>",))
    )
    sequence, written = torch.cat([before, heard, after]), []
    with torch.no_grad():
        for _ in range(max_tokens):
            logits = model.llm(inputs_embeds=sequence[None]).logits[0, -1]
            logits[banned] = -torch.inf
            token = int(logits.argmax())
            if token == model.tokenizer.eos_token_id:
                break
            written.append(token)
            sequence = torch.cat([sequence, weights[written[-1:]]])
    return str(model.tokenizer.decode(written, skip_special_tokens=False)).strip()


def test_recordings_that_cannot_be_used_get_their_reason(translator: Translator) -> None:
    good = encode(babble(1.0, 1), "WAV")
    rows = [
        row("good", good),
        row("torn", b"RIFFxx"),
        row("none", None),
        row("long", encode(babble(7.0, 2), "WAV")),
        row("same", good) | {"tgt_lang": "fr"},
    ]
    done = {found["utt_id"]: found for found in translator(table(rows)).to_pylist()}
    assert done["good"]["status"] == "ok" and len(done["good"]["candidates"]) == 3
    assert done["torn"]["status"] == done["none"]["status"] == "failed"
    assert done["long"]["status"] == "skipped" and done["long"]["reason"].startswith("too_long: more than 6.00 s")
    assert done["same"]["reason"].startswith("same_lang")
    assert all(found["candidates"] is None for name, found in done.items() if name != "good")


def test_speech_that_does_not_fit_into_the_context_is_too_long(translator: Translator, encoder: EncoderConfig) -> None:
    [done] = translator(table([row("full", encode(babble(5.9, 1), "WAV"))])).to_pylist()
    assert done["status"] == "ok", "74 embeddings fit"
    context, translator.engine.context = translator.engine.context, 60
    [done] = translator(table([row("full", encode(babble(5.9, 1), "WAV"))])).to_pylist()
    translator.engine.context = context
    assert done["status"] == "skipped"
    assert done["reason"] == "too_long: 74 embeddings of speech do not fit into 60 tokens"


def test_a_policy_of_units_is_refused(policy: Path, encoder: EncoderConfig) -> None:
    with pytest.raises(WeightsError, match="is no speech language model"):
        Translator(str(policy / "llm"), CONFIG, job(encoder), ENGINE)


def test_a_test_set_is_translated_once_and_back(policy: Path, encoder: EncoderConfig, translator: Translator) -> None:
    translator.release()
    greedy_one = GreedyTranslator({"0": str(policy)}, CONFIG, job(encoder), ENGINE)
    rows = table([row("u", encode(babble(1.0, 1), "WAV"))])
    rows = rows.append_column("policy", pa.array(["0"])).append_column("spoken", pa.array([False]))
    [done] = greedy_one(rows).to_pylist()
    greedy_one.release()
    [candidate] = done["candidates"]
    assert done["status"] == "ok" and candidate["units"] is None
    assert (candidate["back_translation_finish"] is None) == (candidate["finish"] != "ok")
