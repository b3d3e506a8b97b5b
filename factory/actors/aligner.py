"""The aligner actor: the words of a transcript get the frames in which they are spoken."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import pyarrow as pa

from factory.actors.base import RowActor
from factory.actors.speech import find_language_problem, read_speech
from factory.recipe.sections import AlignerConfig
from schemas.datasets import ALIGNED, OK, SKIPPED, Row


class WordAligner(RowActor):
    """Reads the audio of each row and aligns the words of its text with it, one utterance at a time."""

    schema: ClassVar[pa.Schema] = ALIGNED

    def __init__(
        self, config: AlignerConfig, langs: Sequence[str], limits_s: tuple[float, float], threads: int
    ) -> None:
        """Load the aligner.

        Args:
            config: the kind of aligner and its weights.
            langs: the accepted languages.
            limits_s: seconds of the shortest and of the longest utterance that is accepted.
            threads: threads of a computation.

        Raises:
            WeightsError: the weights cannot be used, or do not know one of the languages.
        """
        from factory.models.aligners import load_aligner

        self.langs, self.limits_s = list(langs), limits_s
        self.aligner = load_aligner(config.kind, config.model, threads)
        for lang in langs:
            self.aligner.check_language(lang)

    def process(self, rows: list[Row]) -> list[Row]:
        """Return the rows with `words`, or with the reason why they have none."""
        return [self._align(row) for row in rows]

    def _align(self, row: Row) -> Row:
        from factory.models.aligners import AlignmentError

        if reason := find_language_problem(row, self.langs):
            return {**row, "status": SKIPPED, "reason": reason}
        if not (row["text"] or "").split():
            return {**row, "status": SKIPPED, "reason": "no_text: the utterance has no transcript to align"}
        row, wave = read_speech(row, *self.limits_s)
        if wave is None:
            return row
        try:
            words = self.aligner.align(wave, row["text"], row["lang"])
        except AlignmentError as error:
            return {**row, "status": SKIPPED, "reason": str(error)}
        return {**row, "words": [word._asdict() for word in words], "status": OK}
