"""What is measured of a policy's outputs for recordings: WER and S2T BLEU of one direction in one condition."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from factory.metrics import bootstrap
from schemas.datasets import Row


class Measure(NamedTuple):
    """A score of one direction in one condition; `better` is the sign of its improvement."""

    name: Literal["wer", "bleu"]
    condition: str
    direction: str

    @property
    def better(self) -> float:
        """-1 if lower is better, else 1."""
        return -1.0 if self.name == "wer" else 1.0

    @property
    def words(self) -> str:
        """The score and what it is of, as a head of a column."""
        if self.name == "wer":
            return f"WER {self.direction.split('-')[0]}, {self.condition}"
        return f"S2T BLEU {self.direction}, {self.condition}"

    def sample(self, rows: Sequence[Row]) -> bootstrap.Sample:
        """Return the statistics of the rows of this condition and direction, by sentence in the order of their ids."""
        src, tgt = self.direction.split("-")
        own = [
            row for row in rows if (row["condition"], row["src_lang"], row["tgt_lang"]) == (self.condition, src, tgt)
        ]
        output, expected, lang = (
            ("transcript", "text", src) if self.name == "wer" else ("translation", "reference", tgt)
        )
        own.sort(key=lambda row: str(row["utt_id"]))
        return bootstrap.corpus(self.name, [row[output] for row in own], [row[expected] for row in own], lang)
