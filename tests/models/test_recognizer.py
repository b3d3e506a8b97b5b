"""The recognizer on real synthetic speech, and what guards it against loops; and the MOS of the same speech."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import soxr

from factory.metrics import bootstrap, wer
from factory.models import recognizer as module
from factory.models.mos import Mos
from factory.models.recognizer import RATE, Recognizer, compresses, protocol, unrolled
from factory.recipe import sections as recipe_sections

SENTENCES = (
    "the train to the station leaves at two o'clock",
    "where is the nearest hotel please",
    "the doctor will see you in twenty minutes",
    "our neighbour sold his old car last week",
    "turn left at the second traffic light",
    "we will meet in front of the cinema at seven thirty",
    "this bus does not stop at the hospital",
    "she has two brothers and one sister",
)


@pytest.fixture(scope="module")
def speech() -> list[np.ndarray]:
    """The sentences, spoken by a small English voice."""
    from hibari import Hibari

    voice = Hibari(threads=1)
    return [
        soxr.resample(voice(text[0].upper() + text[1:] + "."), 24_000, RATE).astype(np.float32) for text in SENTENCES
    ]


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    return Recognizer()


def test_it_hears_the_sentences(recognizer: Recognizer, speech: list[np.ndarray]) -> None:
    heard = recognizer.transcribe(speech, "en")
    assert bootstrap.corpus("wer", heard, SENTENCES, "en").point() <= 0.05
    assert re.search(r"7[.:]?30|thirty", heard[5])


def test_a_short_context_hears_what_the_stock_pipeline_hears(recognizer: Recognizer, speech: list[np.ndarray]) -> None:
    from faster_whisper import WhisperModel

    from factory.models.weights import resolve

    stock = WhisperModel(str(resolve("package:whisper-base")), device="cpu", compute_type="int8", cpu_threads=1)
    for wave, ours in zip(speech[:2], recognizer.transcribe(speech[:2], "en"), strict=True):
        segments, _ = stock.transcribe(wave, language="en", beam_size=1, temperature=0.0, without_timestamps=True)
        assert wer.score(ours, " ".join(segment.text for segment in segments), "en") == 0


def test_a_transcript_does_not_depend_on_its_batch(recognizer: Recognizer, speech: list[np.ndarray]) -> None:
    together = recognizer.transcribe(speech[:4], "en")
    assert together == [recognizer.transcribe([wave], "en")[0] for wave in speech[:4]]


def test_long_waves_are_heard_in_pieces_and_empty_ones_are_empty(
    recognizer: Recognizer, speech: list[np.ndarray]
) -> None:
    rest = np.zeros(RATE, np.float32)
    long = np.concatenate([part for wave in (*speech, *speech) for part in (wave, rest)])
    assert len(long) > 40 * RATE
    empty, told = recognizer.transcribe([np.zeros(0, np.float32), long], "en")
    assert empty == ""
    assert wer.score(told, " ".join((*SENTENCES, *SENTENCES)), "en") < 0.1
    assert recognizer.transcribe([], "en") == []


def test_a_loop_is_heard_again_with_the_full_context(
    recognizer: Recognizer, speech: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    contexts = []
    encode = recognizer._encode

    def noted(waves: list[np.ndarray], context: float) -> Any:
        contexts.append(context)
        return encode(waves, context)

    monkeypatch.setattr(recognizer, "_encode", noted)
    monkeypatch.setattr(module, "LEAST_TOKENS", 3)
    monkeypatch.setattr(module, "TOKENS_PER_S", 1)  # no transcript ends within so few tokens: all look like loops
    heard = recognizer.transcribe(speech[:1], "en")
    assert contexts == [10.0, 30.0]
    assert 1 <= len(heard[0].split()) <= 4


def test_repeated_phrases_are_said_once() -> None:
    assert unrolled("Turn left here. Turn left here. Turn left here.") == "Turn left here."
    assert unrolled("no no, it is far far away") == "no no, it is far far away"
    assert compresses("Turn left at the light. " * 10)
    assert not compresses("")
    assert not any(compresses(text) for text in SENTENCES)


def test_an_unknown_language_is_an_error(recognizer: Recognizer) -> None:
    with pytest.raises(ValueError, match="knows no language 'xx'"):
        recognizer.transcribe([np.zeros(RATE, np.float32)], "xx")


def test_the_protocol_says_all_that_changes_a_number() -> None:
    told = protocol(recipe_sections.RecognizerConfig(beam_size=3), "fr")
    for part in (
        "whisper-base",
        "lang:fr",
        "int8",
        "beam:3",
        "temp:0",
        "context:10,20,30s",
        "norm:whisper-basic",
        "num:words",
    ):
        assert part in told


def test_mos_prefers_speech_to_noise_and_takes_waves_of_any_length(speech: list[np.ndarray]) -> None:
    noisy = speech[0] + np.random.default_rng(0).normal(0, 0.1, len(speech[0])).astype(np.float32)
    long = np.concatenate(speech[:4])
    assert len(long) > 122_880
    clean, noise, longer, empty = Mos().rate([speech[0], noisy, long, np.zeros(0, np.float32)])
    assert noise + 1 < clean <= 5
    assert 3 < longer <= 5
    assert np.isnan(empty)


def test_mos_is_the_package_s_own(speech: list[np.ndarray]) -> None:
    import torch
    from distillmos import ConvTransformerSQAModel

    model = ConvTransformerSQAModel().eval()
    with torch.no_grad():
        expected = model(torch.from_numpy(speech[1])[None]).item()
    assert Mos().rate([speech[1]])[0] == pytest.approx(expected, abs=1e-5)
