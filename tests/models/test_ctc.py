"""CTC models by name: every class gives log-probabilities at its stride, and spells what its vocabulary holds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from factory.models.ctc import CtcNetwork, join_words
from factory.models.weights import WeightsError
from tests.models.ctc_models import CLASSES, VOCABULARY, save_ctc

A, B, C, E = (VOCABULARY.index(letter) for letter in "abce")


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> CtcNetwork:
    return CtcNetwork(str(save_ctc(tmp_path_factory.mktemp("ctc"))))


@pytest.mark.parametrize("name", CLASSES)
def test_every_class_gives_log_probabilities_of_its_vocabulary_at_50_hz(name: str, tmp_path: Path) -> None:
    network = CtcNetwork(str(save_ctc(tmp_path, name)))
    wave = 0.1 * np.random.default_rng(0).standard_normal(24_000).astype(np.float32)
    log_probs = network.log_probs(wave)
    assert log_probs.shape[1] == len(VOCABULARY) and 73 <= len(log_probs) <= 75
    assert np.exp(log_probs).sum(1) == pytest.approx(1, abs=1e-5)
    assert (network.stride, network.blank, network.delimiter) == (320, 0, 2)
    assert (network.log_probs(wave) == log_probs).all(), "without dropout"
    assert type(network.network).__name__ == name


def test_a_letter_is_spelled_as_the_vocabulary_holds_it(network: CtcNetwork, tmp_path: Path) -> None:
    assert network.tokens("abc") == [A, B, C]
    assert network.tokens("«Abç,»") == [A, B, C], "other case, no cedilla, no punctuation"
    assert network.tokens("d'été!") == [VOCABULARY.index(letter) for letter in "d'ete"]
    assert network.tokens("?") == []
    upper = CtcNetwork(str(save_ctc(tmp_path, vocabulary=("<pad>", "<unk>", *"ABC", "é"))))
    assert upper.tokens("cabé") == [4, 2, 3, 5], "accents that the vocabulary holds are kept"
    assert upper.delimiter is None


@pytest.mark.parametrize(("word", "letter"), [("привет", "п"), ("room7", "7"), ("中", "中")])
def test_a_letter_or_digit_outside_of_the_vocabulary_is_named(network: CtcNetwork, word: str, letter: str) -> None:
    with pytest.raises(KeyError, match=letter):
        network.tokens(word)


def test_words_are_joined_by_the_delimiter_but_words_without_letters_are_not() -> None:
    assert join_words([[5, 6], [], [7], [8]], 2) == [5, 6, 2, 7, 2, 8]
    assert join_words([[], [5], [6]], 2) == [5, 2, 6]
    assert join_words([[5], [6]], None) == [5, 6]


def test_a_folder_without_a_ctc_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=f"the aligner {tmp_path} cannot be loaded .*: change aligner.model"):
        CtcNetwork(str(tmp_path))


def test_an_encoder_without_a_trained_head_is_refused(tmp_path: Path) -> None:
    from transformers import HubertForCTC

    folder = save_ctc(tmp_path, "HubertForCTC")
    HubertForCTC.from_pretrained(folder).hubert.save_pretrained(folder)
    with pytest.raises(WeightsError, match=r"lacks trained weights \(lm_head.bias, lm_head.weight\): its encoder"):
        CtcNetwork(str(folder))
