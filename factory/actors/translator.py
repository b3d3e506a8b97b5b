"""Translate units, or continuous speech, into the other language n times and back again, in one engine."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

import pyarrow as pa

from factory.actors.base import RowActor
from factory.actors.round_trip import RoundTrip, TranslationJob, choose_back_variants
from factory.models.engine import Engine, EngineConfig, Sampling
from factory.recipe.sections import TranslatorConfig
from schemas.audio import SAMPLE_RATE
from schemas.datasets import OK, SCORED, SKIPPED, Candidate, Row
from schemas.sequences import EOSP, SOSP, Variant, is_unit, tag, unit_token

if TYPE_CHECKING:
    from factory.actors.hearing import Recordings


class Translator(RowActor):
    """A policy that writes n candidates in `tgt_lang` for each utterance and translates each valid candidate back.

    Rows in: the columns of UNITS, and `tgt_lang`; for a policy of continuous speech also `audio`, and no units. Rows
    out: SCORED without scores. A candidate that is no translation (its `finish` is a reason of
    `schemas.sequences.parse`, `length`, `repetition` or `too_long`) has no back-translation. A back-translation whose
    prompt does not fit into the context has the finish `too_long`.

    With a `unit_temperature` the texts are sampled first, and candidates of an utterance with the same text share units
    and back-translation. If texts are translated back as well, only the texts that `TranslationJob.speak_by` chooses
    are spoken, because the others cannot be in a pair; those have the finish `unspoken`.

    A row is skipped with `no_units`, `unknown_unit`, `unknown_lang`, `same_lang` or `too_long`, and a recording that
    cannot be used with its own reason. The rows of a batch, their order and the seed determine the candidates: a batch
    that runs again gives the same ones, an utterance in another batch gives others.
    """

    schema: ClassVar[pa.Schema] = SCORED

    def __init__(self, policy: str, config: TranslatorConfig, job: TranslationJob, engine: EngineConfig) -> None:
        """Load the policy.

        Args:
            policy: a Hugging Face folder, or another name for `factory.models.weights.resolve`; with `job.recordings`
                that of a speech language model, or of an audio LLM (`job.chats`).
            config: how candidates and back-translations are sampled.
            job: what is written.
            engine: how vLLM computes.

        Raises:
            WeightsError: the policy was not trained for a variant of the job.
            VLLMValidationError: vLLM refuses a value of `config`.
        """
        self.config, self.job = config, job
        variants = {job.variant, job.text_variant, *choose_back_variants(config, job)}
        tokens = [tag(variant) for variant in Variant if variant in variants]
        self.hearing, self.engine = _load(policy, job, engine, tokens)
        for temperature in (config.temperature, config.unit_temperature or 0.0, config.back_translation_temperature):
            sampling = Sampling(temperature, config.top_p, config.top_k, config.max_tokens)
            self.engine.params(sampling, prompt_length=1)  # raises here once, not for every row

    def process(self, rows: list[Row]) -> list[Row]:
        """Return the rows with their candidates, or with the reason why they have none."""
        heard = self.hearing(rows) if self.hearing else rows
        problems = {index: problem for index, row in enumerate(heard) if (problem := self._find_problem(row))}
        trip = self.prepare({index: row for index, row in enumerate(heard) if index not in problems})
        trip.on_finished = self.on_finished
        candidates = trip.run(self.engine, self._batch_seed(rows))
        for index in trip.rows.keys() - candidates.keys():
            problems[index] = f"too_long: {_measure(heard[index])} do not fit into {self.engine.context} tokens"
        return [_scored_row(row, problems.get(index), candidates.get(index)) for index, row in enumerate(heard)]

    def prepare(self, rows: Mapping[int, Row]) -> RoundTrip:
        """Return the round trip of one batch; `rows` holds the utterances that can be translated, by their index."""
        return RoundTrip(rows, self.config, self.job)

    def release(self) -> None:
        """Free the memory of the engine (the GPU's as well)."""
        self.engine.release()

    def _find_problem(self, row: Row) -> str | None:
        if row.get("status", OK) != OK:  # its recording cannot be used
            return str(row["reason"])
        lang, target, units = row["lang"], row["tgt_lang"], row.get("units") or ()
        if not units and not self.hearing:
            return "no_units: there is nothing to translate"
        if unknown := [name for name in (lang, target) if not self.engine.knows(name)]:
            return f"unknown_lang: the policy has no language {unknown[0]}"
        if lang == target:
            return f"same_lang: source and target language are both {lang}"
        if missing := [unit for unit in units if unit_token(unit) not in self.engine.vocabulary]:
            return f"unknown_unit: the policy has no unit {missing[0]}"
        return None

    def _batch_seed(self, rows: list[Row]) -> int:
        """Return 31 bits that depend on the seed and the ids of the batch only."""
        content = repr((self.job.seed, [str(row["utt_id"]) for row in rows]))
        return int.from_bytes(hashlib.sha256(content.encode()).digest()[:4], "big") >> 1


def _load(
    policy: str, job: TranslationJob, config: EngineConfig, tokens: list[str]
) -> tuple[Recordings | None, Engine]:
    """Return what reads recordings (None: rows have units), and the engine."""
    if job.recordings is None:
        return None, Engine(policy, config, tokens)
    from factory.actors.hearing import Hearing, Recordings

    if job.chats:
        from factory.models.audio_engine import AudioEngine

        chatting = AudioEngine(policy, config)
        return Recordings(job.recordings, chatting.chat.check), chatting
    hearing = Hearing(policy, job.recordings, config.threads)
    engine = Engine(hearing.llm, config, tokens, hears=True)
    known = engine.vocabulary.items()  # it writes text only
    engine.banned |= {index for token, index in known if token in (SOSP, EOSP) or is_unit(token)}
    return hearing, engine


def _measure(row: Row) -> str:
    """Return how long the source of a row is, as a prompt has it."""
    speech = row.get("speech")
    if speech is None:
        return f"{len(row['units'])} units"
    if speech.ndim == 1:
        return f"{len(speech) / SAMPLE_RATE:.2f} s of speech and the instruction"
    return f"{len(speech)} embeddings of speech"


def _scored_row(row: Row, problem: str | None, candidates: list[Candidate] | None) -> Row:
    kept = {name: row.get(name) for name in ("utt_id", "tgt_lang", "text", "reference", "units", "durations")}
    status = row.get("status", OK)
    return kept | {
        "src_lang": row["lang"],
        "candidates": candidates,
        "status": SKIPPED if problem and status == OK else status,
        "reason": problem,
    }
