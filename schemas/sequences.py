"""The written form of an utterance for the policy, and the parser of its output. No other module knows the templates.

A prompt is `<|task|><|source|><|target|><|sosp|>units<|eosp|>`; the completion depends on the variant (PROST-LLM,
section 2; the chain of thought is that of scheduled interleaved training, arXiv 2506.10299). Text translation (`mt`)
and text-to-speech (`tts`) have `text<|sep|>` in place of the units. Every word in `<|...|>` and every unit is one added
token of the tokenizer.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

SOSP, EOSP, SEP = "<|sosp|>", "<|eosp|>", "<|sep|>"
"""Start of speech, end of speech, separator of two texts."""
EOS, PAD, UNK = "<|eos|>", "<|pad|>", "<|unk|>"

_UNIT = re.compile(r"<\|u(\d+)\|>")
_TAG = re.compile(r"<\|[a-z]+\|>")
_PROMPT = re.compile(r"<\|([a-z0-9]+)\|><\|([a-z]+)\|><\|([a-z]+)\|>(.*)", re.DOTALL)


class Variant(StrEnum):
    """A task of the policy; its name is also the task tag of the prompt."""

    VANILLA = "vanilla"  # source units -> target units
    ASR = "asr"  # source units -> source text
    S2T = "s2t"  # source units -> target text
    COM = "com"  # chain of modality: source units -> target text, target units
    COT = "cot"  # chain of thought: source units -> source text, target text, target units
    MT = "mt"  # source text -> target text: a pretrained language model may know it, a small one has to learn it
    TTS = "tts"  # source text -> source units

    @property
    def reads_text(self) -> bool:
        """Return whether a prompt has text, not units."""
        return self in (Variant.MT, Variant.TTS)

    @property
    def has_text(self) -> bool:
        """Return whether a completion has target text (source text for ASR)."""
        return self not in (Variant.VANILLA, Variant.TTS)

    @property
    def translates(self) -> bool:
        """Return whether a round can use the variant to translate: it takes speech and gives a translation."""
        return self not in (Variant.ASR, Variant.MT, Variant.TTS)

    @property
    def has_units(self) -> bool:
        """Return whether a completion has target units (source units for TTS)."""
        return self in (Variant.VANILLA, Variant.COM, Variant.COT, Variant.TTS)


class Parsed(NamedTuple):
    """The parsed output of a policy.

    Attributes:
        text: Target text (source text for ASR), None where there is none.
        units: Target units as cluster ids (source units for TTS), None where there are none.
        source_text: Source text of a chain of thought.
        reason: `ok`, or the reason why the output is malformed; the other fields hold what could be read.
    """

    text: str | None
    units: list[int] | None
    source_text: str | None
    reason: str


class Asked(NamedTuple):
    """What a prompt asks for."""

    variant: Variant
    src_lang: str
    tgt_lang: str
    text: str
    """The text to translate, where the task reads one."""


def special_tokens(num_units: int, langs: Sequence[str], tasks: Collection[str] = ()) -> list[str]:
    """Return every added token of a policy, in the order of the token ids.

    Args:
        num_units: The size of the codebook.
        langs: ISO 639 codes of the languages.
        tasks: What the policy learns. Only a policy that learns TTS has its tag, as the last token: policies are made
            as they were before there was this task.
    """
    tags = map(tag, (*(variant for variant in Variant if variant is not Variant.TTS), *langs))
    units, added = map(unit_token, range(num_units)), [tag(Variant.TTS)] if Variant.TTS in tasks else []
    return [PAD, EOS, UNK, SOSP, EOSP, SEP, *tags, *units, *added]


def tag(name: str) -> str:
    """Return the token of a task (the name of a variant) or of a language."""
    return f"<|{name}|>"


def unit_token(unit: int) -> str:
    """Return the token of a unit (a cluster id)."""
    return f"<|u{unit}|>"


def is_unit(token: str) -> bool:
    """Return whether a token is the token of a unit."""
    return _UNIT.fullmatch(token) is not None


def speech(units: Sequence[int]) -> str:
    """Write units (cluster ids) as one speech segment: `<|sosp|><|u7|><|u1|><|eosp|>`."""
    return SOSP + "".join(map(unit_token, units)) + EOSP


def prompt(variant: Variant, src_lang: str, tgt_lang: str, units: Sequence[int]) -> str:
    """Write the prompt for a translation of speech, or for its transcript (ASR).

    Args:
        variant: The task, one that reads no text.
        src_lang: Language of the source.
        tgt_lang: Language of the translation; for ASR the language of the source.
        units: The source as cluster ids.

    Returns:
        `<|variant|><|src_lang|><|tgt_lang|>` and the speech segment.
    """
    return f"{tag(variant)}{tag(src_lang)}{tag(tgt_lang)}{speech(units)}"


def text_prompt(src_lang: str, tgt_lang: str, text: str, variant: Variant = Variant.MT) -> str:
    """Write the prompt for the translation of a text, or for its speech (TTS).

    Args:
        src_lang: Language of the text.
        tgt_lang: Language of the translation; for TTS the language of the text.
        text: The text.
        variant: The task, one that reads text.

    Returns:
        `<|variant|><|src_lang|><|tgt_lang|>text<|sep|>`.
    """
    return f"{tag(variant)}{tag(src_lang)}{tag(tgt_lang)}{text}{SEP}"


def completion(
    variant: Variant, text: str | None = None, units: Sequence[int] = (), source_text: str | None = None
) -> str:
    """Write the answer that a policy is trained to give, without the end token.

    Args:
        variant: The task; it decides which of the others are written.
        text: Target text (source text for ASR).
        units: Target units as cluster ids (source units for TTS).
        source_text: Source text, for a chain of thought.

    Returns:
        `[source_text<|sep|>][text][<|sosp|>units<|eosp|>]`.

    Raises:
        ValueError: A text that the variant needs is None.
    """
    if (variant.has_text and text is None) or (variant is Variant.COT and source_text is None):
        raise ValueError(
            f"a completion of variant {variant} needs its text; got text={text!r}, source_text={source_text!r}"
        )
    head = f"{source_text}{SEP}" if variant is Variant.COT else ""
    return head + (text or "" if variant.has_text else "") + (speech(units) if variant.has_units else "")


def text_of_completion(variant: Variant, text: str) -> str:
    """Write the start of a completion up to the token that ends its text.

    Args:
        variant: The task, one with text and without source text.
        text: Target text (source text for ASR).

    Returns:
        `text<|sosp|>` if units follow, else `text<|eos|>`.
    """
    return text + (SOSP if variant.has_units else EOS)


def task(text: str) -> Variant:
    """Return the task of a prompt; raise ValueError for a text that is no prompt."""
    return Variant(text.removeprefix("<|").partition("|>")[0])


def read_prompt(text: str) -> Asked:
    """Return what a prompt asks for; raise ValueError for a text that is no prompt."""
    found = _PROMPT.fullmatch(text)
    if found is None:
        raise ValueError(f"not a prompt: {text[:80]!r}")
    name, src_lang, tgt_lang, source = found.groups()
    variant = Variant(name)
    return Asked(variant, src_lang, tgt_lang, source.removesuffix(SEP) if variant.reads_text else "")


def words(text: str) -> str:
    """Return the words of a text: all of it before the first token, which a malformed output may have in its text."""
    return text.partition("<|")[0].strip()


def parse(variant: Variant, output: str) -> Parsed:
    """Parse the output of a policy. Any text can be parsed; a malformed one gets a reason.

    Args:
        variant: The task of the prompt.
        output: The output, without its end token.

    Returns:
        The text and units of the output, and `ok` or a reason:
        `empty` (no output), `no_source_text` (a chain of thought without it), `no_text`, `text_before_units` (a text
        that the variant does not have), `tag_in_text` (a token inside a text, or speech that the variant does not
        have), `no_units` (no speech segment or an empty one), `unclosed` (a speech segment without end),
        `text_in_units` (anything but units inside it), `after_units` (anything after it).
    """
    if not output.strip():
        return Parsed(None, None, None, "empty")
    source_text, rest = None, output
    if variant is Variant.COT:
        head, separator, rest = output.partition(SEP)
        if not separator or not head.strip():
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


def find_banned(added: Mapping[str, int], tags: Collection[str]) -> set[int]:
    """Return the ids of the added tokens that no output may hold: tags and padding, which are for prompts.

    Args:
        added: the added tokens of a policy and their ids.
        tags: the tags of the prompts; a chain of thought (`<|cot|>`) has a separator between its two texts.
    """
    written = {EOS, SOSP, EOSP, *([SEP] if tag(Variant.COT) in tags else [])}
    return {index for token, index in added.items() if token not in written and not is_unit(token)}
