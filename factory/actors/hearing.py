"""What a translator of continuous speech does first: recordings become embeddings of its language model."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from factory.actors.speech import read_speech
from factory.models.speech_config import LLM
from factory.models.weights import resolve
from factory.recipe.sections import EncoderConfig
from schemas.datasets import SKIPPED, Row


class Hearing:
    """The encoder and the adapter of a speech language model.

    Attributes:
        llm: The folder of its language model.
    """

    llm: str

    def __init__(self, policy: str, config: EncoderConfig, threads: int) -> None:
        """Load encoder and adapter.

        Args:
            policy: the folder of a speech language model, or another name of weights.
            config: the accepted durations.
            threads: threads of torch, in the whole process.

        Raises:
            WeightsError: it is no speech language model, or its parts do not fit.
        """
        import torch

        from factory.models.speech_embedder import SpeechEmbedder

        torch.set_num_threads(threads)
        folder = Path(resolve(policy))
        self.config, self.llm = config, str(folder / LLM)
        self.embedder = SpeechEmbedder.from_folder(folder).for_inference()

    def __call__(self, rows: list[Row]) -> list[Row]:
        """Return the rows with their embeddings (T, D) as `speech`; one that has none gets `status` and `reason`."""
        read = [self._read(row) for row in rows]
        waves = {index: wave for index, (_, wave) in enumerate(read) if wave is not None}
        speech = dict(zip(waves, self.embedder.embed(list(waves.values())), strict=True))
        return [row | {"speech": speech.get(index)} for index, (row, _) in enumerate(read)]

    def _read(self, row: Row) -> tuple[Row, np.ndarray | None]:
        row, wave = read_speech(row, self.config.min_s, self.config.max_s)
        if wave is None:
            return row, None
        try:
            self.embedder.speech_encoder.check(wave)
        except ValueError as error:
            return row | {"status": SKIPPED, "reason": f"refused_length: {error}"}, None
        return row, wave
