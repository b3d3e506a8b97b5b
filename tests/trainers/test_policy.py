"""Policies: the tokenizer gives back what it was given, and an existing model learns units."""

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
from trainers.policy import extend_policy, new_policy, new_tokenizer

TEXTS = ["where is the station", "où se trouve la gare", "combien cela coûte-t-il", "s'il vous plaît, à 9 h."]
_texts = st.lists(st.sampled_from(" ".join(TEXTS).split()), min_size=1, max_size=8).map(" ".join)
_units = st.lists(st.integers(0, 29), min_size=1, max_size=20)


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    """A tokenizer of TEXTS with 30 units."""
    return new_tokenizer(TEXTS, 30, ("fr", "en"), vocab_text=200)


@given(_texts, _texts, _units, st.sampled_from(list(Variant)))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_decoding_gives_back_what_was_encoded(
    tokenizer: PreTrainedTokenizerFast, text: str, source: str, units: list[int], variant: Variant
) -> None:
    written = completion(variant, text, units, source_text=source)
    ids = tokenizer(written, add_special_tokens=False)["input_ids"]
    read = parse(variant, tokenizer.decode(ids, skip_special_tokens=False))
    assert read.reason == "ok"
    assert read.text == (text if variant.has_text else None)
    assert read.units == (units if variant.has_units else None)
    assert read.source_text == (source if variant is Variant.COT else None)


@given(_texts, _units, st.sampled_from(list(Variant)))
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_prompt_and_completion_have_the_same_ids_apart_and_together(
    tokenizer: PreTrainedTokenizerFast, text: str, units: list[int], variant: Variant
) -> None:
    first, second = prompt(variant, "fr", "en", units), completion(variant, text, units, source_text=text)
    apart = tokenizer(first)["input_ids"] + tokenizer(second + EOS)["input_ids"]
    assert tokenizer(first + second + EOS)["input_ids"] == apart


def test_words_of_the_texts_are_whole_and_unseen_ones_are_spelled(tokenizer: PreTrainedTokenizerFast) -> None:
    assert len(tokenizer("where is the station")["input_ids"]) == 4
    unseen = "Zwölf kühe, oder: ça va ?"
    ids = tokenizer(unseen.replace("ö", "o"))["input_ids"]
    assert tokenizer.unk_token_id not in ids
    assert tokenizer.decode(ids) == unseen.replace("ö", "o")
    assert tokenizer.unk_token_id in tokenizer(unseen)["input_ids"]


def test_added_tokens_have_the_ids_of_the_contract(tokenizer: PreTrainedTokenizerFast) -> None:
    tokens = special_tokens(30, ("fr", "en"))
    assert tokenizer.convert_tokens_to_ids(tokens) == list(range(len(tokens)))
    assert (tokenizer.pad_token, tokenizer.eos_token, tokenizer.unk_token) == (PAD, EOS, UNK)


def test_the_same_seed_makes_the_same_policy(tmp_path: Path) -> None:
    def make(name: str, seed: int) -> bytes:
        new_policy(
            tmp_path / name, texts=TEXTS, num_units=5, langs=("fr", "en"), hidden=32, layers=1, heads=1, seed=seed
        )
        return (tmp_path / name / "model.safetensors").read_bytes()

    assert make("a", 1) == make("b", 1) != make("c", 2)
    assert (tmp_path / "a/tokenizer.json").read_bytes() == (tmp_path / "b/tokenizer.json").read_bytes()
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "a")
    assert model.get_input_embeddings().weight is model.get_output_embeddings().weight
    assert model.config.eos_token_id == model.generation_config.eos_token_id == 1


@pytest.mark.parametrize("tied", [True, False])
def test_an_existing_model_learns_units(tmp_path: Path, tied: bool) -> None:
    letters = {letter: index for index, letter in enumerate(["<bos>", *sorted(pre_tokenizers.ByteLevel.alphabet())])}
    bpe = Tokenizer(models.BPE(vocab=letters, merges=[]))
    bpe.pre_tokenizer, bpe.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), ByteLevel()
    bpe.post_processor = processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 0)])
    PreTrainedTokenizerFast(tokenizer_object=bpe, bos_token="<bos>").save_pretrained(tmp_path / "base")
    shape = {
        "hidden_size": 32,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 1,
        "num_key_value_heads": 1,
    }
    base = LlamaForCausalLM(LlamaConfig(vocab_size=len(letters), tie_word_embeddings=tied, **shape))
    base.save_pretrained(tmp_path / "base")

    out = extend_policy(tmp_path / "base", tmp_path / "out", num_units=7, langs=("fr", "en"))
    tokenizer, model = AutoTokenizer.from_pretrained(out), AutoModelForCausalLM.from_pretrained(out)
    old = len(letters)
    for before, after in ((base.model.embed_tokens, model.model.embed_tokens), (base.lm_head, model.lm_head)):
        torch.testing.assert_close(after.weight[:old], before.weight)
        torch.testing.assert_close(after.weight[old:], before.weight.mean(dim=0).expand(len(tokenizer) - old, -1))
    assert model.config.vocab_size == len(tokenizer) == old + len(special_tokens(7, ("fr", "en")))
    assert model.config.eos_token_id == model.generation_config.eos_token_id == tokenizer.eos_token_id
    text = prompt(Variant.COM, "fr", "en", [1, 6]) + completion(Variant.COM, "où est-ce ?", [0])
    ids = tokenizer(text)["input_ids"]
    assert tokenizer.bos_token_id is None
    assert ids[0] == tokenizer.convert_tokens_to_ids("<|com|>")
    assert tokenizer.decode(ids) == text
