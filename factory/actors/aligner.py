"""The aligner actor: the words of a transcript get the frames in which they are spoken."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import pyarrow as pa

from factory.actors.base import RowActor
from factory.actors.encoder import SKIPPED_SLUGS
from factory.recipe.sections import AlignerConfig
from schemas.datasets import ALIGNED, FAILED, OK, SKIPPED, Row


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
        from factory.corpora.audio import read
        from factory.corpora.base import AudioError
        from factory.models.aligners import AlignmentError

        if row["lang"] not in self.langs:
            reason = f"unknown_lang: {row['lang']!r} is not a language of the recipe ({', '.join(self.langs)})"
            return {**row, "status": SKIPPED, "reason": reason}
        if not (row["text"] or "").split():
            return {**row, "status": SKIPPED, "reason": "no_text: the utterance has no transcript to align"}
        try:
            wave = read(row["audio"], *self.limits_s)
            words = self.aligner.align(wave, row["text"], row["lang"])
        except AudioError as error:
            return {**row, "status": SKIPPED if error.slug in SKIPPED_SLUGS else FAILED, "reason": str(error)}
        except AlignmentError as error:
            return {**row, "status": SKIPPED, "reason": str(error)}
        return {**row, "words": [word._asdict() for word in words], "status": OK}
