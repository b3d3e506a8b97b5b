"""What a preference training starts from, for each kind of policy: what learns, what hears, and how it is saved."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple, cast

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from factory.models.audio_chat import is_audio_llm
from factory.models.speech_config import LLM
from trainers.publish import saver
from trainers.spoken_pairs import Hearer, SpeechHearer, hears, speech_saver


class Start(NamedTuple):
    """A policy before its preference training."""

    model: PreTrainedModel
    """The causal language model, which learns."""
    tokenizer: PreTrainedTokenizerBase
    open_hearer: Callable[[], Hearer] | None
    """Loads the part that hears; None for a policy of units."""
    saver: Callable[[PreTrainedModel], Callable[[Path], None]]
    """Returns what writes the whole policy, given the language model that has learned."""


def load_start(folder: Path) -> Start:
    """Load a policy of units, a speech language model, or an audio LLM."""
    if is_audio_llm(folder):
        from trainers.audio_llm import AudioLLM

        policy = AudioLLM(folder)
        return Start(policy.llm, policy.chat.tokenizer, policy.open_hearer, policy.saver)
    llm = folder / LLM if hears(folder) else folder
    tokenizer = AutoTokenizer.from_pretrained(llm)
    model = cast(PreTrainedModel, AutoModelForCausalLM.from_pretrained(llm, dtype=torch.float32))
    if not hears(folder):
        return Start(model, tokenizer, None, partial(saver, tokenizer=tokenizer))
    hearer = partial(SpeechHearer, folder, tokenizer)
    return Start(model, tokenizer, hearer, partial(speech_saver, folder, tokenizer=tokenizer))
