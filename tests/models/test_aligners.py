"""Aligners find the words of a text in speech, at the frames where they are spoken."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soxr

from factory.models.aligners import FRAME, MAX_TOKENS, Aligner, AlignmentError, CtcAligner, Word, load_aligner
from factory.models.ctc_alignment import align_tokens
from factory.models.weights import WeightsError
from schemas.audio import SAMPLE_RATE
from tests.models.ctc_models import CLASSES, VOCABULARY, save_ctc

FIRST, SECOND = "Our neighbour sold two old cars.", "The train leaves in twenty minutes."
PAUSE_S = 0.2


@pytest.fixture(scope="module")
def whisper() -> Aligner:
    return load_aligner("whisper", "package:whisper-base", threads=1)


@pytest.fixture(scope="module")
def halves() -> list[np.ndarray]:
    """Two sentences in a small English voice, without the silence at their ends."""
    from hibari import Hibari

    waves = [soxr.resample(Hibari(threads=1)(text), 24_000, SAMPLE_RATE).astype(np.float32) for text in (FIRST, SECOND)]
    loud = [np.flatnonzero(np.abs(wave) > 0.02 * np.abs(wave).max()) for wave in waves]
    return [wave[some[0] : some[-1] + 1] for wave, some in zip(waves, loud, strict=True)]


def frames(wave: np.ndarray) -> float:
    return len(wave) / FRAME


def test_whisper_finds_the_known_boundary_of_two_sentences(whisper: Aligner, halves: list[np.ndarray]) -> None:
    pause = np.zeros(int(PAUSE_S * SAMPLE_RATE), np.float32)
    wave = np.concatenate([pause, halves[0], pause, halves[1], pause])
    words = whisper.align(wave, f"{FIRST} {SECOND}", "en")
    assert [word.text for word in words] == [*FIRST.split(), *SECOND.split()]
    edges = [word.start for word in words[:1]] + [words[5].end, words[6].start, words[-1].end]
    first_end = frames(pause) + frames(halves[0])
    expected = [frames(pause), first_end, first_end + frames(pause), frames(wave) - frames(pause)]
    assert edges == pytest.approx(expected, abs=3), "within 60 ms"
    assert all(word.start < word.end for word in words)
    assert all(one.end <= two.start for one, two in zip(words, words[1:], strict=False))


def test_whisper_aligns_an_utterance_alone_and_beyond_the_short_context_in_the_same_way(
    whisper: Aligner, halves: list[np.ndarray]
) -> None:
    words = whisper.align(halves[0], FIRST, "en")
    assert whisper.align(halves[0], FIRST, "en") == words
    padded = np.concatenate([halves[0], np.zeros(12 * SAMPLE_RATE, np.float32)])
    longer = whisper.align(padded, FIRST, "en")
    assert [edge for word in longer for edge in word[1:]] == pytest.approx(
        [edge for word in words for edge in word[1:]], abs=4
    )
    assert words[-1].end <= len(halves[0]) // FRAME


def test_whisper_takes_any_script_and_many_words_but_not_any_number(whisper: Aligner, halves: list[np.ndarray]) -> None:
    text = "Привет … 中文 naïve!"
    assert [word.text for word in whisper.align(halves[0], text, "ru")] == text.split()
    long = " ".join(["immediately"] * (MAX_TOKENS // 10))
    assert len(whisper.align(halves[0], long, "en")) == MAX_TOKENS // 10, "written in longer pieces"
    with pytest.raises(AlignmentError, match=f"^too_long: {MAX_TOKENS + 1} words are more text than Whisper takes"):
        whisper.align(halves[0], " ".join(["I"] * (MAX_TOKENS + 1)), "en")
    with pytest.raises(AlignmentError, match=r"^too_long: 31.0 s of audio, and Whisper aligns at most 30 s: split it"):
        whisper.align(np.zeros(31 * SAMPLE_RATE, np.float32), FIRST, "en")


def test_an_aligner_that_does_not_know_a_language_says_so(whisper: Aligner) -> None:
    whisper.check_language("fr")
    with pytest.raises(WeightsError, match="the aligner package:whisper-base does not know the language 'xx'"):
        whisper.check_language("xx")
    with pytest.raises(WeightsError, match="aligner.kind must be one of whisper, ctc; got 'mfa'"):
        load_aligner("mfa", "package:whisper-base", threads=1)


@pytest.mark.parametrize("name", CLASSES)
def test_ctc_words_are_on_the_best_path_of_the_model(name: str, tmp_path: Path) -> None:
    aligner = load_aligner("ctc", str(save_ctc(tmp_path, name)), threads=1)
    assert isinstance(aligner, CtcAligner)
    wave = 0.1 * np.random.default_rng(0).standard_normal(SAMPLE_RATE).astype(np.float32)
    words = aligner.align(wave, "Bonjour à tous", "fr")
    tokens = [VOCABULARY.index(letter) for letter in "bonjour|a|tous"]
    spans = align_tokens(aligner.network.log_probs(wave), tokens, 0)
    expected = [("Bonjour", spans[0][0], spans[6][1]), ("à", *spans[8]), ("tous", spans[10][0], spans[13][1])]
    assert words == [Word(*word) for word in expected]


@pytest.mark.parametrize("stride", [320, 640, 160])
def test_known_boundaries_of_an_emission_become_frames_of_20_ms(
    stride: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = "--bbb|aa--|--ccca-"  # "b a ca": b in frames 2-4, a in 6-7, ca in 13-16
    ids = [0 if letter == "-" else VOCABULARY.index(letter) for letter in path]
    log_probs = np.log(0.9 * np.eye(len(VOCABULARY))[ids] + 0.1 / len(VOCABULARY))
    aligner = CtcAligner(str(save_ctc(tmp_path)), threads=1)
    monkeypatch.setattr(aligner.network, "log_probs", lambda wave: log_probs)
    monkeypatch.setattr(aligner.network, "stride", stride)
    rate = stride / FRAME
    words = aligner.align(np.zeros(len(path) * stride, np.float32), "B – a « Ça »", "fr")
    spans = [(2, 5), (5, 5), (6, 8), (8, 8), (13, 17), (17, 17)]
    expected = [(round(start * rate), round(end * rate)) for start, end in spans]
    assert [(word.start, word.end) for word in words] == expected
    assert [word.text for word in words] == ["B", "–", "a", "«", "Ça", "»"]
    cut = aligner.align(np.zeros(15 * stride, np.float32), "b a ca", "fr")
    assert cut[-1].end == 15 * stride // FRAME, "no word ends behind its wave"


def test_ctc_refuses_texts_that_it_cannot_write_or_that_do_not_fit(tmp_path: Path) -> None:
    aligner = CtcAligner(str(save_ctc(tmp_path)), threads=1)
    wave = 0.1 * np.random.default_rng(0).standard_normal(SAMPLE_RATE // 4).astype(np.float32)
    aligner.check_language("xx")
    with pytest.raises(AlignmentError, match="^not_writable: the aligner .* cannot write 'П' of 'Привет': use a model"):
        aligner.align(wave, "hi Привет", "ru")
    with pytest.raises(AlignmentError, match="^not_writable: the text '!\\?' has no letter"):
        aligner.align(wave, "!?", "en")
    with pytest.raises(AlignmentError, match="^too_short: .*: 29 frames are needed .* there are 1[12]$"):
        aligner.align(wave, "a rather long text for so few", "en")
