"""The actors that read a corpus: recordings become units, or are only checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import pyarrow as pa

from factory.actors.base import RowActor
from factory.actors.speech import find_language_problem, read_speech
from factory.recipe.sections import EncoderConfig
from schemas.datasets import OK, SKIPPED, UNITS, Row


class Reader(RowActor):
    """Reads the audio of each row and writes its length; a row that cannot be used gets the reason."""

    schema: ClassVar[pa.Schema] = UNITS

    def __init__(self, config: EncoderConfig, langs: Sequence[str]) -> None:
        """Accept recordings of the durations of `config`, in the languages `langs`."""
        self.config, self.langs = config, list(langs)

    def process(self, rows: list[Row]) -> list[Row]:
        """Return the rows with `num_samples`, or with the reason why they have none."""
        return [self.read(row)[0] for row in rows]

    def read(self, row: Row) -> tuple[Row, np.ndarray | None]:
        """Return the row with `num_samples`, and its wave; a row that has none gets the reason."""
        if reason := find_language_problem(row, self.langs):
            return {**row, "status": SKIPPED, "reason": reason}, None
        row, wave = read_speech(row, self.config.min_s, self.config.max_s)
        return (row if wave is None else {**row, "num_samples": len(wave)}), wave


class Encoder(Reader):
    """Reads the audio of each row and writes its units.

    On a CPU the units of an utterance do not depend on its batch. On a GPU, which encodes several utterances at once,
    1 unit of 10,000 at most does (`factory.models.speech_encoders`).
    """

    def __init__(self, config: EncoderConfig, langs: Sequence[str], threads: int) -> None:
        """Load the network and its codebook.

        Args:
            config: the network, the codebook, and the accepted durations.
            langs: the accepted languages.
            threads: threads of torch, in the whole process.

        Raises:
            WeightsError: the weights are missing, or the codebook belongs to another layer or network.
        """
        import torch

        from factory.models.codebook import Codebook
        from factory.models.speech_encoders import load_speech_encoder
        from factory.models.weights import resolve

        super().__init__(config, langs)
        torch.set_num_threads(threads)
        self.encoder = load_speech_encoder(config.kind, config.model, config.layer)
        codebook = Codebook.load(resolve(config.codebook), self.encoder)
        self.centers = torch.tensor(codebook.centers, device=self.encoder.device)

    def process(self, rows: list[Row]) -> list[Row]:
        """Return the rows with `units`, `durations` and `num_samples`, or with the reason why they have none."""
        from factory.models.codebook import assign, deduplicate

        read = [self.read(row) for row in rows]
        done = [row for row, _ in read]
        waves = {index: wave for index, (_, wave) in enumerate(read) if wave is not None}
        indices = list(waves)
        for number, frames in self.encoder.encode(list(waves.values())):
            index = indices[number]
            units = assign(frames, self.centers)
            units, durations = deduplicate(units) if self.config.deduplicate else (units, np.ones_like(units))
            done[index] |= {"units": units.tolist(), "durations": durations.tolist(), "status": OK}
            self.on_finished(rows[index])
        return done
