"""Makes policies: a fresh small Llama with its own tokenizer, or an existing model that learns units."""

from __future__ import annotations

import string
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

from schemas.sequences import EOS, PAD, UNK, special_tokens

# So that a sentence outside the training texts never falls apart into unknown characters.
_ALPHABET = [*string.ascii_letters, *string.digits, *string.punctuation, *"àâæçéèêëîïôœùûüÿÀÂÆÇÉÈÊËÎÏÔŒÙÛÜŸ’«»…"]


def new_tokenizer(
    texts: Iterable[str], num_units: int, langs: Sequence[str], vocab_text: int = 1_500
) -> PreTrainedTokenizerFast:
    """Return a BPE tokenizer over the words of `texts` (at most `vocab_text` pieces) with every token of the templates added.

    A text between two added tokens is encoded as it would be alone: prompt and completion have the same ids apart and together.
    """
    tokenizer = Tokenizer(models.BPE(unk_token=UNK))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    special = special_tokens(num_units, langs)
    size = vocab_text + len(special)
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=special, initial_alphabet=_ALPHABET, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=EOS, pad_token=PAD, unk_token=UNK)


def new_policy(
    out: Path,
    *,
    texts: Iterable[str],
    num_units: int,
    langs: Sequence[str],
    hidden: int = 256,
    layers: int = 6,
    heads: int = 4,
    intermediate: int | None = None,
    max_positions: int = 512,
    vocab_text: int = 1_500,
    seed: int = 0,
) -> Path:
    """Write a policy folder with random weights (a Llama with tied embeddings) and return it.

    `intermediate` is the width of the MLPs (default: Llama's 8/3 of `hidden`, rounded up to 64), `max_positions` the context in tokens.
    """
    tokenizer = new_tokenizer(texts, num_units, langs, vocab_text)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        intermediate_size=intermediate or -(-hidden * 8 // 3 // 64) * 64,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        max_position_embeddings=max_positions,
        tie_word_embeddings=True,
        bos_token_id=None,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return _save(LlamaForCausalLM(config), tokenizer, out)


def extend_policy(base: str | Path, out: Path, *, num_units: int, langs: Sequence[str]) -> Path:
    """Write `base` (a model on the hub or a folder) with the tokens of the templates added; their embeddings start at the mean.

    Its tokenizer puts nothing in front of a text any more: a policy's sequences begin with the task.
    """
    tokenizer = AutoTokenizer.from_pretrained(base)
    model = AutoModelForCausalLM.from_pretrained(base)
    known = len(tokenizer)
    tokenizer.add_tokens(special_tokens(num_units, langs), special_tokens=True)
    tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token = (
        None,
        EOS,
        PAD,
    )  # TRL would put a BOS in front for SimPO alone
    tokenizer.backend_tokenizer.post_processor = processors.Sequence([])
    model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    with torch.no_grad():
        tables: tuple[Any, ...] = (model.get_input_embeddings().weight, model.get_output_embeddings().weight)
        for table in tables:
            table[known:] = table[:known].mean(dim=0)
    return _save(model, tokenizer, out)


def _save(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, out: Path) -> Path:
    for config in (model.config, model.generation_config):
        config.bos_token_id, config.eos_token_id, config.pad_token_id = (
            None,
            tokenizer.eos_token_id,
            tokenizer.pad_token_id,
        )
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    return out
