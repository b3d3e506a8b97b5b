"""Makes policies: a fresh small Llama with its own tokenizer, or an existing model that learns units."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from schemas.sequences import EOS, PAD, UNK, special_tokens


def new_tokenizer(texts: Iterable[str], num_units: int, langs: Sequence[str], vocab_text: int = 1_500) -> PreTrainedTokenizerFast:
    """Return a BPE tokenizer over the words of `texts` (at most `vocab_text` pieces) with every token of the templates added."""
    tokenizer = Tokenizer(models.BPE(unk_token=UNK))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    special = special_tokens(num_units, langs)
    trainer = trainers.BpeTrainer(vocab_size=vocab_text + len(special), special_tokens=special, show_progress=False)
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
    max_positions: int = 512,
    seed: int = 0,
) -> Path:
    """Write a policy folder with random weights (a Llama with tied embeddings) and return it."""
    tokenizer = new_tokenizer(texts, num_units, langs)
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        intermediate_size=4 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        max_position_embeddings=max_positions,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(out)
    tokenizer.save_pretrained(out)
    return out


def extend_policy(base: str, out: Path, *, num_units: int, langs: Sequence[str]) -> Path:
    """Write `base` (a model on the hub or a folder) with the tokens of the templates added; their embeddings start at the mean."""
    tokenizer, model = AutoTokenizer.from_pretrained(base), AutoModelForCausalLM.from_pretrained(base)
    missing = [token for token in special_tokens(num_units, langs) if token not in tokenizer.get_vocab()]
    added = tokenizer.add_tokens(missing, special_tokens=True)
    tokenizer.eos_token, tokenizer.pad_token = EOS, PAD
    model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    for table in {model.get_input_embeddings().weight, model.get_output_embeddings().weight}:
        table.data[-added:] = table.data[:-added].mean(dim=0)
    model.config.eos_token_id = model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    return out
