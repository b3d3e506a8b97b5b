"""What a translator of speech does first: it reads the recordings, and a speech language model embeds them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from factory.actors.speech import read_speech
from factory.models.speech_config import LLM
from factory.models.weights import resolve
from factory.recipe.sections import EncoderConfig
from schemas.datasets import SKIPPED, Row


class Recordings:
    """Reads the recordings of rows, for an audio LLM."""

    def __init__(self, config: EncoderConfig, check: Callable[[np.ndarray], None]) -> None:
        """Take the accepted durations from `config`; `check` raises ValueError for a wave that the model refuses."""
        self.config, self.check = config, check

    def __call__(self, rows: list[Row]) -> list[Row]:
        """Return the rows with their waves (samples,) as `speech`; one that has none gets `status` and `reason`."""
        return [row | {"speech": wave} for row, wave in map(self.read, rows)]

    def read(self, row: Row) -> tuple[Row, np.ndarray | None]:
        """Return the row and its wave; or the row with `status` and `reason`, and None."""
        row, wave = read_speech(row, self.config.min_s, self.config.max_s)
        if wave is None:
            return row, None
        try:
            self.check(wave)
        except ValueError as error:
            return row | {"status": SKIPPED, "reason": f"refused_length: {error}"}, None
        return row, wave


class Hearing(Recordings):
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
        self.llm = str(folder / LLM)
        self.embedder = SpeechEmbedder.from_folder(folder).for_inference()
        super().__init__(config, self.embedder.speech_encoder.check)

    def __call__(self, rows: list[Row]) -> list[Row]:
        """Return the rows with their embeddings (T, D) as `speech`; one that has none gets `status` and `reason`."""
        read = [self.read(row) for row in rows]
        waves = {index: wave for index, (_, wave) in enumerate(read) if wave is not None}
        speech = dict(zip(waves, self.embedder.embed(list(waves.values())), strict=True))
        return [row | {"speech": speech.get(index)} for index, (row, _) in enumerate(read)]
