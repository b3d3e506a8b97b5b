"""Translate units into the other language n times and back again, in one engine and one running batch."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal, NamedTuple

import pyarrow as pa

from factory.actors.base import RowActor
from factory.actors.sampled_texts import Texts, extremes
from factory.models.device import WantedDtype
from factory.models.engine import Ask, Engine, Output, Sampling
from schemas.datasets import OK, SCORED, SKIPPED, UNSPOKEN, Row
from schemas.sequences import EOSP, SEP, SOSP, Parsed, Variant, is_unit, parse, prompt, tag, text_prompt, unit_token

TEXT = -1
"""The place of a text that was asked for by itself, beside the places of the candidates."""


class _Key(NamedTuple):
    """Which sequence of a batch: candidate of a row, and the variant that its way back is asked with (None: the way there)."""

    row: int
    candidate: int
    back: Variant | None = None
    spoken: bool = False  # the units of a text that was sampled by itself


class Translator(RowActor):
    """A policy that gives every utterance n candidates in `tgt_lang` and translates each candidate's units back at once.

    Rows in: the columns of UNITS and `tgt_lang`; rows out: SCORED, with all scores null. Both directions fill the same batches: a
    candidate's way back is queued in the step in which the candidate ends. A candidate that is no translation (`finish` is a reason of
    `schemas.sequences.parse`, `length` or `repetition`) has no way back through speech; its `back_*` are null. A way back whose prompt
    does not fit into the context ends with `too_long`.

    Rows are skipped with `no_units`, `unknown_unit`, `unknown_lang`, `same_lang` or `too_long`. What a batch gives is fixed by its rows,
    their order and the seed, so a batch that runs again gives the same; the same utterance in another batch gives other candidates.
    """

    schema: ClassVar[pa.Schema] = SCORED

    def __init__(
        self,
        *,
        policy: str,
        variant: str = "com",
        n: int = 2,
        temperature: float = 1.0,
        top_p: float = 1.0,
        top_k: int = 0,
        max_tokens: int | None = None,
        unit_temperature: float | None = None,
        back: bool = True,
        back_variant: str | list[str] | None = None,
        text_variant: str | None = None,
        back_translate: Literal["speech", "text"] = "speech",
        speak_by: Sequence[str] | None = None,
        back_translation_temperature: float = 0.0,
        seed: int = 0,
        threads: int = 1,
        kv_cache_gib: int = 2,
        dtype: WantedDtype = "auto",
        gpu_memory_utilization: float = 0.9,
        max_model_len: int | None = None,
    ) -> None:
        """Load `policy`, a Hugging Face folder.

        With a `unit_temperature` a candidate's text is sampled by itself and then spoken at that temperature, once for all candidates of an
        utterance with the same text, which share their way back too. With `back_translate` "text" a candidate's text is translated back instead
        of its units (task mt), which gives a text alone; the variant must write one. With both, and metrics to `speak_by`, only texts that
        come back best or worst of their utterance by one of these are spoken: the others can hardly stand in a pair, and have the finish
        `unspoken`. `back_variant` is what the way back is asked with (default: `variant`); of several, such as ["vanilla", "s2t"], each is
        asked, and text and units come from the first that gives them. `text_variant` is asked, greedily, for the text of candidates that
        have none of their own. `back=False` leaves the way back out. `max_tokens` of None is 64 more than twice the prompt's length. See
        Engine for the rest.

        Raises ValueError when a variant is unknown to the code or to the policy's tokenizer or gives no units to translate back, and when
        vLLM refuses the sampling (it wants a temperature between 0 and 2).
        """
        self.variant = Variant(variant)
        self.back_variants = _back_variants(self.variant, back_translate, back_variant) if back else []
        self.text_variant = Variant(text_variant) if text_variant else None
        self.n, self.seed, self.speak_by = n, seed, speak_by if back_translate == "text" else None
        self.sampling = Sampling(temperature, top_p, top_k, max_tokens)
        self.speaking = None if unit_temperature is None else Sampling(unit_temperature, top_p, top_k, max_tokens)
        if self.speaking and not (self.variant.has_text and self.variant.has_units):
            raise ValueError(
                f"variant {self.variant} does not write a text before its units: leave unit_temperature out"
            )
        self.back_sampling = Sampling(back_translation_temperature, top_p, top_k, max_tokens)
        self.engine = Engine(
            policy,
            usable=_usable(self._variants()),
            dtype=dtype,
            seed=seed,
            threads=threads,
            kv_cache_gib=kv_cache_gib,
            gpu_memory_utilization=gpu_memory_utilization,
            max_model_len=max_model_len,
        )
        self._check(policy)

    def process(self, rows: list[Row]) -> list[Row]:
        """Return the rows with their candidates, or with the reason why there are none."""
        problems = {i: problem for i, row in enumerate(rows) if (problem := self._problem(row))}
        parsed: dict[_Key, Parsed] = {}
        texts: Texts[_Key] = Texts()

        def then(key: _Key, output: Output) -> Mapping[_Key, Ask]:
            """Read an output, and ask for the way back of a translation, or of a new text."""
            text_alone = self.speaking and not key.back and not key.spoken and output.text.endswith(SOSP)
            if text_alone and not texts.first(key.row, key, output):
                return {}
            if key.spoken:
                key = key._replace(spoken=False)
                output = texts.whole(key, output)
            there = self.read(key.back or self.variant, output)
            parsed[key] = there._replace(reason=UNSPOKEN) if text_alone and there.reason == "no_units" else there
            return {} if key.back else self._way_back(key, rows[key.row], parsed[key])

        seed = self._batch_seed([str(row["utt_id"]) for row in rows])
        asks = self._ways_there({i: row for i, row in enumerate(rows) if i not in problems})
        outputs = self.engine.generate(asks, seed, then)
        if self.speaking:
            outputs |= self.engine.generate(self._speech(rows, parsed, texts), seed, then) | texts.outputs
        for key in asks:
            if outputs[key].finish == "too_long":
                problems[key.row] = (
                    f"too_long: {len(rows[key.row]['units'])} units do not fit into {self.engine.context} tokens"
                )
        found = {i: self._candidates(i, outputs, parsed, texts.leaders) for i in range(len(rows)) if i not in problems}
        return [_row(row, problems.get(i), found.get(i)) for i, row in enumerate(rows)]

    def translate(self, prompts: list[str], *, n: int = 1, sampling: Sampling | None = None) -> list[list[Output]]:
        """Return n outputs for each prompt (made by `schemas.sequences.prompt`), greedy by default, without a way back.

        The outputs are not parsed; one whose prompt is too long has the finish `too_long`, none raises.
        """
        asks = {
            _Key(i, candidate): Ask(text, sampling or Sampling())
            for i, text in enumerate(prompts)
            for candidate in range(n)
        }
        outputs = self.engine.generate(asks, self._batch_seed(prompts))
        return [[outputs[_Key(i, candidate)] for candidate in range(n)] for i in range(len(prompts))]

    def read(self, variant: Variant, output: Output) -> Parsed:
        """Parse an output; one that did not end by itself is no translation, whatever it holds."""
        parsed = parse(variant, output.text)
        return parsed if output.finish == "stop" else parsed._replace(reason=output.finish)

    def release(self) -> None:
        """Give the engine's memory back (the GPU's as well)."""
        self.engine.release()

    def _variants(self) -> list[Variant]:
        return [self.variant, *self.back_variants, *([self.text_variant] if self.text_variant else [])]

    def _check(self, policy: str) -> None:
        for token in (SOSP, EOSP, *map(tag, self._variants())):
            if token not in self.engine.vocabulary:
                raise ValueError(f"the tokenizer in {policy} has no {token}: was the policy trained for this variant?")
        for sampling in (self.sampling, self.back_sampling):
            self.engine.params(sampling, prompt_length=1)  # raises now, not for every row

    def _problem(self, row: Row) -> str | None:
        vocabulary, lang, target, units = self.engine.vocabulary, row["lang"], row["tgt_lang"], row["units"]
        if not units:
            return "no_units: there is nothing to translate"
        if unknown := [name for name in (lang, target) if tag(name) not in vocabulary]:
            return f"unknown_lang: the policy has no language {unknown[0]}"
        if lang == target:
            return f"same_lang: source and target language are both {lang}"
        if missing := [unit for unit in units if unit_token(unit) not in vocabulary]:
            return f"unknown_unit: the policy has no unit {missing[0]}"
        return None

    def _ways_there(self, rows: Mapping[int, Row]) -> dict[_Key, Ask]:
        asks = {
            i: Ask(prompt(self.variant, row["lang"], row["tgt_lang"], row["units"]), self.sampling)
            for i, row in rows.items()
        }
        if self.speaking:
            asks = {i: ask._replace(sampling=self.sampling._replace(until=SOSP)) for i, ask in asks.items()}
        there = {_Key(i, candidate): ask for i, ask in asks.items() for candidate in range(self.n)}
        name = self.text_variant
        if name is None:
            return there
        texts = {i: prompt(name, row["lang"], row["tgt_lang"], row["units"]) for i, row in rows.items()}
        return there | {_Key(i, TEXT, name): Ask(text, self.back_sampling) for i, text in texts.items()}

    def _speech(self, rows: list[Row], parsed: Mapping[_Key, Parsed], texts: Texts[_Key]) -> dict[_Key, Ask]:
        """Ask for the units of the texts that are worth it."""
        waiting: dict[int, list[_Key]] = {}
        for key, there in parsed.items():
            if there.reason == UNSPOKEN:
                waiting.setdefault(key.row, []).append(key)
        asks = {}
        for i, keys in waiting.items():
            row = rows[i]
            head = prompt(self.variant, row["lang"], row["tgt_lang"], row["units"])
            for key in self._worth_speaking(row, sorted(keys), parsed):
                asks[key._replace(spoken=True)] = Ask(head + texts.outputs[key].text, self.speaking or self.sampling)
        return asks

    def _worth_speaking(self, row: Row, keys: list[_Key], parsed: Mapping[_Key, Parsed]) -> list[_Key]:
        if not self.speak_by or row["text"] is None:
            return keys
        backs = {key: parsed[key._replace(back=Variant.MT)].text or "" for key in keys}
        spoken = extremes(backs, row["text"], row["lang"], self.speak_by)
        return [key for key in keys if key in spoken]

    def _way_back(self, key: _Key, row: Row, there: Parsed) -> dict[_Key, Ask]:
        by_text = self.back_variants == [Variant.MT]
        before_speaking = self.speaking and by_text
        if there.reason != (UNSPOKEN if before_speaking else OK) or not (there.text if by_text else there.units):
            return {}
        home = row["tgt_lang"], row["lang"]
        asked = {
            variant: text_prompt(*home, there.text or "")
            if variant is Variant.MT
            else prompt(variant, *home, there.units or ())
            for variant in self.back_variants
        }
        return {_Key(key.row, key.candidate, variant): Ask(text, self.back_sampling) for variant, text in asked.items()}

    def _candidates(
        self, i: int, outputs: Mapping[_Key, Output], parsed: Mapping[_Key, Parsed], leaders: Mapping[_Key, _Key]
    ) -> list[dict[str, Any]]:
        candidates = []
        asked = parsed.get(_Key(i, TEXT, self.text_variant)) if self.text_variant else None
        for key in (leaders.get(key, key) for key in (_Key(i, candidate) for candidate in range(self.n))):
            there = parsed[key]
            ways = [parsed[way] for variant in self.back_variants if (way := key._replace(back=variant)) in parsed]
            candidates.append(
                {
                    "text": there.text or (asked.text if asked else None),
                    "units": there.units,
                    "logprob": outputs[key].logprob,
                    "finish": there.reason,
                    "back_translation": next((way.text for way in ways if way.text), None),
                    "back_translation_units": next((way.units for way in ways if way.units), None),
                    "back_translation_finish": next((way.reason for way in ways if way.reason != "ok"), "ok")
                    if ways
                    else None,
                }
            )
        return candidates

    def _batch_seed(self, names: list[str]) -> int:
        """Return 31 bits that stand for the actor's seed and the batch, whatever the actor did before."""
        return int.from_bytes(hashlib.sha256(repr((self.seed, names)).encode()).digest()[:4], "big") >> 1


def _back_variants(there: Variant, back_translate: str, back: str | list[str] | None) -> list[Variant]:
    if back_translate == "text":
        if not there.has_text:
            raise ValueError(
                f"variant {there} writes no text that could be translated back: choose another or back_translate='speech'"
            )
        return [Variant.MT]
    if not there.has_units:
        raise ValueError(
            f"variant {there} gives no units that could be translated back: choose another or set back=False"
        )
    return [Variant(name) for name in ([back] if isinstance(back, str) else back or [there])]


def _usable(variants: list[Variant]) -> Callable[[str], bool]:
    """Return which added tokens an output may hold; tags, padding and the like are never drawn."""
    wrappers = {SOSP, EOSP, *([SEP] if Variant.COT in variants else [])}
    return lambda token: token in wrappers or is_unit(token)


def _row(row: Row, problem: str | None, candidates: list[dict[str, Any]] | None = None) -> Row:
    return {
        **{name: row.get(name) for name in ("utt_id", "tgt_lang", "text", "reference", "units", "durations")},
        "src_lang": row["lang"],
        "candidates": candidates,
        "status": SKIPPED if problem else OK,
        "reason": problem,
    }
