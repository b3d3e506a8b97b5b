"""Policies: the tokenizer decodes what it encoded, and an existing model learns units."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from tokenizers.decoders import ByteLevel
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from schemas.sequences import EOS, PAD, UNK, Variant, completion, parse, prompt, special_tokens
from trainers.policy import PolicyShape, create_policy, extend_policy, train_tokenizer

TEXTS = ["where is the station", "où se trouve la gare", "combien cela coûte-t-il", "s'il vous plaît, à 9 h."]
LANGS = ("fr", "en")
texts = st.lists(st.sampled_from(" ".join(TEXTS).split()), min_size=1, max_size=8).map(" ".join)
unit_lists = st.lists(st.integers(0, 29), min_size=1, max_size=20)
any_example = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    """A tokenizer of TEXTS with 30 units and every task."""
    return train_tokenizer(TEXTS, 30, LANGS, vocab_text=200, tasks=list(Variant))


@given(texts, texts, unit_lists, st.sampled_from(list(Variant)))
@settings(any_example, max_examples=100)
def test_decoding_returns_what_was_encoded(
    tokenizer: PreTrainedTokenizerFast, text: str, source: str, units: list[int], variant: Variant
) -> None:
    answer = completion(variant, text, units, source_text=source)
    ids = tokenizer(answer, add_special_tokens=False)["input_ids"]
    parsed = parse(variant, tokenizer.decode(ids, skip_special_tokens=False))
    assert parsed.reason == "ok"
    assert parsed.text == (text if variant.has_text else None)
    assert parsed.units == (units if variant.has_units else None)
    assert parsed.source_text == (source if variant is Variant.COT else None)


@given(texts, unit_lists, st.sampled_from(list(Variant)))
@settings(any_example, max_examples=50)
def test_prompt_and_completion_have_the_same_ids_apart_and_together(
    tokenizer: PreTrainedTokenizerFast, text: str, units: list[int], variant: Variant
) -> None:
    first, second = prompt(variant, "fr", "en", units), completion(variant, text, units, source_text=text)
    apart = tokenizer(first)["input_ids"] + tokenizer(second + EOS)["input_ids"]
    assert tokenizer(first + second + EOS)["input_ids"] == apart


def test_words_of_the_texts_are_whole_and_new_words_are_spelled(tokenizer: PreTrainedTokenizerFast) -> None:
    assert len(tokenizer("where is the station")["input_ids"]) == 4
    text = "Zwolf kühe, oder: ça va ?"
    ids = tokenizer(text)["input_ids"]
    assert tokenizer.unk_token_id not in ids
    assert tokenizer.decode(ids) == text
    assert tokenizer.unk_token_id in tokenizer("Zwölf")["input_ids"]


def test_units_and_tags_have_the_first_ids(tokenizer: PreTrainedTokenizerFast) -> None:
    tokens = special_tokens(30, LANGS, list(Variant))
    assert tokenizer.convert_tokens_to_ids(tokens) == list(range(len(tokens)))
    assert (tokenizer.pad_token, tokenizer.eos_token, tokenizer.unk_token) == (PAD, EOS, UNK)


def test_the_vocabulary_has_a_limit() -> None:
    words = [f"{a}{b}{c}{d}" for a in "abcd" for b in "efgh" for c in "ijkl" for d in "mnop"]
    alphabet = len(train_tokenizer([], 5, LANGS, vocab_text=0))
    assert len(train_tokenizer(words, 5, LANGS, vocab_text=200)) == 200 + len(special_tokens(5, LANGS)) > alphabet


@pytest.mark.parametrize(("hidden", "width"), [(48, 128), (64, 192), (256, 704), (4096, 10_944)])
def test_the_mlps_are_8_thirds_as_wide_rounded_up_to_64(hidden: int, width: int) -> None:
    assert PolicyShape(hidden=hidden).intermediate == width


def test_a_new_policy_has_its_shape(tmp_path: Path) -> None:
    shape = PolicyShape(hidden=48, layers=3, heads=2, max_positions=99, vocab_text=50)
    create_policy(tmp_path, texts=TEXTS, num_units=5, langs=LANGS, shape=shape)
    model = AutoModelForCausalLM.from_pretrained(tmp_path)
    config = model.config
    assert (config.hidden_size, config.num_hidden_layers, config.num_attention_heads) == (48, 3, 2)
    assert (config.num_key_value_heads, config.max_position_embeddings, config.intermediate_size) == (2, 99, 128)
    assert config.vocab_size == len(AutoTokenizer.from_pretrained(tmp_path))
    assert model.get_input_embeddings().weight is model.get_output_embeddings().weight
    for ids in (config, model.generation_config):
        assert (ids.eos_token_id, ids.pad_token_id, ids.bos_token_id) == (1, 0, None)


def test_the_same_seed_makes_the_same_policy(tmp_path: Path) -> None:
    shape = PolicyShape(hidden=32, layers=1, heads=1)

    def create(name: str, seed: int) -> bytes:
        out = create_policy(tmp_path / name, texts=TEXTS, num_units=5, langs=LANGS, shape=shape, seed=seed)
        return (out / "model.safetensors").read_bytes()

    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    assert create("a", 1) == create("b", 1) != create("c", 2)
    assert (tmp_path / "a/tokenizer.json").read_bytes() == (tmp_path / "b/tokenizer.json").read_bytes()
    assert torch.equal(torch.rand(1), expected)  # the random numbers of the caller are not touched


@pytest.mark.parametrize("tied", [True, False])
def test_an_existing_model_learns_units(tmp_path: Path, tied: bool) -> None:
    letters = {letter: index for index, letter in enumerate(["<bos>", *sorted(pre_tokenizers.ByteLevel.alphabet())])}
    bpe = Tokenizer(models.BPE(vocab=letters, merges=[]))
    bpe.pre_tokenizer, bpe.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), ByteLevel()
    bpe.post_processor = processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 0)])
    PreTrainedTokenizerFast(tokenizer_object=bpe, bos_token="<bos>").save_pretrained(tmp_path / "base")
    sizes = ("hidden_size", "intermediate_size")
    counts = ("num_hidden_layers", "num_attention_heads", "num_key_value_heads")
    shape = dict.fromkeys(sizes, 32) | dict.fromkeys(counts, 1)
    base = LlamaForCausalLM(LlamaConfig(vocab_size=len(letters), tie_word_embeddings=tied, **shape))
    base.save_pretrained(tmp_path / "base")

    out = extend_policy(tmp_path / "base", tmp_path / "out", num_units=7, langs=LANGS, tasks=["tts"])
    tokenizer, model = AutoTokenizer.from_pretrained(out), AutoModelForCausalLM.from_pretrained(out)
    old = len(letters)
    for before, after in ((base.model.embed_tokens, model.model.embed_tokens), (base.lm_head, model.lm_head)):
        torch.testing.assert_close(after.weight[:old], before.weight)
        torch.testing.assert_close(after.weight[old:], before.weight.mean(dim=0).expand(len(tokenizer) - old, -1))
    assert model.config.vocab_size == len(tokenizer) == old + len(special_tokens(7, LANGS, ["tts"]))
    assert model.config.eos_token_id == model.generation_config.eos_token_id == tokenizer.eos_token_id
    added = [tokenizer.added_tokens_decoder[index] for index in range(old, len(tokenizer))]
    assert [token.content for token in added] == special_tokens(7, LANGS, ["tts"]) and all(
        token.special for token in added
    )
    text = prompt(Variant.COM, "fr", "en", [1, 6]) + completion(Variant.COM, "où est-ce ?", [0])
    ids = tokenizer(text)["input_ids"]
    assert tokenizer.bos_token_id is None
    assert ids[0] == tokenizer.convert_tokens_to_ids("<|com|>")
    assert tokenizer.decode(ids) == text
