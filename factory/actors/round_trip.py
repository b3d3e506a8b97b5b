"""One batch of the Translator: each utterance is translated n times, and each valid candidate is translated back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from factory.actors.sampled_texts import SampledTexts, find_extremes
from factory.metrics import reconstruction
from factory.models.engine import Engine, Output, Request, Sampling
from factory.recipe.sections import EncoderConfig, TranslatorConfig
from schemas.datasets import OK, UNSPOKEN, Candidate, Row
from schemas.sequences import SOSP, Parsed, Variant, parse, prompt, text_of_completion, text_prompt

SEPARATE_TEXT = -1
"""Candidate index of the text that `TranslationJob.text_variant` requests."""


@dataclass(frozen=True)
class TranslationJob:
    """What a Translator writes, next to the TranslatorConfig that says how it samples."""

    variant: Variant  # how a candidate is requested
    back_variants: tuple[
        Variant, ...
    ]  # how units are translated back; text and units come from the first that has them
    text_variant: (
        Variant | None
    )  # requests one greedy text per utterance, for candidates without text; None: no request
    speak_by: tuple[
        str, ...
    ]  # metrics that choose the texts worth speaking, when texts are translated back; (): speak all
    seed: int  # of the sampling
    writes_back: bool = True  # write back-translations
    reconstructs: bool = False  # score candidates by the likelihood of the source text (factory.metrics.reconstruction)
    recordings: EncoderConfig | None = None  # which recordings a policy that hears takes; None: rows of units
    chats: bool = False  # the policy that hears is an audio LLM, which is asked in a chat


def choose_back_variants(config: TranslatorConfig, job: TranslationJob) -> tuple[Variant, ...]:
    """Return the variants that request a back-translation: text translation, or those of the job for units."""
    return (Variant.MT,) if config.back_translate == "text" else job.back_variants


class Key(NamedTuple):
    """Names one sequence of a batch."""

    row: int  # index of the row
    candidate: int  # index of the candidate, or SEPARATE_TEXT
    back: Variant | None = None  # variant of a back-translation; None: the candidate itself
    speaks: bool = False  # the units for a text that was sampled before
    reconstructs: bool = False  # the source text, given a candidate


class RoundTrip:
    """The translations and back-translations of one batch.

    The engine writes the candidates, and each back-translation joins the running batch when its candidate is finished.
    With a `unit_temperature` the engine first writes texts only. When an utterance has all its texts and their
    back-translations, units for the texts worth speaking join the batch; they go on where the text ended, and nothing
    of the prompt or the text is computed again.
    """

    def __init__(self, rows: Mapping[int, Row], config: TranslatorConfig, job: TranslationJob) -> None:
        """Prepare the requests.

        Args:
            rows: the utterances that can be translated, by their index in the batch (columns of UNITS, and `tgt_lang`).
            config: how to sample.
            job: what to write.
        """
        self.rows, self.config, self.job = rows, config, job
        self.back_variants = choose_back_variants(config, job)
        self.texts_first = config.unit_temperature is not None
        self.parsed: dict[Key, Parsed] = {}
        self.texts: SampledTexts[Key] = SampledTexts()
        self.reconstructions: dict[Key, float] = {}  # score of each candidate
        self.on_finished: Callable[[Row], None] = lambda _: None
        """Is called with each row whose sequences are all finished."""
        self.unfinished: Counter[int] = Counter()  # sequences of each row that the engine has yet to finish
        self.unspoken = set(rows) if self.texts_first else set()  # rows whose units were not requested

    def run(self, engine: Engine, seed: int) -> dict[int, list[Candidate]]:
        """Return the candidates of each row by its index; a row with a prompt longer than the context is left out."""
        requests = self._candidate_requests()
        self.unfinished = Counter(key.row for key in requests)
        outputs = engine.generate(requests, seed, self._follow_up) | self.texts.outputs
        too_long = {key.row for key in requests if outputs[key].finish == "too_long"}
        return {row: self._candidates(row, outputs) for row in self.rows if row not in too_long}

    def _sampling(self, temperature: float, until: str | None = None) -> Sampling:
        return Sampling(temperature, self.config.top_p, self.config.top_k, self.config.max_tokens, until)

    @property
    def _back_sampling(self) -> Sampling:
        return self._sampling(self.config.back_translation_temperature)

    def _candidate_requests(self) -> dict[Key, Request]:
        sampling = self._sampling(self.config.temperature, SOSP if self.texts_first else None)
        first = {row: request_source(source, self.job.variant, sampling) for row, source in self.rows.items()}
        requests = {Key(row, index): request for row, request in first.items() for index in range(self.config.n)}
        if (variant := self.job.text_variant) is None:
            return requests
        return requests | {
            Key(row, SEPARATE_TEXT, variant): request_source(source, variant, self._back_sampling)
            for row, source in self.rows.items()
        }

    def _follow_up(self, key: Key, output: Output) -> Mapping[Key, Request]:
        """Store an output, and request what follows: a back-translation, or the units of a row without open texts."""
        row, requests = key.row, self._store(key, output)
        self.unfinished[row] += len(requests) - 1
        if not self.unfinished[row] and row in self.unspoken:
            self.unspoken.remove(row)
            requests = self._unit_requests(row)
            self.unfinished[row] += len(requests)
        if not self.unfinished[row]:
            self.on_finished(self.rows[row])
        return requests

    def _store(self, key: Key, output: Output) -> dict[Key, Request]:
        """Store an output, and return the requests of the back-translation of a candidate."""
        if key.reconstructs:
            if output.finish == "given":
                value = reconstruction.score(output.logprob, output.num_tokens, self.rows[key.row]["lang"])
                self.reconstructions[key._replace(back=None, reconstructs=False)] = value
            return {}
        if key.back is not None:
            self.parsed[key] = read_output(key.back, output)
            return {}
        text_only = self.texts_first and not key.speaks and output.text.endswith(SOSP)
        if text_only and not self.texts.add(key.row, key, output):
            return {}
        if key.speaks:
            key = key._replace(speaks=False)
            output = self.texts.join(key, output)
        parsed = read_output(self.job.variant, output)
        self.parsed[key] = parsed._replace(reason=UNSPOKEN) if text_only and parsed.reason == "no_units" else parsed
        return self._back_requests(key)

    def _back_requests(self, key: Key) -> dict[Key, Request]:
        """Return what a valid candidate asks for: its back-translations, and the likelihood of the source text."""
        candidate, by_text = self.parsed[key], self.back_variants == (Variant.MT,)
        expected = UNSPOKEN if self.texts_first and by_text else OK  # a text goes back before its units are written
        if candidate.reason != expected or not (candidate.text if by_text else candidate.units):
            return {}
        prompts = {variant: self._back_prompt(key.row, variant, candidate) for variant in self.back_variants}
        requests = {
            key._replace(back=variant): Request(text, self._back_sampling)
            for variant, text in prompts.items()
            if self.job.writes_back
        }
        # a chain of thought does not begin with the text whose likelihood is wanted
        reader = next((variant for variant in prompts if variant.has_text and variant is not Variant.COT), None)
        if self.job.reconstructs and reader and (source := self.rows[key.row]["text"]):
            request = Request(prompts[reader], None, text_of_completion(reader, source))
            requests[key._replace(back=reader, reconstructs=True)] = request
        return requests

    def _back_prompt(self, row: int, variant: Variant, candidate: Parsed) -> str:
        src_lang, tgt_lang = self.rows[row]["tgt_lang"], self.rows[row]["lang"]
        if variant is Variant.MT:
            return text_prompt(src_lang, tgt_lang, candidate.text or "")
        return prompt(variant, src_lang, tgt_lang, candidate.units or ())

    def _unit_requests(self, row: int) -> dict[Key, Request]:
        """Request the units of the texts of a row that are worth speaking."""
        keys = (Key(row, index) for index in range(self.config.n))
        unspoken = [key for key in keys if key in self.parsed and self.parsed[key].reason == UNSPOKEN]
        sampling = self._sampling(self.config.unit_temperature or 0.0)
        start = request_source(self.rows[row], self.job.variant, sampling)
        return {
            key._replace(speaks=True): start._replace(prompt=start.prompt + self.texts.outputs[key].text)
            for key in self._worth_speaking(row, unspoken)
        }

    def _worth_speaking(self, row: int, keys: list[Key]) -> list[Key]:
        """Return the candidates that can be in a pair: those whose text comes back best or worst by a metric."""
        source = self.rows[row]
        if self.config.back_translate != "text" or not self.job.speak_by or source["text"] is None:
            return keys
        backs = {key: self.parsed.get(key._replace(back=Variant.MT)) for key in keys}
        texts = {key: (back.text if back else None) or "" for key, back in backs.items()}
        own = {key: self.reconstructions[key] for key in keys if key in self.reconstructions}
        extremes = find_extremes(texts, source["text"], source["lang"], self.job.speak_by, own)
        return [key for key in keys if key in extremes]

    def _candidates(self, row: int, outputs: Mapping[Key, Output]) -> list[Candidate]:
        keys = (Key(row, index) for index in range(self.config.n))
        return [self._candidate(self.texts.leaders.get(key, key), outputs) for key in keys]

    def _candidate(self, key: Key, outputs: Mapping[Key, Output]) -> Candidate:
        parsed = self.parsed[key]
        separate = self.parsed.get(Key(key.row, SEPARATE_TEXT, self.job.text_variant))
        keys = (key._replace(back=variant) for variant in self.back_variants)
        backs = [self.parsed[back] for back in keys if back in self.parsed]
        written: Candidate = {
            "text": parsed.text or (separate.text if separate else None),
            "units": parsed.units,
            "logprob": outputs[key].logprob,
            "finish": parsed.reason,
            "back_translation": next((back.text for back in backs if back.text), None),
            "back_translation_units": next((back.units for back in backs if back.units), None),
            "back_translation_finish": _first_reason(backs),
            "source_text": parsed.source_text,
        }
        if self.job.reconstructs:
            written["scores"] = {reconstruction.METRIC.name: self.reconstructions.get(key)}
        return written


def read_output(variant: Variant, output: Output) -> Parsed:
    """Parse an output; one that did not end with the end token (or `until`) is no translation."""
    parsed = parse(variant, output.text)
    return parsed if output.finish == "stop" else parsed._replace(reason=output.finish)


def request_source(row: Row, variant: Variant, sampling: Sampling) -> Request:
    """Return the request of a translation of a row, from its units or from its `speech`."""
    text = prompt(variant, row["lang"], row["tgt_lang"], row.get("units") or ())
    return Request(text, sampling, speech=row.get("speech"))


def _first_reason(backs: Iterable[Parsed]) -> str | None:
    """Return the first reason that is not `ok`; None if nothing was translated back."""
    reasons = [back.reason for back in backs]
    return next((reason for reason in reasons if reason != OK), OK) if reasons else None
