"""The chat of an audio LLM: prompts of the factory, as the chat template of its processor writes them.

    chat = AudioChat(folder, "Qwen/Qwen2-Audio-7B-Instruct")
    chat.write("<|s2t|><|fr|><|en|><|sosp|><|eosp|>")  # "... <|AUDIO|> ... Translate the French speech into ..."

An audio LLM by name was trained on chats, and knows no tags. Datasets and pairs keep the prompts of the factory.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from factory.models.instructions import ask_for_speech, ask_for_text
from factory.models.weights import WeightsError
from schemas.audio import SAMPLE_RATE
from schemas.sequences import Variant, prompt, read_prompt, text_prompt

if TYPE_CHECKING:
    import numpy as np
    from transformers import BatchFeature, PreTrainedTokenizerBase

Message = dict[str, Any]
_ANSWER = "Bonjour."


def is_audio_llm(folder: Path) -> bool:
    """Return True if a folder is that of an audio LLM: its configuration has a part that hears and one that writes."""
    try:
        config = json.loads((folder / "config.json").read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return "text_config" in config and ("audio_config" in config or "encoder_config" in config)


def check_audio_llm(folder: Path, policy: str) -> None:
    """Raise WeightsError if a folder is not that of an audio LLM; `policy` is its name."""
    if not is_audio_llm(folder):
        raise WeightsError(
            f"{policy} is no audio LLM: its config.json has no text_config with an audio_config (or encoder_config). "
            "Give a policy.start such as Qwen/Qwen2-Audio-7B-Instruct, or another policy.kind"
        )


class AudioChat:
    """The processor of an audio LLM, which writes chats and computes features of recordings."""

    def __init__(self, folder: Path, policy: str) -> None:
        """Load the processor.

        Args:
            folder: the folder of an audio LLM.
            policy: its name, for messages.

        Raises:
            WeightsError: it is no audio LLM, or its chat template has no place for a recording.
        """
        from transformers import AutoProcessor

        check_audio_llm(folder, policy)
        try:
            self.processor: Any = cast(Any, AutoProcessor).from_pretrained(folder)
            self.tokenizer: PreTrainedTokenizerBase = self.processor.tokenizer
            self.place = cast(int, self.tokenizer.convert_tokens_to_ids(self.processor.audio_token))
            """The token that stands for a recording."""
            asked = self.encode([prompt(Variant.S2T, "fr", "en", ()), text_prompt("fr", "en", "oui")])
            self.end = self._find_end()
            """The token that ends an answer."""
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise WeightsError(
                f"the processor of {policy} writes no chats ({type(error).__name__}: {error})"
            ) from error
        if [ids.count(self.place) for ids in asked] != [1, 0]:
            raise WeightsError(f"the chat template of {policy} has no place for a recording: use an instruct model")
        added = set(self.tokenizer.get_added_vocab().values())
        marks = {token for ids in asked for token in ids} & added
        self.banned = (marks | {*self.tokenizer.all_special_ids}) - {self.end}
        """Tokens that no answer may hold: those of prompts, and of padding."""

    def write(self, text: str) -> str:
        """Return a prompt of the factory as a chat that the model answers; the recording is one token."""
        return self._apply([self._ask(text)], add_generation_prompt=True)

    def encode(self, prompts: Sequence[str]) -> list[list[int]]:
        """Return the token ids of prompts of the factory, as chats."""
        chats = [self.write(text) for text in prompts]
        return cast(list[list[int]], self.tokenizer(chats, add_special_tokens=False)["input_ids"]) if chats else []

    def compute_features(self, text: str, wave: np.ndarray) -> BatchFeature:
        """Return what the network takes for a prompt of the factory and its recording (samples,) at 16 kHz."""
        arguments = {"sampling_rate": SAMPLE_RATE, "return_tensors": "pt"}
        return cast("BatchFeature", self.processor(text=[self.write(text)], audio=[wave], **arguments))

    def check(self, wave: np.ndarray) -> None:
        """Raise ValueError for a recording that is longer than the processor takes: it would cut it silently."""
        most = getattr(self.processor.feature_extractor, "n_samples", None)
        if most is not None and len(wave) > most:
            seconds = (len(wave) / SAMPLE_RATE, most / SAMPLE_RATE)
            raise ValueError("{:.2f} s; the audio LLM hears {:.2f} s at most".format(*seconds))

    def _ask(self, text: str) -> Message:
        asked = read_prompt(text)
        langs = (asked.src_lang, asked.tgt_lang)
        if asked.variant.reads_text:
            content: list[Message] = [{"type": "text", "text": ask_for_text(*langs, asked.text)}]
        else:
            content = [{"type": "audio"}, {"type": "text", "text": ask_for_speech(*langs)}]
        return {"role": "user", "content": content}

    def _find_end(self) -> int:
        """Return the first token that the chat template writes behind an answer."""
        question = self._ask(text_prompt("fr", "en", "oui"))
        answer: Message = {"role": "assistant", "content": [{"type": "text", "text": _ANSWER}]}
        answered = self._apply([question, answer], add_generation_prompt=False)
        _, _, rest = answered.rpartition(_ANSWER)
        ids = cast(list[int], self.tokenizer(rest, add_special_tokens=False)["input_ids"])
        return ids[0] if ids else cast(int, self.tokenizer.eos_token_id)

    def _apply(self, messages: Sequence[Message], *, add_generation_prompt: bool) -> str:
        settings = {"tokenize": False, "add_generation_prompt": add_generation_prompt}
        return str(self.processor.apply_chat_template(list(messages), **settings))
