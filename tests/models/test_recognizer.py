"""The recognizer on real synthetic speech, and its protection against loops."""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import soxr

from factory.corpora.audio import read
from factory.metrics import bootstrap, wer
from factory.models import recognizer as module
from factory.models.recognizer import Recognizer, is_repetitive, protocol, remove_repetitions
from factory.models.voice import Voice
from factory.models.weights import WeightsError, resolve
from factory.recipe.sections import RecognizerConfig
from schemas.audio import SAMPLE_RATE

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
CONFIG = asdict(RecognizerConfig())
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def speech() -> list[np.ndarray]:
    """The sentences in a small English voice."""
    from hibari import Hibari

    voice = Hibari(threads=1)
    texts = [text[0].upper() + text[1:] + "." for text in SENTENCES]
    return [soxr.resample(voice(text), 24_000, SAMPLE_RATE).astype(np.float32) for text in texts]


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    return Recognizer(**CONFIG)


class Recording:
    """Records the contexts (seconds) that a Whisper encodes, and passes every call on to it."""

    def __init__(self, whisper: Any) -> None:
        self.whisper, self.contexts = whisper, []

    def encode(self, features: Any, to_cpu: bool) -> Any:
        """Record the context of a batch of features (batch, mels, 100 * context)."""
        self.contexts.append(features.shape[-1] / 100)
        return self.whisper.encode(features, to_cpu=to_cpu)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.whisper, name)


def test_it_transcribes_the_sentences(recognizer: Recognizer, speech: list[np.ndarray]) -> None:
    texts = recognizer.transcribe(speech, "en")
    assert bootstrap.corpus("wer", texts, SENTENCES, "en").point() <= 0.05
    assert re.search(r"7[.:]?30|thirty", texts[5])


def test_a_short_context_gives_the_transcripts_of_the_usual_pipeline(
    recognizer: Recognizer, speech: list[np.ndarray]
) -> None:
    from faster_whisper import WhisperModel

    usual = WhisperModel(str(resolve("package:whisper-base")), device="cpu", compute_type="int8", cpu_threads=1)
    for wave, text in zip(speech[:2], recognizer.transcribe(speech[:2], "en"), strict=True):
        segments, _ = usual.transcribe(wave, language="en", beam_size=1, temperature=0.0, without_timestamps=True)
        assert wer.score(text, " ".join(segment.text for segment in segments), "en") == 0


def test_a_transcript_does_not_depend_on_its_batch(recognizer: Recognizer) -> None:
    rows = pq.read_table(ROOT / "assets/phrasebook/test/fr.parquet").slice(0, 16).to_pylist()
    waves = [read(row["audio"]) for row in rows]
    together = recognizer.transcribe(waves, "fr")
    assert together == [recognizer.transcribe([wave], "fr")[0] for wave in waves]
    tokens = [len(recognizer.network.tokenizer.encode(text, add_special_tokens=False).ids) for text in together]
    limits = [max(module.MIN_TOKENS, module.TOKENS_PER_S * len(wave) // SAMPLE_RATE) for wave in waves]
    longer = sum(2 * count > limit for count, limit in zip(tokens, limits, strict=True))
    assert longer > 4, (
        "CTranslate2 gives an output half of `max_length`: short speech needs more than half of its limit"
    )


def test_long_waves_are_transcribed_in_pieces_and_empty_ones_are_empty(
    recognizer: Recognizer, speech: list[np.ndarray]
) -> None:
    pause = np.zeros(SAMPLE_RATE, np.float32)
    long = np.concatenate([part for wave in (*speech, *speech) for part in (wave, pause)])
    assert len(long) > 40 * SAMPLE_RATE
    empty, text = recognizer.transcribe([np.zeros(0, np.float32), long], "en")
    assert empty == ""
    assert wer.score(text, " ".join((*SENTENCES, *SENTENCES)), "en") < 0.1
    assert recognizer.transcribe([], "en") == []


def test_a_loop_is_transcribed_again_with_the_full_context(
    recognizer: Recognizer, speech: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    recording = Recording(recognizer.network.whisper)
    monkeypatch.setattr(recognizer.network, "whisper", recording)
    monkeypatch.setattr(module, "MIN_TOKENS", 3)
    monkeypatch.setattr(module, "TOKENS_PER_S", 1)  # no transcript ends within these limits: each looks like a loop
    [text] = recognizer.transcribe(speech[:1], "en")
    assert recording.contexts == [10.0, 30.0]
    assert 1 <= len(text.split()) <= 4


def test_an_utterance_gets_the_shortest_context_that_holds_it(
    recognizer: Recognizer, speech: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    recording = Recording(recognizer.network.whisper)
    monkeypatch.setattr(recognizer.network, "whisper", recording)
    recognizer.transcribe([np.resize(speech[0], seconds * SAMPLE_RATE) for seconds in (21, 10, 11)], "en")
    assert recording.contexts[:3] == [10.0, 20.0, 30.0]


def test_the_language_of_speech_is_detected_from_the_states_that_are_there(
    recognizer: Recognizer, speech: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = pq.read_table(ROOT / "assets/phrasebook/test/fr.parquet").slice(0, 2).to_pylist()
    waves = [*(read(row["audio"]) for row in rows), speech[0], np.zeros(SAMPLE_RATE, np.float32)]
    recording = Recording(recognizer.network.whisper)
    monkeypatch.setattr(recognizer.network, "whisper", recording)
    found = recognizer.transcribe_and_detect(waves, "en")
    assert [one.lang for one in found] == ["fr", "fr", "en", None], "whatever language the caller names"
    encoded = len(recording.contexts)
    assert [one.text for one in found] == recognizer.transcribe(waves, "en")
    assert len(recording.contexts) == 2 * encoded, "the encoder runs once for both"


def test_a_long_wave_has_the_language_of_its_first_piece_with_speech(
    recognizer: Recognizer, speech: list[np.ndarray]
) -> None:
    wave = np.concatenate([np.zeros(30 * SAMPLE_RATE, np.float32), speech[0]])
    [found] = recognizer.transcribe_and_detect([wave], "en")
    assert (found.text, found.lang) == (recognizer.transcribe(speech[:1], "en")[0], "en")


@pytest.mark.parametrize("lang", ["en", "fr"])
def test_no_speech_has_no_transcript(recognizer: Recognizer, speech: list[np.ndarray], lang: str) -> None:
    random = np.random.default_rng(0)
    silence, noise = np.zeros(2 * SAMPLE_RATE, np.float32), random.normal(0, 0.2, 3 * SAMPLE_RATE).astype(np.float32)
    units = list(Voice(ROOT / f"assets/phrasebook/vocoder-{lang}").speak([[40], [25, 113], [7, 8] * 4]))
    said = recognizer.transcribe([silence, noise, *units, speech[0]], lang)
    assert said[:-1] == [""] * 5
    assert len(said[-1].split()) > 4, "speech between silences is heard"


def test_a_text_that_is_too_fast_to_be_said_is_no_transcript(
    recognizer: Recognizer, speech: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    [text] = recognizer.transcribe(speech[:1], "en")
    rate = len(text) / (len(speech[0]) / SAMPLE_RATE)
    assert rate < 25, "characters per second of ordinary speech"
    for limit, expected in ((rate * 1.01, text), (rate * 0.99, "")):
        monkeypatch.setattr(module, "MAX_CHARACTERS_PER_S", limit)
        assert recognizer.transcribe(speech[:1], "en") == [expected]


def test_repeated_phrases_are_kept_once() -> None:
    assert remove_repetitions("Turn left here. Turn left here. Turn left here.") == "Turn left here."
    assert remove_repetitions("no no, it is far far away") == "no no, it is far far away"
    assert remove_repetitions("it is it is far") == "it is it is far", "two words are no phrase"
    assert is_repetitive("Turn left at the light. " * 10)
    assert not is_repetitive("")
    assert not any(is_repetitive(text) for text in SENTENCES)


def test_an_unknown_language_is_refused(recognizer: Recognizer) -> None:
    with pytest.raises(WeightsError, match="package:whisper-base does not know the language 'xx'"):
        recognizer.transcribe([np.zeros(SAMPLE_RATE, np.float32)], "xx")


def test_folders_without_a_whisper_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="has no model.bin and no tokenizer.json in .*: change recognizer.model"):
        Recognizer(**CONFIG | {"model": str(tmp_path)})
    folder = resolve("package:whisper-base")
    (tmp_path / "model.bin").write_bytes(b"half a file")
    (tmp_path / "tokenizer.json").write_bytes(b"{")
    with pytest.raises(WeightsError, match="cannot be loaded .*: change recognizer.model"):
        Recognizer(**CONFIG | {"model": str(tmp_path)})
    (tmp_path / "model.bin").unlink()
    for name in ("model.bin", "config.json", "vocabulary.txt"):
        (tmp_path / name).symlink_to(folder / name)
    with pytest.raises(WeightsError, match="has a damaged tokenizer.json"):
        Recognizer(**CONFIG | {"model": str(tmp_path)})


def test_arithmetic_that_the_machine_lacks_is_refused() -> None:
    with pytest.raises(WeightsError, match="does not run with compute_type float8 .*: change recognizer.compute_type"):
        Recognizer(**CONFIG | {"compute_type": "float8"}, device="cpu")


def test_the_protocol_names_all_that_changes_a_transcript() -> None:
    described = protocol(**CONFIG | {"beam_size": 3}, lang="fr")
    search = "int8|beam:3|temp:0|context:10,20,30s,loops:30s|no_speech:0.6,50/s"
    assert described == f"asr:package:whisper-base|lang:fr|{search}|norm:whisper-basic|num:words|times|oe,ae|v1"
