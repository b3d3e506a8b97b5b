"""The loss of supervised training, its LoRA, and the search for a compiler."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from transformers import AutoModelForCausalLM, AutoTokenizer

from trainers.batches import Batches
from trainers.sft_network import CompletionLoss, add_lora, can_compile, train_tables


@pytest.fixture(scope="module")
def batches(tiny: Path, sequences: Path) -> Batches:
    return Batches(sequences, AutoTokenizer.from_pretrained(tiny), 128)


def test_the_loss_is_the_cross_entropy_of_the_completion(tiny: Path, batches: Batches) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny)
    total, count = CompletionLoss(model, bf16=False, compiled=False)(*batches.batch([0, 5, 9]))
    expected = torch.zeros(())
    for sequence in (batches.sequences[index] for index in (0, 5, 9)):
        ids = torch.from_numpy(np.concatenate([sequence.prompt, sequence.completion]))[None]
        logits = model(input_ids=ids).logits[0, len(sequence.prompt) - 1 : -1]
        expected = expected + F.cross_entropy(logits, ids[0, len(sequence.prompt) :], reduction="sum")
    assert count == sum(len(batches.sequences[index].completion) for index in (0, 5, 9))
    torch.testing.assert_close(total, expected)


def test_bf16_is_near_fp32_and_not_equal(tiny: Path, batches: Batches) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.float32)
    plain, mixed = (
        float(CompletionLoss(model, bf16, compiled=False)(*batches.batch([0, 5]))[0]) for bf16 in (False, True)
    )
    assert mixed == pytest.approx(plain, rel=0.01) and mixed != plain


def test_lora_is_on_every_linear_layer_and_tables_are_trained_whole(tiny: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny)
    add_lora(model, 3, seed=1)
    train_tables(model)
    trained = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    tables = {name for name in trained if "lora" not in name}
    assert tables == {"model.embed_tokens.weight"}  # the head is tied to it
    layers = {name.split(".")[-4] for name in trained if "lora" in name}
    assert layers == {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
    assert {min(weight.shape) for name, weight in trained.items() if "lora" in name} == {3}
    assert model.model.layers[0].self_attn.q_proj.scaling == {"default": 2.0}  # alpha is twice the rank


def test_the_seed_of_lora_counts(tiny: Path) -> None:
    def first_matrix(seed: int) -> torch.Tensor:
        model = AutoModelForCausalLM.from_pretrained(tiny)
        add_lora(model, 3, seed)
        return next(weight for name, weight in model.named_parameters() if "lora_A" in name)

    assert torch.equal(first_matrix(1), first_matrix(1)) and not torch.equal(first_matrix(1), first_matrix(2))


def test_without_a_compiler_the_network_is_not_compiled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    assert not can_compile(torch.device("cpu"))
    assert "this machine has no C++ compiler" in capsys.readouterr().out
    assert can_compile(torch.device("cuda"))
    (tmp_path / "icpx").touch(mode=0o755)
    monkeypatch.setenv("CXX", "icpx")
    assert can_compile(torch.device("cpu"))
    assert capsys.readouterr().out == ""
