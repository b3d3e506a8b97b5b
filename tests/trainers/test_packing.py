"""Packed pairs give the states of their sequences computed alone, with fewer tokens."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, LlamaConfig, MistralConfig
from trl.trainer.dpo_trainer import DataCollatorForPreference

from trainers.packing import ROW, pack, shares_prompts

SIZES = ((5, 7, 3), (1, 2, 6), (30, 4, 4), (8, 1, 20))
"""Tokens of prompt, chosen and rejected of each pair."""


def batch_of(sizes: tuple[tuple[int, int, int], ...]) -> dict[str, Tensor]:
    """Return random pairs of these sizes as TRL collates them."""
    torch.manual_seed(0)
    names = ("prompt_ids", "chosen_ids", "rejected_ids")
    rows = [dict(zip(names, (torch.randint(5, 60, (size,)).tolist() for size in row))) for row in sizes]
    return DataCollatorForPreference(pad_token_id=0)(rows)


def predicting(inputs: dict[str, Tensor]) -> Tensor:
    """Return which positions predict a token of a completion."""
    return inputs["completion_mask"][:, 1:].bool()


@pytest.mark.parametrize("share", [True, False])
def test_states_are_those_of_sequences_alone(tiny: Path, share: bool) -> None:
    model, inputs = AutoModelForCausalLM.from_pretrained(tiny).model.eval(), batch_of(SIZES)
    scored = predicting(inputs)
    kept = scored & (torch.arange(scored.shape[1]) % 3 == 0)
    batch = pack(inputs, scored, kept, share=share)
    with torch.no_grad():
        flat = model(**batch.inputs, use_cache=False).last_hidden_state.flatten(0, 1)
        alone = [
            model(input_ids=ids[None, : int(mask.sum())]).last_hidden_state[0]
            for ids, mask in zip(inputs["input_ids"], inputs["attention_mask"])
        ]
    for wanted, found in ((scored, flat[batch.scored_at]), (kept, flat[batch.kept_at])):
        expected = torch.stack([alone[row][column] for row, column in wanted.nonzero().tolist()])
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
    assert torch.equal(batch.labels, inputs["input_ids"][:, 1:][scored])


def test_a_prompt_is_computed_once_and_a_row_holds_several_pairs() -> None:
    inputs = batch_of(SIZES)
    batch = pack(inputs, predicting(inputs), torch.zeros_like(predicting(inputs)), share=True)
    needed = sum(prompt - 1 + chosen + rejected for prompt, chosen, rejected in SIZES)
    assert batch.inputs["input_ids"].shape == (1, needed)  # the last token of a completion predicts nothing
    assert batch.inputs["attention_mask"].shape == (1, 1, needed, needed)


def test_tokens_after_the_last_used_one_are_not_computed() -> None:
    inputs = batch_of(SIZES)
    scored = predicting(inputs)
    scored[:, 12:] = False  # of the third pair, whose prompt has 30 tokens, nothing is used
    batch = pack(inputs, scored, torch.zeros_like(scored), share=True)
    stops = [[row.nonzero().max() + 1 for row in (scored[pair], scored[pair + 4])] for pair in (0, 1, 3)]
    needed = sum(SIZES[pair][0] - 1 for pair in (0, 1, 3))
    needed += sum(int(stop) - SIZES[pair][0] + 1 for pair, both in zip((0, 1, 3), stops) for stop in both)
    assert batch.inputs["input_ids"].shape == (1, needed)


def test_rows_are_full_and_a_pair_is_not_divided() -> None:
    inputs = batch_of(((60, 21, 20),) * 9 + ((150, 101, 100),))
    batch = pack(inputs, predicting(inputs), torch.zeros_like(predicting(inputs)), share=True)
    assert batch.inputs["input_ids"].shape == (1 + 3, 350)
    short = batch_of(((60, 21, 20),) * 4)
    batch = pack(short, predicting(short), torch.zeros_like(predicting(short)), share=True)
    assert batch.inputs["input_ids"].shape == (2, 200) and 200 < ROW < 300


def test_a_batch_without_used_tokens_is_empty() -> None:
    inputs = batch_of(SIZES)
    nothing = torch.zeros_like(predicting(inputs))
    batch = pack(inputs, nothing, nothing, share=True)
    assert batch.labels.numel() == batch.scored_at.numel() == batch.inputs["input_ids"].numel() == 0


def test_prompts_are_shared_where_every_layer_follows_the_mask() -> None:
    def shares(config: LlamaConfig | MistralConfig, attention: str = "sdpa") -> bool:
        config._attn_implementation = attention
        return shares_prompts(SimpleNamespace(config=config))

    assert shares(LlamaConfig()) and not shares(LlamaConfig(), "eager")
    assert shares(MistralConfig(sliding_window=None)) and not shares(MistralConfig(sliding_window=64))
