"""Run an audio LLM in vLLM: recordings go in through vLLM's own multimodal input, texts come out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, cast

import numpy as np

from factory.models.audio_chat import AudioChat
from factory.models.engine import Engine, EngineConfig, Request, Sampling
from factory.models.instructions import has_name
from factory.models.vllm_start import Speech
from factory.models.weights import WeightsError
from schemas.audio import SAMPLE_RATE
from schemas.sequences import Variant, prompt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor
    from vllm.inputs.engine import EngineInput


class AudioEngine(Engine):
    """An Engine whose prompts are chats, and whose requests have waves (samples,) at 16 kHz as `speech`."""

    _speech: ClassVar[Speech | None] = "recordings"

    def __init__(self, policy: str, config: EngineConfig) -> None:
        """Load an audio LLM, and let it hear a second of silence: a fault shows here, and not in many rows.

        Args:
            policy: its folder, or another name for `factory.models.weights.resolve`.
            config: how to compute.

        Raises:
            WeightsError: it is no audio LLM, or vLLM takes no recordings for this kind of network.
        """
        self._last: tuple[list[int], np.ndarray, EngineInput] | None = None
        try:
            super().__init__(policy, config)
            silence = np.zeros(SAMPLE_RATE, np.float32)
            asked = prompt(Variant.S2T, "fr", "en", ())
            self.generate({0: Request(asked, Sampling(0.0, 1.0, 0, 1), speech=silence)}, 0)
        except WeightsError:
            raise
        except Exception as error:  # whatever vLLM, its processor or the network's class raises
            raise WeightsError(
                f"vLLM takes no recordings as the prompt of {policy} ({type(error).__name__}: {error}): use an audio "
                "LLM whose class in vLLM hears, as that of Qwen2-Audio does"
            ) from error

    def _open(self, folder: str, policy: str, tokens: set[str]) -> None:
        self.chat = AudioChat(Path(folder), policy)
        self.tokenizer = self.chat.tokenizer
        self.vocabulary = self.tokenizer.get_vocab()
        self._eos, self.banned = self.chat.end, set(self.chat.banned)

    def knows(self, lang: str) -> bool:
        """Return True if an instruction can name this language."""
        return has_name(lang)

    def encode(self, prompts: Sequence[str]) -> list[list[int]]:
        """Return the token ids of each prompt, as a chat."""
        return self.chat.encode(prompts)

    def make_prompt(self, ids: list[int], speech: Tensor | np.ndarray | None) -> EngineInput:
        """Return the prompt `ids` as vLLM takes it, with the wave (samples,) in the place of the recording.

        The candidates of an utterance follow each other, and share what the processor computes.
        """
        if speech is None:
            return super().make_prompt(ids, None)
        wave = cast(np.ndarray, speech)
        if self._last is None or self._last[0] != ids or self._last[1] is not wave:
            recording = {"audio": [(wave, SAMPLE_RATE)]}
            asked = {"prompt_token_ids": ids, "multi_modal_data": recording}
            [made] = self.llm.llm_engine.renderer.render_cmpl([asked])
            self._last = (ids, wave, made)
        return cast("EngineInput", dict(self._last[2]))
