"""The network of supervised training: a causal language model with its loss, LoRA, and whether torch can compile it."""

from __future__ import annotations

import os
import shutil
from typing import Protocol, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedModel

from trainers.batches import IGNORED


class Adapted(Protocol):
    """A policy with LoRA, as peft returns it."""

    def merge_and_unload(self) -> PreTrainedModel:
        """Return the policy with LoRA merged into its weights."""
        ...


class CompletionLoss(nn.Module):
    """A causal language model that returns its loss on completions."""

    def __init__(self, model: PreTrainedModel, bf16: bool, compiled: bool) -> None:
        super().__init__()
        self.model, self.bf16 = model, bf16
        if compiled:
            model.model.compile(dynamic=True)

    def forward(self, ids: Tensor, labels: Tensor) -> tuple[Tensor, int]:
        """Return the cross entropy of the learned tokens.

        Args:
            ids: token ids (B, T).
            labels: (B, T); IGNORED where a token is not learned.

        Returns:
            The sum over the learned tokens, in nats, and their number.
        """
        following = labels[:, 1:]
        learned = following != IGNORED
        with torch.autocast(ids.device.type, torch.bfloat16, enabled=self.bf16):
            hidden = self.model.model(input_ids=ids, use_cache=False).last_hidden_state[:, :-1]
            logits = self.model.lm_head(hidden[learned])  # the logits of prompts are never needed
        return F.cross_entropy(logits.float(), following[learned], reduction="sum"), int(learned.sum())


def add_lora(model: PreTrainedModel, lora_rank: int, seed: int) -> Adapted:
    """Add LoRA to every linear layer except the head, in place, and return peft's view of the model."""
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(seed)
    config = LoraConfig(r=lora_rank, lora_alpha=2 * lora_rank, target_modules="all-linear", task_type="CAUSAL_LM")
    return cast(Adapted, get_peft_model(model, config))


def train_tables(model: PreTrainedModel) -> None:
    """Let embeddings and head learn whole next to LoRA, because the units are new to the model."""
    for table in (model.get_input_embeddings(), model.get_output_embeddings()):  # type: ignore[no-untyped-call]
        table.requires_grad_(True)


def can_compile(where: torch.device) -> bool:
    """Return True if torch finds what it compiles with; on a CPU that is a C++ compiler."""
    compilers = (os.environ.get("CXX", "g++"), "g++", "clang++")
    found = where.type == "cuda" or any(shutil.which(name) for name in compilers)
    if not found:
        print(
            "  sft: this machine has no C++ compiler, so the network is not compiled: same result, about 13 % slower",
            flush=True,
        )
    return found
