"""Scores candidates that others wrote: each is translated back, and compared with its source."""

from __future__ import annotations

from typing import ClassVar, Literal

import pyarrow as pa

from factory.actors.base import RowActor
from factory.actors.round_trip import read_output
from factory.metrics import METRICS
from factory.models.engine import Engine, EngineConfig, Output, Request, Sampling
from schemas.datasets import OK, SCORES, Row, Scores
from schemas.sequences import Variant, prompt, tag, text_prompt

REWARDED = pa.schema(
    [
        pa.field("utt_id", pa.string(), nullable=False),
        pa.field("src_lang", pa.string(), nullable=False),
        pa.field("tgt_lang", pa.string(), nullable=False),
        pa.field("source", pa.string()),
        pa.field("text", pa.string()),
        pa.field("units", pa.list_(pa.int32())),
        pa.field("back_translation", pa.string()),
        pa.field("finish", pa.string()),
        pa.field("scores", SCORES),
        pa.field("status", pa.string(), nullable=False),
        pa.field("reason", pa.string()),
    ]
)
"""A candidate and its scores.

- `utt_id`: a name of the candidate.
- `src_lang`, `tgt_lang`, `source`: language of the source and of the candidate, transcript of the source.
- `text`, `units`: the candidate as text and as cluster ids; one of them can be null.
- `back_translation`: its back-translation as text; null where there is none.
- `finish`: `ok`, or why there is no whole back-translation; the scores are then the worst ones.
- `scores`: of the back-translation against the source; null: not computed.
- `status`, `reason`: `failed` if the candidate could not be scored at all.
"""


class RoundTripScorer(RowActor):
    """A policy that translates candidates back into the source language, greedily, and the metrics of their texts.

    Rows in: REWARDED without the last five columns. Rows out: REWARDED.
    """

    schema: ClassVar[pa.Schema] = REWARDED

    def __init__(
        self,
        policy: str,
        variant: Variant,
        goes_back: Literal["speech", "text"],
        metrics: tuple[str, ...],
        max_tokens: int,
        engine: EngineConfig,
    ) -> None:
        """Load the policy.

        Args:
            policy: a Hugging Face folder, or another name for `factory.models.weights.resolve`.
            variant: how speech is translated back; it writes text.
            goes_back: what of a candidate is translated back.
            metrics: names of metrics that compare texts.
            max_tokens: longest back-translation, in tokens.
            engine: how vLLM computes.

        Raises:
            WeightsError: the policy was not trained for the back-translation.
        """
        self.variant = Variant.MT if goes_back == "text" else variant
        self.metrics = [METRICS[name] for name in metrics]
        self.sampling = Sampling(0.0, 1.0, 0, max_tokens)
        self.engine = Engine(policy, engine, tokens=[tag(self.variant)])

    def process(self, rows: list[Row]) -> list[Row]:
        """Return the rows with their scores; equal candidates of a batch are translated back once."""
        prompts = [self._write_prompt(row) for row in rows]
        requests = {text: Request(text, self.sampling) for text in prompts if text is not None}
        outputs = self.engine.generate(requests, seed=0)
        return [self._score(row, outputs.get(text or "")) for row, text in zip(rows, prompts, strict=True)]

    def release(self) -> None:
        """Free the memory of the engine (the GPU's as well)."""
        self.engine.release()

    def _write_prompt(self, row: Row) -> str | None:
        """Return the prompt of the back-translation; None for a candidate that lacks what goes back."""
        if self.variant is Variant.MT:
            return text_prompt(row["tgt_lang"], row["src_lang"], row["text"]) if row["text"] else None
        return prompt(self.variant, row["tgt_lang"], row["src_lang"], row["units"]) if row["units"] else None

    def _score(self, row: Row, output: Output | None) -> Row:
        if output is None:
            missing = "no_text" if self.variant is Variant.MT else "no_units"
            return row | {"finish": missing, "back_translation": None, "scores": self._worst()}
        parsed = read_output(self.variant, output)
        scored = {"finish": parsed.reason, "back_translation": parsed.text}
        if parsed.reason != OK or parsed.text is None:
            return row | scored | {"scores": self._worst()}
        back, lang = parsed.text, row["src_lang"]
        return row | scored | {"scores": {one.name: one.score(back, row["source"], lang) for one in self.metrics}}

    def _worst(self) -> Scores:
        return {metric.name: metric.worst for metric in self.metrics}
