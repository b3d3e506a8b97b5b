"""The encoder actor: recordings become units."""

from __future__ import annotations

from collections.abc import Sequence

from factory.actors.base import RowActor
from schemas.datasets import FAILED, OK, SKIPPED, UNITS, Row

SKIPS = {"silent", "too_short", "too_long"}
"""Reasons that are no fault of the file: the utterance is `skipped`; for any other it is `failed`."""


class Encoder(RowActor):
    """Reads each row's audio and writes its units, one utterance at a time: an utterance has the same units in every batch.

    `encoder` is `whisper` or `hubert`, `model` and `codebook` are names of weights; `langs` are the accepted languages, `min_s` and
    `max_s` the accepted seconds.
    """

    schema = UNITS

    def __init__(
        self,
        *,
        encoder: str,
        model: str,
        layer: int,
        codebook: str,
        langs: Sequence[str],
        min_s: float = 0.1,
        max_s: float = 30.0,
        threads: int = 1,
    ) -> None:
        import torch

        from factory.models.speech_encoders import Codebook, speech_encoder
        from factory.models.weights import resolve

        torch.set_num_threads(threads)
        self.encoder = speech_encoder(encoder, model, layer)
        self.codebook = Codebook.load(resolve(codebook), self.encoder)
        self.langs, self.min_s, self.max_s = list(langs), min_s, max_s

    def process(self, rows: list[Row]) -> list[Row]:
        """Return the rows with `units`, `durations` and `num_samples`, or with the reason why their audio gave none."""
        return [self._encode(row) for row in rows]

    def _encode(self, row: Row) -> Row:
        from factory.corpora.audio import read
        from factory.corpora.base import AudioError
        from factory.models.codebook import assign, deduplicate

        if row["lang"] not in self.langs:
            reason = f"unknown_lang: {row['lang']!r} is not among the languages asked for ({', '.join(self.langs)})"
            return {**row, "status": SKIPPED, "reason": reason}
        try:
            wave = read(row["audio"], self.min_s, self.max_s)
        except AudioError as error:
            return {**row, "status": SKIPPED if error.slug in SKIPS else FAILED, "reason": str(error)}
        units, durations = deduplicate(assign(self.encoder.frames(wave), self.codebook.centers))
        return {**row, "units": units.tolist(), "durations": durations.tolist(), "num_samples": len(wave), "status": OK}
