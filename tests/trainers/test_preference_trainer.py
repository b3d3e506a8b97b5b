"""The preference losses are those of the papers, on whole sequences, with LoRA on the wanted layers."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, Trainer

from factory.recipe.training import Loss, PreferenceConfig
from schemas.sequences import EOS, EOSP
from tests.trainers.toys import pair
from trainers.preference_trainer import preference_trainer
from trainers.reference_states import StateStore

SIDES = ("chosen", "rejected")


def trainer_of(tiny: Path, work: Path, rows: int = 8, **settings: Any) -> Trainer:
    """Return a trainer whose LoRA is no longer zero, so that policy and reference differ."""
    model = AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(tiny)
    config = PreferenceConfig(**{"batch": 8, "precision": "fp32", "held_out": 0.0, **settings})
    pairs = Dataset.from_list([pair(number) for number in range(rows)])
    trainer = preference_trainer(model, tokenizer, pairs, config, work, seed=0)
    with torch.no_grad():
        for name, weight in trainer.model.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.2)
    return trainer


class Answer:
    """A completion with its end token, as a model without TRL predicts it: T tokens, V entries in the vocabulary."""

    def __init__(self, model: Any, tokenizer: Any, row: dict[str, str], side: str) -> None:
        context = tokenizer(row["prompt"])["input_ids"]
        ids = torch.tensor([context + tokenizer(row[side] + EOS)["input_ids"]])
        with torch.no_grad():
            self.all_log_probs = model(input_ids=ids).logits.log_softmax(-1)[0, len(context) - 1 : -1]  # (T, V)
        self.ids = ids[0, len(context) :]
        tokens = tokenizer.convert_ids_to_tokens(self.ids)
        speech = [token in (EOSP, EOS) or bool(re.fullmatch(r"<\|u\d+\|>", token)) for token in tokens]
        self.speech = torch.tensor(speech)

    def log_probs(self, unit_weight: float) -> torch.Tensor:
        """Return the weighted log-probability of each token, (T,)."""
        own = self.all_log_probs.gather(1, self.ids[:, None])[:, 0]
        return own * self.weights(unit_weight)

    def weights(self, unit_weight: float) -> torch.Tensor:
        """Return the weight of each token, (T,)."""
        return torch.where(self.speech, unit_weight, 1.0)


def pairs_of(batch: dict[str, torch.Tensor], tokenizer: Any) -> list[dict[str, str]]:
    """Return the first 8 pairs in the order in which a batch of DPO holds them."""
    rows = [pair(number) for number in range(8)]
    whole = [tuple(tokenizer(row["prompt"] + row["chosen"] + EOS)["input_ids"]) for row in rows]
    if "input_ids" not in batch:  # SimPO does not depend on the order
        return rows
    present = zip(batch["input_ids"].tolist()[:8], batch["attention_mask"].sum(1).tolist())
    return [rows[whole.index(tuple(ids[:length]))] for ids, length in present]


def expected_loss(
    config: PreferenceConfig, policy: Any, reference: Any, tokenizer: Any, rows: list[dict[str, str]]
) -> float:
    """Return the loss of pairs by the formulas of the papers."""
    losses, own, own_weights, divergences = [], [], [], []
    for row in rows:
        now = [Answer(policy, tokenizer, row, side) for side in SIDES]
        before = [Answer(reference, tokenizer, row, side) for side in SIDES]
        won, lost = (answer.log_probs(config.unit_weight) for answer in now)
        won_before, lost_before = (answer.log_probs(config.unit_weight) for answer in before)
        if config.loss is Loss.SIMPO:
            margin = config.beta * (won.mean() - lost.mean()) - config.gamma
        elif config.length_normalised:
            counts = [int((answer.weights(config.unit_weight) > 0).sum()) for answer in now]
            margin = config.beta * ((won - won_before).sum() / counts[0] - (lost - lost_before).sum() / counts[1])
        else:
            margin = config.beta * ((won - won_before).sum() - (lost - lost_before).sum())
        losses.append(-F.logsigmoid(margin))
        own.append(-won.sum())
        own_weights.append(now[0].weights(config.unit_weight).sum())
        of_share = len(losses) <= math.ceil(config.unit_kl_share * 8)  # the first pairs of a batch
        for new, old in zip(now, before) if of_share else ():
            p = old.all_log_probs
            divergences.append((p.exp() * (p - new.all_log_probs)).sum(1)[old.speech])
    loss = float(torch.stack(losses).mean())
    loss += config.sft_weight * float(torch.stack(own).sum() / torch.stack(own_weights).sum())
    return loss + config.unit_kl * float(torch.cat(divergences).mean())


@pytest.mark.parametrize(
    "settings",
    [
        {"loss": Loss.DPO, "beta": 0.3},
        {"loss": Loss.DPO, "beta": 5.0, "length_normalised": True},
        {"loss": Loss.DPO, "beta": 0.3, "sft_weight": 0.7},
        {"loss": Loss.DPO, "beta": 0.3, "unit_weight": 0.2},
        {"loss": Loss.DPO, "beta": 0.3, "unit_weight": 0.0, "sft_weight": 0.7},
        {"loss": Loss.DPO, "beta": 5.0, "unit_weight": 0.0, "length_normalised": True},
        {"loss": Loss.DPO, "beta": 0.3, "unit_weight": 0.0, "sft_weight": 0.7, "unit_kl": 2.0},
        {"loss": Loss.DPO, "beta": 0.3, "unit_weight": 0.0, "unit_kl": 2.0, "unit_kl_share": 1.0},
        {"loss": Loss.DPO, "beta": 0.3, "sft_weight": 0.7, "unit_kl": 2.0, "unit_kl_share": 0.3},
        {"loss": Loss.SIMPO, "beta": 2.0, "gamma": 1.4},
        {"loss": Loss.SIMPO, "beta": 2.0, "gamma": 0.5, "sft_weight": 0.7},
    ],
    ids=[
        *("dpo", "dpo of means", "dpo and sft", "light units", "text alone and sft", "means of text alone"),
        *("text alone, speech kept near", "text alone, all speech kept near", "all tokens, speech kept near"),
        *("simpo", "simpo and sft"),
    ],
)
def test_the_loss_is_the_formula(tiny: Path, tmp_path: Path, settings: dict[str, Any]) -> None:
    trainer = trainer_of(tiny, tmp_path, **settings)
    [batch] = list(trainer.get_train_dataloader())
    with torch.no_grad():
        loss = float(trainer.compute_loss(trainer.model.train(), batch))
    reference, tokenizer = AutoModelForCausalLM.from_pretrained(tiny), AutoTokenizer.from_pretrained(tiny)
    policy = trainer.model.merge_and_unload().eval()
    expected = expected_loss(PreferenceConfig(**settings), policy, reference, tokenizer, pairs_of(batch, tokenizer))
    assert loss == pytest.approx(expected, abs=2e-4)


@pytest.mark.parametrize("loss", list(Loss))
def test_it_trains_on_whole_sequences_with_one_end_token(tiny: Path, tmp_path: Path, loss: Loss) -> None:
    trainer, tokenizer = trainer_of(tiny, tmp_path, loss=loss), AutoTokenizer.from_pretrained(tiny)
    [batch] = list(trainer.get_train_dataloader())
    if loss is Loss.DPO:
        ids, learned = batch["input_ids"], batch["completion_mask"].bool()
    else:
        joined = trainer.concatenated_inputs(batch, padding_value=tokenizer.pad_token_id)
        ids, learned = joined["concatenated_input_ids"], joined["concatenated_labels"] != -100
    expected = set()
    for row, side in ((row, side) for row in map(pair, range(8)) for side in SIDES):
        answer = (*tokenizer(row[side])["input_ids"], tokenizer.eos_token_id)
        expected.add((tuple(tokenizer(row["prompt"])["input_ids"]), answer))
    pad, result = tokenizer.pad_token_id, set()
    for row_ids, row_learned in zip(ids, learned):
        result.add((tuple(row_ids[~row_learned & (row_ids != pad)].tolist()), tuple(row_ids[row_learned].tolist())))
    assert result == expected and len(expected) == 16


def test_lora_is_on_the_targets_alone_and_alpha_is_twice_the_rank(tiny: Path, tmp_path: Path) -> None:
    trained = trainer_of(tiny, tmp_path, targets=("q_proj", "down_proj"), rank=3).model
    layers = {name.split(".lora_A")[0].split(".")[-1] for name, _ in trained.named_parameters() if "lora_A" in name}
    assert layers == {"q_proj", "down_proj"}
    config = trained.peft_config["default"]
    assert (config.r, config.lora_alpha, config.lora_dropout) == (3, 6, 0.0)


@pytest.mark.parametrize(("rows", "share", "held_out"), [(10, 0.2, None), (11, 0.2, 3), (40, 0.2, 8), (40, 0.0, None)])
def test_a_part_of_more_than_ten_pairs_is_held_out(
    tiny: Path, tmp_path: Path, rows: int, share: float, held_out: int | None
) -> None:
    trainer = trainer_of(tiny, tmp_path, rows, held_out=share)
    assert (trainer.eval_dataset and len(trainer.eval_dataset)) == held_out
    assert len(trainer.train_dataset) == rows - (held_out or 0)
    assert str(trainer.args.eval_strategy.value) == ("steps" if held_out else "no")


@pytest.mark.parametrize(
    ("rows", "batch", "workers", "steps"), [(40, 8, 1, 4), (41, 8, 1, 4), (42, 8, 1, 5), (40, 3, 1, 11), (42, 8, 2, 5)]
)
def test_held_out_pairs_are_measured_after_the_last_step_of_an_epoch(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int, batch: int, workers: int, steps: int
) -> None:
    monkeypatch.setattr("trainers.preference_trainer.world_size", lambda: workers)
    trainer = trainer_of(tiny, tmp_path, rows, held_out=0.2, batch=batch)
    assert trainer.args.eval_steps == steps == math.ceil(len(trainer.train_dataset) / batch)


def test_the_seed_decides_which_pairs_are_held_out(tiny: Path, tmp_path: Path) -> None:
    def held_out(seed: int) -> list[list[int]]:
        model, tokenizer = AutoModelForCausalLM.from_pretrained(tiny), AutoTokenizer.from_pretrained(tiny)
        rows = Dataset.from_list([pair(number) for number in range(40)])
        trainer = preference_trainer(model, tokenizer, rows, PreferenceConfig(held_out=0.2), tmp_path, seed)
        return [row["chosen_ids"] for row in trainer.eval_dataset]

    assert held_out(1) == held_out(1) != held_out(2)


def test_simpo_trains_on_whole_long_pairs(tiny: Path, tmp_path: Path) -> None:
    """`read_pairs` has left out what is too long, so the limit that TRL needs must cut nothing."""
    long = {key: text * 20 for key, text in pair(3).items()}
    model, tokenizer = AutoModelForCausalLM.from_pretrained(tiny), AutoTokenizer.from_pretrained(tiny)
    config = PreferenceConfig(loss=Loss.SIMPO, held_out=0.0)
    trainer = preference_trainer(model, tokenizer, Dataset.from_list([long]), config, tmp_path, seed=0)
    row = trainer.train_dataset[0]
    text = long["prompt"] + long["chosen"] + EOS
    assert row["chosen_input_ids"] == tokenizer(text)["input_ids"] and len(row["chosen_input_ids"]) > 300


@pytest.mark.parametrize(
    ("settings", "workers", "sizes"),
    [
        ({"batch": 32}, 1, (8, 4)),
        ({"batch": 8}, 1, (8, 1)),
        ({"batch": 12}, 1, (6, 2)),
        ({"batch": 6, "micro_batch": 4}, 1, (3, 2)),
        ({"batch": 32, "micro_batch": 16}, 2, (16, 1)),
        ({"batch": 32}, 8, (4, 1)),
        ({"batch": 2}, 4, (1, 1)),
    ],
)
def test_a_step_is_divided_into_micro_batches(
    tiny: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    settings: dict[str, Any],
    workers: int,
    sizes: tuple[int, int],
) -> None:
    monkeypatch.setattr("trainers.preference_trainer.world_size", lambda: workers)
    arguments = trainer_of(tiny, tmp_path, **settings).args
    assert (arguments.per_device_train_batch_size, arguments.gradient_accumulation_steps) == sizes
    assert arguments.per_device_eval_batch_size == sizes[0]


def test_all_settings_reach_the_trainer(tiny: Path, tmp_path: Path) -> None:
    settings = {"lr": 3e-4, "weight_decay": 0.02, "epochs": 1.5, "warmup": 0.25, "schedule": "linear", "save_every": 7}
    arguments = trainer_of(tiny, tmp_path, **settings, beta=0.4, precision="bf16").args
    assert (arguments.learning_rate, arguments.weight_decay, arguments.num_train_epochs) == (3e-4, 0.02, 1.5)
    assert (arguments.warmup_steps, arguments.lr_scheduler_type, arguments.save_steps) == (0.25, "linear", 7)
    assert (arguments.beta, arguments.bf16, arguments.seed, arguments.output_dir) == (0.4, True, 0, str(tmp_path))
    assert (arguments.save_total_limit, arguments.logging_steps, arguments.report_to) == (1, 1, [])


def test_the_states_of_the_reference_are_computed_once(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second look at the batch gives the same loss, and runs no network without LoRA; without memory it does."""
    trainer = trainer_of(tiny, tmp_path, unit_weight=0.0, unit_kl=2.0, unit_kl_share=0.5)
    [batch] = list(trainer.get_train_dataloader())
    model, calls = trainer.model.train(), []
    disable = type(model).disable_adapter
    monkeypatch.setattr(type(model), "disable_adapter", lambda self: calls.append(1) or disable(self))

    def loss() -> float:
        with torch.no_grad():
            return float(trainer.compute_loss(model, batch))

    first = loss()
    assert loss() == pytest.approx(first, abs=1e-5) and len(calls) == 1
    with torch.no_grad():
        half = trainer.states.used_bytes
        whole = float(trainer.compute_loss(model.eval(), batch))  # all pairs; half of them are known
        trainer.states = StateStore(torch.float32, max_bytes=0)
        assert float(trainer.compute_loss(model, batch)) == pytest.approx(whole, abs=1e-5)
    assert half > 0 and len(calls) == 3
    loss()
    assert len(calls) == 4 and trainer.states.used_bytes == 0
