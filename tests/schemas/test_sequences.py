"""Every completion reads back as it was written, and the parser gives any other output a reason."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.sequences import (
    EOS,
    EOSP,
    PAD,
    SEP,
    SOSP,
    UNK,
    Parsed,
    Variant,
    completion,
    is_unit,
    parse,
    prompt,
    special_tokens,
    speech,
    tag,
    task,
    text_of_completion,
    text_prompt,
    unit_token,
    words,
)
from tests.toys import tiny_tokenizer

TEXTS = st.text(st.characters(codec="utf-8"), min_size=1).map(str.strip).filter(lambda text: text and "<|" not in text)
UNITS = st.lists(st.integers(0, 999), min_size=1)
ODD_PIECES = ["<|u", "|>", "<|", "où", " ", "\n", "<|u-1|>", "<|u99999999999999999999|>"]
PIECES = st.sampled_from([*special_tokens(5, ["fr", "en"]), *ODD_PIECES])


def test_special_tokens_never_change() -> None:
    assert (SOSP, EOSP, SEP, EOS, PAD, UNK) == ("<|sosp|>", "<|eosp|>", "<|sep|>", "<|eos|>", "<|pad|>", "<|unk|>")


def test_the_order_of_special_tokens_never_changes() -> None:
    control = ["<|pad|>", "<|eos|>", "<|unk|>", "<|sosp|>", "<|eosp|>", "<|sep|>"]
    tags = ["<|vanilla|>", "<|asr|>", "<|s2t|>", "<|com|>", "<|cot|>", "<|mt|>", "<|fr|>", "<|en|>"]
    assert special_tokens(3, ["fr", "en"]) == [*control, *tags, "<|u0|>", "<|u1|>", "<|u2|>"]
    assert special_tokens(0, []) == [*control, *tags[:6]]
    assert special_tokens(3, ["fr"], ["com", "tts"]) == [*special_tokens(3, ["fr"], ["com"]), "<|tts|>"]
    assert special_tokens(3, ["fr"], ["com"]) == special_tokens(3, ["fr"])


def test_tokens_of_tags_and_units() -> None:
    assert (tag("com"), tag(Variant.COT), tag("fr"), unit_token(17)) == ("<|com|>", "<|cot|>", "<|fr|>", "<|u17|>")
    assert speech([7, 1]) == "<|sosp|><|u7|><|u1|><|eosp|>" and speech([]) == "<|sosp|><|eosp|>"


@pytest.mark.parametrize(
    ("token", "expected"),
    [("<|u0|>", True), ("<|u123|>", True), ("<|u|>", False), ("<|fr|>", False), ("<|u1|><|u2|>", False), ("u1", False)],
)
def test_is_unit(token: str, expected: bool) -> None:
    assert is_unit(token) is expected


@pytest.mark.parametrize(
    ("variant", "has_text", "has_units", "translates"),
    [
        (Variant.VANILLA, False, True, True),
        (Variant.ASR, True, False, False),
        (Variant.S2T, True, False, True),
        (Variant.COM, True, True, True),
        (Variant.COT, True, True, True),
        (Variant.MT, True, False, False),
        (Variant.TTS, False, True, False),
    ],
)
def test_properties_of_variants(variant: Variant, has_text: bool, has_units: bool, translates: bool) -> None:
    assert (variant.has_text, variant.has_units, variant.translates) == (has_text, has_units, translates)
    assert variant.reads_text == (variant in ("mt", "tts"))


def test_prompts_follow_the_templates() -> None:
    assert prompt(Variant.COM, "fr", "en", [3, 4]) == "<|com|><|fr|><|en|><|sosp|><|u3|><|u4|><|eosp|>"
    assert text_prompt("en", "fr", "it rains") == "<|mt|><|en|><|fr|>it rains<|sep|>"
    assert text_prompt("en", "en", "it rains", Variant.TTS) == "<|tts|><|en|><|en|>it rains<|sep|>"


@pytest.mark.parametrize("variant", list(Variant))
def test_a_prompt_names_its_task(variant: Variant) -> None:
    written = text_prompt("fr", "en", "il pleut", variant) if variant.reads_text else prompt(variant, "fr", "en", [1])
    assert task(written) is variant


def test_a_text_that_is_no_prompt_has_no_task() -> None:
    with pytest.raises(ValueError, match="'fr' is not a valid Variant"):
        task("<|fr|><|en|>")


@pytest.mark.parametrize(
    ("variant", "expected"),
    [
        (Variant.VANILLA, "<|sosp|><|u3|><|eosp|>"),
        (Variant.ASR, "it rains"),
        (Variant.S2T, "it rains"),
        (Variant.COM, "it rains<|sosp|><|u3|><|eosp|>"),
        (Variant.COT, "il pleut<|sep|>it rains<|sosp|><|u3|><|eosp|>"),
        (Variant.MT, "it rains"),
        (Variant.TTS, "<|sosp|><|u3|><|eosp|>"),
    ],
)
def test_completions_follow_the_templates(variant: Variant, expected: str) -> None:
    assert completion(variant, "it rains", [3], "il pleut") == expected


def test_a_completion_may_have_an_empty_text() -> None:
    assert completion(Variant.COM, "", [3]) == "<|sosp|><|u3|><|eosp|>"
    assert completion(Variant.VANILLA, None, [3]) == "<|sosp|><|u3|><|eosp|>"


@pytest.mark.parametrize("variant", [Variant.S2T, Variant.ASR, Variant.COM, Variant.COT, Variant.MT])
def test_a_completion_without_its_text_is_refused(variant: Variant) -> None:
    message = f"^a completion of variant {variant} needs its text; got text=None, source_text='source'"
    with pytest.raises(ValueError, match=message):
        completion(variant, None, [1], "source")


def test_a_chain_of_thought_without_its_source_text_is_refused() -> None:
    with pytest.raises(ValueError, match="got text='the train', source_text=None"):
        completion(Variant.COT, "the train", [1])


@given(st.sampled_from(Variant), TEXTS, UNITS, TEXTS)
def test_a_completion_reads_back_as_it_was_written(
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
def test_any_output_can_be_parsed(variant: Variant, output: str) -> None:
    parsed = parse(variant, output)
    assert parsed.reason
    if parsed.reason == "ok":
        assert bool(parsed.text) == variant.has_text
        assert bool(parsed.units) == variant.has_units


@pytest.mark.parametrize(
    ("variant", "output", "expected"),
    [
        (Variant.COM, " ", Parsed(None, None, None, "empty")),
        (Variant.COM, "the train", Parsed("the train", None, None, "no_units")),
        (Variant.COM, f" the train {SOSP}{EOSP}", Parsed("the train", None, None, "no_units")),
        (Variant.COM, f"the train{SOSP}<|u1|><|u2|>", Parsed("the train", [1, 2], None, "unclosed")),
        (Variant.COM, f"the train{SOSP}", Parsed("the train", None, None, "no_units")),
        (Variant.COM, f"the train{SOSP}<|u1|>late<|u2|>{EOSP}", Parsed("the train", [1, 2], None, "text_in_units")),
        (Variant.COM, f"the train{SOSP}late{EOSP}", Parsed("the train", None, None, "text_in_units")),
        (Variant.COM, f"the train{SOSP}<|u1|>{SOSP}<|u2|>{EOSP}", Parsed("the train", [1, 2], None, "text_in_units")),
        (Variant.COM, f"the train{SOSP}<|u1|> <|u2|>{EOSP}", Parsed("the train", [1, 2], None, "ok")),
        (Variant.COM, f"the train{SOSP}<|u1|>{EOSP} late", Parsed("the train", [1], None, "after_units")),
        (Variant.COM, f"the train{SOSP}<|u1|>{EOSP} \n", Parsed("the train", [1], None, "ok")),
        (Variant.COM, f"the train{SOSP}<|u1|>{EOSP}{SOSP}<|u2|>{EOSP}", Parsed("the train", [1], None, "after_units")),
        (Variant.COM, f"{SOSP}<|u1|>{EOSP}", Parsed(None, [1], None, "no_text")),
        (Variant.COM, f"the <|u3|> train{SOSP}<|u1|>{EOSP}", Parsed("the <|u3|> train", [1], None, "tag_in_text")),
        (Variant.COM, f"the <|unk|> train{SOSP}<|u1|>{EOSP}", Parsed("the <|unk|> train", [1], None, "tag_in_text")),
        (Variant.VANILLA, f"the train{SOSP}<|u1|>{EOSP}", Parsed("the train", [1], None, "text_before_units")),
        (Variant.VANILLA, f" {SOSP}<|u1|>{EOSP}", Parsed(None, [1], None, "ok")),
        (Variant.S2T, f"the train{SOSP}<|u1|>{EOSP}", Parsed("the train", None, None, "tag_in_text")),
        (Variant.S2T, "the train", Parsed("the train", None, None, "ok")),
        (Variant.TTS, f"{SOSP}<|u1|>{EOSP}", Parsed(None, [1], None, "ok")),
        (Variant.TTS, f"the train{SOSP}<|u1|>{EOSP}", Parsed("the train", [1], None, "text_before_units")),
        (Variant.COT, f"the train{SOSP}<|u1|>{EOSP}", Parsed(None, None, None, "no_source_text")),
        (Variant.COT, f"le train{SEP}{SOSP}<|u1|>{EOSP}", Parsed(None, [1], "le train", "no_text")),
        (Variant.COT, f"le{SEP}the{SEP}train{SOSP}<|u1|>{EOSP}", Parsed(f"the{SEP}train", [1], "le", "tag_in_text")),
        (Variant.COT, f" {SEP}the train{SOSP}<|u1|>{EOSP}", Parsed(None, None, None, "no_source_text")),
        (Variant.COT, f"le train {SEP} the train{SOSP}<|u1|>{EOSP}", Parsed("the train", [1], "le train", "ok")),
    ],
)
def test_malformed_outputs_have_a_reason_and_keep_what_could_be_read(
    variant: Variant, output: str, expected: Parsed
) -> None:
    assert parse(variant, output) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("it rains", "it rains"), (" it <|sosp|><|u1|> rains", "it"), ("<|u1|>it", ""), ("a < b |> c", "a < b |> c")],
)
def test_the_words_of_a_text_end_at_its_first_token(text: str, expected: str) -> None:
    assert words(text) == expected


@pytest.mark.parametrize(("variant", "end"), [(Variant.COM, SOSP), (Variant.S2T, EOS), (Variant.ASR, EOS)])
def test_the_text_of_a_completion_ends_with_the_token_that_follows_it(variant: Variant, end: str) -> None:
    assert text_of_completion(variant, "it rains") == f"it rains{end}"
    assert f"{completion(variant, 'it rains', [1])}{EOS}".startswith(f"it rains{end}")


@pytest.mark.parametrize("variant", [variant for variant in Variant if not variant.reads_text])
def test_the_tokenizer_of_a_policy_has_one_token_per_tag_and_unit(variant: Variant) -> None:
    tokenizer = tiny_tokenizer(num_units=50)
    ids = tokenizer(prompt(variant, "fr", "en", [0, 49, 7]), add_special_tokens=False)["input_ids"]
    assert len(ids) == 3 + 5, "three tags, two ends of speech, three units"
    answer = completion(variant, "where is the station", [3, 1, 49], "où se trouve la gare")
    ids = tokenizer(answer + EOS, add_special_tokens=False)["input_ids"]
    assert parse(variant, str(tokenizer.decode(ids[:-1]))) == parse(variant, answer)
