"""A CTC model of Hugging Face by name (HuBERT, wav2vec2, w2v-BERT 2.0): log-probabilities, and texts as its tokens."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from factory.models.device import select_device
from factory.models.weights import WeightsError, resolve
from schemas.audio import SAMPLE_RATE


class CtcNetwork:
    """A CTC model whose vocabulary holds characters.

    Attributes:
        model: The name of the weights.
        blank: The id of the blank.
        stride: Samples at 16 kHz from one frame to the next.
    """

    def __init__(self, model: str) -> None:
        """Load the model, and measure its stride with noise.

        Raises:
            WeightsError: The weights cannot be found, or are not a CTC model with its feature extractor and vocabulary.
        """
        import torch
        import transformers

        self.model, folder, library = model, resolve(model), cast(Any, transformers)  # parts of it have no types
        try:
            self.extractor = library.AutoFeatureExtractor.from_pretrained(folder)
            self.tokenizer = library.AutoTokenizer.from_pretrained(folder)
            network, loaded = library.AutoModelForCTC.from_pretrained(
                folder, dtype=torch.float32, output_loading_info=True
            )
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            first_line = str(error).strip().split("\n", 1)[0]
            raise WeightsError(
                f"the aligner {model} cannot be loaded ({first_line}); expected a CTC model of Hugging Face with its "
                "feature extractor and its vocabulary: change aligner.model"
            ) from error
        if loaded["missing_keys"]:
            missing = ", ".join(sorted(loaded["missing_keys"])[:3])
            raise WeightsError(
                f"the aligner {model} lacks trained weights ({missing}): its encoder was trained without a CTC head; "
                "name a model that was trained to write text in aligner.model"
            )
        self.device = select_device()
        self.network = network.eval().to(self.device)
        self.blank = int(self.tokenizer.pad_token_id)
        known = self.tokenizer.get_vocab().items()  # the tokenizer adds tokens that the network has no output for
        self.vocabulary = {token: index for token, index in known if index < network.config.vocab_size}
        self.delimiter = self.vocabulary.get(getattr(self.tokenizer, "word_delimiter_token", None) or "")
        noise = np.random.default_rng(0).standard_normal(3 * SAMPLE_RATE).astype(np.float32)
        more = len(self.log_probs(noise)) - len(self.log_probs(noise[:SAMPLE_RATE]))
        self.stride = 2 * SAMPLE_RATE / more

    def log_probs(self, wave: np.ndarray) -> np.ndarray:
        """Return log-probabilities (frames, vocabulary) of a wave (samples,) at 16 kHz."""
        import torch

        inputs = self.extractor(wave, sampling_rate=SAMPLE_RATE, return_tensors="pt")
        with torch.inference_mode():
            logits = self.network(**{name: value.to(self.device) for name, value in inputs.items()}).logits[0]
        log_probs: np.ndarray = logits.float().log_softmax(-1).cpu().numpy()
        return log_probs

    def tokens(self, word: str) -> list[int]:
        """Return the tokens of a word: a character as it is, in the other case, or without its accents.

        What is no letter or digit and not in the vocabulary, such as punctuation, is left out.

        Raises:
            KeyError: The vocabulary lacks a letter or digit, which is the argument.
        """
        return [self.vocabulary[known] for character in word for known in self._spell(character)]

    def _spell(self, character: str) -> list[str]:
        bare = unicodedata.normalize("NFKD", character)[0]
        for form in (character, character.lower(), character.upper(), bare, bare.lower(), bare.upper()):
            if form in self.vocabulary:
                return [form]
        if character.isalnum():
            raise KeyError(character)
        return []


def join_words(words: Sequence[list[int]], delimiter: int | None) -> list[int]:
    """Return the tokens of a text: those of its words, with the delimiter between two words if there is one."""
    joined: list[int] = []
    for tokens in words:
        joined += [delimiter] if joined and tokens and delimiter is not None else []
        joined += tokens
    return joined
