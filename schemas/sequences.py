"""How an utterance is written for the policy, and how its output is read: the only place that knows the templates.

A prompt is `<|task|><|source|><|target|><|sosp|>units<|eosp|>`; the completion depends on the variant (PROST-LLM, section 2; the chain
of thought is that of scheduled interleaved training, arXiv 2506.10299). Text translation (`mt`) has `text<|sep|>` in place of the units.
Every bracketed word and every unit is one added token.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

SOSP, EOSP, SEP = "<|sosp|>", "<|eosp|>", "<|sep|>"
EOS, PAD, UNK = "<|eos|>", "<|pad|>", "<|unk|>"

_UNIT = re.compile(r"<\|u(\d+)\|>")
_TAG = re.compile(r"<\|[a-z]+\|>")


class Variant(StrEnum):
    """What a policy is asked for; the name is also the task tag in the prompt."""

    VANILLA = "vanilla"  # source units -> target units
    ASR = "asr"  # source units -> source text
    S2T = "s2t"  # source units -> target text
    COM = "com"  # chain of modality: source units -> target text, target units
    COT = "cot"  # chain of thought: source units -> source text, target text, target units
    MT = "mt"  # source text -> target text: what a pretrained language model brings along and a small one has to learn

    @property
    def has_text(self) -> bool:
        """Whether a completion holds target text (source text for ASR)."""
        return self is not Variant.VANILLA

    @property
    def translates(self) -> bool:
        """Whether a policy can be asked for it in a round: speech goes in, a translation comes out."""
        return self not in (Variant.ASR, Variant.MT)

    @property
    def has_units(self) -> bool:
        """Whether a completion holds target units."""
        return self in (Variant.VANILLA, Variant.COM, Variant.COT)


class Parsed(NamedTuple):
    """A policy's output, read. `reason` is `ok`, or says why the output is no translation; what could be read is kept."""

    text: str | None
    units: list[int] | None
    source_text: str | None
    reason: str


def special_tokens(num_units: int, langs: Sequence[str]) -> list[str]:
    """Return every added token of a policy with `num_units` units, in the order of their ids."""
    tags = map(tag, (*Variant, *langs))
    return [PAD, EOS, UNK, SOSP, EOSP, SEP, *tags, *(unit_token(unit) for unit in range(num_units))]


def tag(name: str) -> str:
    """Return the token of a task (a variant's name) or a language."""
    return f"<|{name}|>"


def unit_token(unit: int) -> str:
    """Return the token of one unit."""
    return f"<|u{unit}|>"


def is_unit(token: str) -> bool:
    """Whether a token is a unit's."""
    return _UNIT.fullmatch(token) is not None


def speech(units: Sequence[int]) -> str:
    """Write units as one speech segment."""
    return SOSP + "".join(map(unit_token, units)) + EOSP


def prompt(variant: Variant, src_lang: str, tgt_lang: str, units: Sequence[int]) -> str:
    """Write the prompt that asks for a translation (ASR: a transcript) of the source units."""
    return f"{tag(variant)}{tag(src_lang)}{tag(tgt_lang)}{speech(units)}"


def text_prompt(src_lang: str, tgt_lang: str, text: str) -> str:
    """Write the prompt that asks for the translation of a text."""
    return f"{tag(Variant.MT)}{tag(src_lang)}{tag(tgt_lang)}{text}{SEP}"


def completion(
    variant: Variant, text: str | None = None, units: Sequence[int] = (), source_text: str | None = None
) -> str:
    """Write the answer that the policy is trained to give, without the end token.

    Raises ValueError when the variant needs a text that is not given.
    """
    if (variant.has_text and text is None) or (variant is Variant.COT and source_text is None):
        raise ValueError(
            f"a completion of variant {variant} needs its text; got text={text!r}, source_text={source_text!r}"
        )
    head = f"{source_text}{SEP}" if variant is Variant.COT else ""
    return head + (text or "" if variant.has_text else "") + (speech(units) if variant.has_units else "")


def task(text: str) -> Variant:
    """Return what a prompt asks for; raises ValueError for a text that is no prompt."""
    return Variant(text.removeprefix("<|").partition("|>")[0])


def words(text: str) -> str:
    """Return what a text says, up to where a malformed output puts speech into it."""
    return text.partition("<|")[0].strip()


def parse(variant: Variant, output: str) -> Parsed:
    """Read a policy's output (without its end token); never raises.

    Reasons: `empty`, `no_source_text`, `no_text`, `no_units` (no or an empty speech segment), `unclosed` (it never ends),
    `text_in_units` (anything but units inside it), `after_units` (anything behind it), `tag_in_text` (a token that is no text).
    """
    if not output.strip():
        return Parsed(None, None, None, "empty")
    source_text, rest = None, output
    if variant is Variant.COT:
        head, found, rest = output.partition(SEP)
        if not found or not head.strip():
            return Parsed(None, None, None, "no_source_text")
        source_text = head.strip()
    text, _, segment = rest.partition(SOSP)
    units, units_reason = _read_units(segment) if variant.has_units else (None, "ok")
    return Parsed(text.strip() or None, units, source_text, _text_reason(variant, text, segment) or units_reason)


def _text_reason(variant: Variant, text: str, segment: str) -> str | None:
    if variant.has_text and not text.strip():
        return "no_text"
    if not variant.has_text and text.strip():
        return "text_before_units"
    if _TAG.search(text) or _UNIT.search(text) or (segment and not variant.has_units):
        return "tag_in_text"
    return None


def _read_units(segment: str) -> tuple[list[int] | None, str]:
    body, closed, after = segment.partition(EOSP)
    units = [int(unit) for unit in _UNIT.findall(body)]
    if _UNIT.sub("", body).strip():
        return units or None, "text_in_units"
    if not units:
        return None, "no_units"
    if not closed:
        return units, "unclosed"
    return units, "after_units" if after.strip() else "ok"
