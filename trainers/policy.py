"""Makes policies to train: a new small Llama with its own tokenizer, or an existing model with tokens for units."""

from __future__ import annotations

import string
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

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

from factory.recipe.sections import PolicyConfig
from schemas.sequences import EOS, PAD, UNK, special_tokens

ALPHABET = [*string.ascii_letters, *string.digits, *string.punctuation, *"àâæçéèêëîïôœùûüÿÀÂÆÇÉÈÊËÎÏÔŒÙÛÜŸ’«»…"]
"""Characters that every new tokenizer knows, so that a new sentence does not become unknown tokens."""
MLP_STEP = 64
"""The width of the MLPs is a multiple of this number."""


@dataclass(frozen=True)
class PolicyShape:
    """The size of a new policy: a Llama with tied embeddings."""

    hidden: int = PolicyConfig.hidden
    """Width."""
    layers: int = PolicyConfig.layers
    heads: int = PolicyConfig.heads
    """Attention heads; they divide `hidden`."""
    max_positions: int = PolicyConfig.max_length
    """Context, in tokens."""
    vocab_text: int = 1_500
    """The largest number of pieces of words in the vocabulary; units and tags are added."""

    @property
    def intermediate(self) -> int:
        """The width of the MLPs: 8/3 of `hidden` as in Llama, rounded up to MLP_STEP."""
        return -(-self.hidden * 8 // 3 // MLP_STEP) * MLP_STEP


def train_tokenizer(
    texts: Iterable[str],
    num_units: int,
    langs: Sequence[str],
    vocab_text: int = PolicyShape.vocab_text,
    tasks: Collection[str] = (),
) -> PreTrainedTokenizerFast:
    """Return a BPE tokenizer over words, with a token for every unit, tag and wrapper.

    A text between two such tokens has the ids that it has alone. Prompt and completion therefore have the same ids
    apart and together.

    Args:
        texts: what the pieces of words are learned from.
        num_units: the size of the codebook.
        langs: ISO 639 codes of the languages.
        vocab_text: the largest number of pieces of words.
        tasks: what the policy learns; see `schemas.sequences.special_tokens`.
    """
    tokenizer = Tokenizer(models.BPE(unk_token=UNK))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    special = special_tokens(num_units, langs, tasks)
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_text + len(special), special_tokens=special, initial_alphabet=ALPHABET, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer, eos_token=EOS, pad_token=PAD, unk_token=UNK
    )


def create_policy(
    out: Path,
    *,
    texts: Iterable[str],
    num_units: int,
    langs: Sequence[str],
    tasks: Collection[str] = (),
    shape: PolicyShape | None = None,
    seed: int = 0,
) -> Path:
    """Write a policy with random weights and return its folder.

    Args:
        out: the folder.
        texts: what the tokenizer is trained on.
        num_units: the size of the codebook.
        langs: ISO 639 codes of the languages.
        tasks: what the policy learns; see `schemas.sequences.special_tokens`.
        shape: the size of the network; None takes the defaults.
        seed: of the weights.
    """
    shape = shape or PolicyShape()
    tokenizer = train_tokenizer(texts, num_units, langs, shape.vocab_text, tasks)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=shape.hidden,
        intermediate_size=shape.intermediate,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.heads,
        max_position_embeddings=shape.max_positions,
        tie_word_embeddings=True,
        bos_token_id=None,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config)  # type: ignore[no-untyped-call]
        return _save(model, tokenizer, out)


def extend_policy(
    base: str | Path, out: Path, *, num_units: int, langs: Sequence[str], tasks: Collection[str] = ()
) -> Path:
    """Write a language model with tokens for units, tags and wrappers, and return its folder.

    The embedding of a new token is the mean of all old ones. The tokenizer no longer puts a BOS token before a text,
    because the sequences of a policy begin with the task.

    Args:
        base: a folder, or a name on the hub.
        out: the folder of the policy.
        num_units: the size of the codebook.
        langs: ISO 639 codes of the languages.
        tasks: what the policy learns; see `schemas.sequences.special_tokens`.
    """
    tokenizer = AutoTokenizer.from_pretrained(base)
    model = cast(PreTrainedModel, AutoModelForCausalLM.from_pretrained(base))
    known = len(tokenizer)
    tokenizer.add_tokens(special_tokens(num_units, langs, tasks), special_tokens=True)
    tokenizer.bos_token = None  # TRL would put a BOS token before a text, for SimPO alone
    tokenizer.eos_token, tokenizer.pad_token = EOS, PAD
    tokenizer.backend_tokenizer.post_processor = processors.Sequence([])
    model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    with torch.no_grad():
        for module in (model.get_input_embeddings(), model.get_output_embeddings()):  # type: ignore[no-untyped-call]
            table = cast(torch.nn.Embedding, module).weight
            table[known:] = table[:known].mean(dim=0)
    return _save(model, tokenizer, out)


def _save(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, out: Path) -> Path:
    for config in (model.config, model.generation_config):
        config.bos_token_id = None
        config.eos_token_id, config.pad_token_id = tokenizer.eos_token_id, tokenizer.pad_token_id
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    return out
