"""Every completion reads back as what was written, and no output of a policy makes the reader raise."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.sequences import EOS, EOSP, SEP, SOSP, Parsed, Variant, completion, parse, prompt, special_tokens
from tests.toys import tiny_tokenizer

TEXTS = st.text(st.characters(codec="utf-8"), min_size=1).map(str.strip).filter(lambda text: text and "<|" not in text)
UNITS = st.lists(st.integers(0, 999), min_size=1)
PIECES = st.sampled_from(
    [*special_tokens(5, ["fr", "en"]), "<|u", "|>", "<|", "où", " ", "\n", "<|u-1|>", "<|u99999999999999999999|>"]
)


@given(st.sampled_from(Variant), TEXTS, UNITS, TEXTS)
def test_a_completion_reads_back_as_what_was_written(
    variant: Variant, text: str, units: list[int], source_text: str
) -> None:
    parsed = parse(variant, completion(variant, text, units, source_text))
    assert parsed == Parsed(
        text=text if variant.has_text else None,
        units=units if variant.has_units else None,
        source_text=source_text if variant is Variant.COT else None,
        reason="ok",
    )


@given(st.sampled_from(Variant), st.lists(PIECES | st.text(max_size=5)).map("".join))
def test_parse_reads_anything_without_raising(variant: Variant, output: str) -> None:
    parsed = parse(variant, output)
    assert parsed.reason
    if parsed.reason == "ok":
        assert bool(parsed.text) == variant.has_text
        assert bool(parsed.units) == variant.has_units


@pytest.mark.parametrize(
    ("variant", "output", "reason"),
    [
        (Variant.COM, " ", "empty"),
        (Variant.COM, "the train", "no_units"),
        (Variant.COM, f"the train{SOSP}{EOSP}", "no_units"),
        (Variant.COM, f"the train{SOSP}<|u1|><|u2|>", "unclosed"),
        (Variant.COM, f"the train{SOSP}<|u1|>late<|u2|>{EOSP}", "text_in_units"),
        (Variant.COM, f"the train{SOSP}<|u1|>{SOSP}<|u2|>{EOSP}", "text_in_units"),
        (Variant.COM, f"the train{SOSP}<|u1|>{EOSP} late", "after_units"),
        (Variant.COM, f"the train{SOSP}<|u1|>{EOSP}{SOSP}<|u1|>{EOSP}", "after_units"),
        (Variant.COM, f"{SOSP}<|u1|>{EOSP}", "no_text"),
        (Variant.COM, f"the <|u3|> train{SOSP}<|u1|>{EOSP}", "tag_in_text"),
        (Variant.COM, f"the <|unk|> train{SOSP}<|u1|>{EOSP}", "tag_in_text"),
        (Variant.VANILLA, f"the train{SOSP}<|u1|>{EOSP}", "text_before_units"),
        (Variant.S2T, f"the train{SOSP}<|u1|>{EOSP}", "tag_in_text"),
        (Variant.COT, f"the train{SOSP}<|u1|>{EOSP}", "no_source_text"),
        (Variant.COT, f"le train{SEP}{SOSP}<|u1|>{EOSP}", "no_text"),
        (Variant.COT, f"{SEP}the train{SOSP}<|u1|>{EOSP}", "no_source_text"),
    ],
)
def test_malformed_outputs_have_a_reason(variant: Variant, output: str, reason: str) -> None:
    assert parse(variant, output).reason == reason


def test_what_could_be_read_is_kept() -> None:
    assert parse(Variant.COM, f"the train{SOSP}<|u1|><|u2|>") == Parsed("the train", [1, 2], None, "unclosed")


@pytest.mark.parametrize("variant", [Variant.S2T, Variant.ASR, Variant.COM, Variant.COT])
def test_a_completion_without_its_text_is_refused(variant: Variant) -> None:
    with pytest.raises(ValueError, match=f"variant {variant} needs its text"):
        completion(variant, None, [1], "source")


def test_a_chain_of_thought_without_its_source_text_is_refused() -> None:
    with pytest.raises(ValueError, match="source_text=None"):
        completion(Variant.COT, "the train", [1])


def test_special_tokens_are_unique_and_hold_every_tag_and_unit() -> None:
    tokens = special_tokens(3, ["fr", "en"])
    assert len(tokens) == len(set(tokens)) == 6 + len(Variant) + 2 + 3
    assert tokens[-3:] == ["<|u0|>", "<|u1|>", "<|u2|>"]


@pytest.mark.parametrize("variant", list(Variant))
def test_a_tokenizer_of_a_policy_keeps_templates_whole(variant: Variant) -> None:
    tokenizer = tiny_tokenizer(num_units=50)
    ids = tokenizer(prompt(variant, "fr", "en", [0, 49, 7]), add_special_tokens=False)["input_ids"]
    assert len(ids) == 3 + 5, "three tags, two wrappers, three units: one token each"
    answer = completion(variant, "where is the station", [3, 1, 49], "où se trouve la gare")
    ids = tokenizer(answer + EOS, add_special_tokens=False)["input_ids"]
    assert parse(variant, str(tokenizer.decode(ids[:-1]))) == parse(variant, answer)
