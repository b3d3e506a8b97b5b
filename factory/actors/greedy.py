"""Translate test utterances greedily, with units or as text alone, and with several policies in one process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import groupby
from typing import ClassVar, NamedTuple

import pyarrow as pa

from factory.actors.base import RowActor, to_table
from factory.actors.round_trip import RoundTrip, TranslationJob, read_output, request_source
from factory.actors.translator import Translator
from factory.models.engine import Engine, EngineConfig, Output, Request, Sampling
from factory.recipe.sections import TranslatorConfig
from schemas.datasets import OK, SCORED, UNSPOKEN, UTTERANCE, Candidate, Row
from schemas.sequences import SOSP, Parsed, Variant, text_prompt

POLICY, SPOKEN, RECORDING = "policy", "spoken", "audio"
"""Columns of the rows: the policy that translates a row, whether its speech is judged, and the source's recording."""
TRANSLATED = pa.schema(
    [*SCORED, pa.field(POLICY, pa.string()), pa.field(SPOKEN, pa.bool_()), UTTERANCE.field(RECORDING)]
)
"""SCORED with one candidate and without scores, and the columns `policy`, `spoken` and `audio` of its row.

`audio` is null where nothing compares the speech with it.
"""


class GreedyTranslator(RowActor):
    """Policies that write one greedy candidate for each utterance: with units where it is `spoken`, else its text.

    A text alone takes a tenth of the tokens, because the engine stops where the speech would begin. Such a candidate
    has the finish `unspoken`, and it is translated back if texts are. A policy is loaded when a row names it, and the
    one before is released, so that all policies of an evaluation share the start of one process.

    Rows in: the columns of UNITS, and `tgt_lang`, `policy`, `spoken`; `audio` for a policy that hears, and for measures
    of a spoken row. Rows out: TRANSLATED.
    """

    schema: ClassVar[pa.Schema] = TRANSLATED

    def __init__(
        self, policies: Mapping[str, str], config: TranslatorConfig, job: TranslationJob, engine: EngineConfig
    ) -> None:
        """Load the first policy.

        Args:
            policies: the weights of each policy by its name.
            config: the limits of an output, and what is translated back; nothing is sampled.
            job: what is written.
            engine: how vLLM computes.
        """
        self.policies, self.job, self.engine = dict(policies), job, engine
        self.config = replace(config, n=1, temperature=0.0, back_translation_temperature=0.0, unit_temperature=None)
        self.loaded = next(iter(self.policies))
        self.translator = self._load(self.loaded)

    def __call__(self, table: pa.Table) -> pa.Table:
        """Translate the rows of each policy in turn. A policy that cannot be loaded raises its error."""
        parts, start = [to_table([], self.schema)], 0
        for name, rows in groupby(table[POLICY].to_pylist()):
            count = len(list(rows))
            parts.append(self._translate(str(name), table.slice(start, count)))
            start += count
        return pa.concat_tables(parts)

    def process(self, rows: list[Row]) -> list[Row]:
        """Return the rows with their candidate, or with the reason why they have none."""
        self.translator.on_finished = self.on_finished
        translated = self.translator.process(rows)
        return [
            new | {POLICY: old[POLICY], SPOKEN: old[SPOKEN], RECORDING: old.get(RECORDING) if old[SPOKEN] else None}
            for new, old in zip(translated, rows, strict=True)
        ]

    def release(self) -> None:
        """Free the memory of the engine (the GPU's as well)."""
        self.translator.release()

    def _translate(self, policy: str, table: pa.Table) -> pa.Table:
        if policy != self.loaded:
            self.release()
            self.translator, self.loaded = self._load(policy), policy
        return super().__call__(table)

    def _load(self, policy: str) -> Translator:
        return _TestTranslator(self.policies[policy], self.config, self.job, self.engine)


class _TestTranslator(Translator):
    """A Translator that writes units only for rows that are `spoken`."""

    def prepare(self, rows: Mapping[int, Row]) -> RoundTrip:
        return _TestTrip(rows, self.config, self.job)


class _Key(NamedTuple):
    """Names one text of a batch."""

    row: int  # index of the row
    is_back: bool = False  # a back-translation


class _TestTrip(RoundTrip):
    """A round trip for the rows that are `spoken`, and a text for the others."""

    def run(self, engine: Engine, seed: int) -> dict[int, list[Candidate]]:
        """Return the only candidate of each row by its index; a row whose prompt is too long is left out."""
        spoken = {index: row for index, row in self.rows.items() if row[SPOKEN]}
        trip = RoundTrip(spoken, self.config, self.job)
        trip.on_finished = self.on_finished
        candidates = trip.run(engine, seed)
        unspoken = {_Key(index): self._request_text(row) for index, row in self.rows.items() if not row[SPOKEN]}
        outputs = engine.generate(unspoken, seed, self._translate_back)
        written = [key for key in unspoken if outputs[key].finish != "too_long"]
        return candidates | {key.row: [self._make_candidate(key, outputs)] for key in written}

    @property
    def _text_variant(self) -> Variant:
        """How a text is requested; a policy that writes no text has only rows that are spoken."""
        return self.job.text_variant or self.job.variant

    def _request_text(self, row: Row) -> Request:
        variant = self._text_variant
        return request_source(row, variant, self._limit(SOSP if variant.has_units else None))

    def _limit(self, until: str | None = None) -> Sampling:
        return Sampling(0.0, self.config.top_p, self.config.top_k, self.config.max_tokens, until)

    def _translate_back(self, key: _Key, output: Output) -> Mapping[_Key, Request]:
        """Request the back-translation of a finished text, if texts are translated back."""
        text, row = self._read_text(output), self.rows[key.row]
        if key.is_back or self.config.back_translate != "text" or text.reason not in (OK, UNSPOKEN):
            self.on_finished(row)
            return {}
        back = text_prompt(row["tgt_lang"], row["lang"], text.text or "")
        return {key._replace(is_back=True): Request(back, self._limit())}

    def _read_text(self, output: Output) -> Parsed:
        """Parse a text; one that ends where its speech would begin, or that replaces speech, is `unspoken`."""
        parsed = read_output(self._text_variant, output)
        ends = parsed.reason == "no_units" and output.text.endswith(SOSP)
        replaces_speech = parsed.reason == OK and self.job.variant.has_units
        return parsed._replace(reason=UNSPOKEN) if ends or replaces_speech else parsed

    def _make_candidate(self, key: _Key, outputs: Mapping[_Key, Output]) -> Candidate:
        text, output = self._read_text(outputs[key]), outputs.get(key._replace(is_back=True))
        back = None if output is None else read_output(Variant.MT, output)
        return {
            "text": text.text,
            "units": None,
            "logprob": outputs[key].logprob,
            "finish": text.reason,
            "back_translation": back.text if back else None,
            "back_translation_units": None,
            "back_translation_finish": back.reason if back else None,
        }
