"""Preference training: the losses are the papers', the tokens are whole, and what comes out is a policy."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import torch.nn.functional as F
from datasets import Dataset
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer, Trainer

from factory.recipe.training import Loss, PreferenceConfig
from factory.recipe.typed import RecipeError
from schemas.sequences import EOS, EOSP, Variant, completion, prompt
from trainers.preference import preference_trainer, read_pairs, train_preference
from trainers.remote import last_checkpoint

QUICK = {"batch": 8, "epochs": 2, "lr": 5e-3, "held_out": 0.2, "save_every": 2, "precision": "fp32"}


def pair(number: int) -> dict[str, str]:
    """Return a pair of which the chosen side has rising units and the rejected one falling units, of different lengths."""
    start, text = number % 8, ["gare", "train", "café neuf", "où"][number % 4]
    rising = list(range(start, start + 4 + number % 5))
    return {
        "prompt": prompt(Variant.COM, "fr", "en", rising),
        "chosen": completion(Variant.COM, text, rising),
        "rejected": completion(Variant.COM, text[::-1], rising[::-1] + [0]),
    }


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Parquet file of 40 pairs."""
    path = tmp_path_factory.mktemp("data") / "pairs.parquet"
    pq.write_table(
        pa.Table.from_pylist([pair(number) | {"pair_id": str(number), "margin": 0.5} for number in range(40)]), path
    )
    return path


@pytest.fixture(params=["dpo", "simpo"])
def loss(request: pytest.FixtureRequest) -> Loss:
    """Each loss in turn."""
    return Loss(request.param)


def trainer_of(tiny: Path, work: Path, rows: int = 8, **settings: Any) -> Trainer:
    """Return a trainer whose LoRA is not zero any more, so that policy and reference differ."""
    model, tokenizer = (
        AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.float32),
        AutoTokenizer.from_pretrained(tiny),
    )
    chosen = PreferenceConfig(**{"batch": 8, "precision": "fp32", "held_out": 0.0, **settings})
    trainer = preference_trainer(
        model, tokenizer, Dataset.from_list([pair(number) for number in range(rows)]), chosen, work, seed=0
    )
    with torch.no_grad():
        for name, weight in trainer.model.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.2)
    return trainer


def said(model: Any, tokenizer: Any, row: dict[str, str], side: str) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return what a model says of a completion and its end token: (T, V) log-probabilities, (T,) true tokens, (T,) which are speech."""
    context = tokenizer(row["prompt"])["input_ids"]
    ids = torch.tensor([context + tokenizer(row[side] + EOS)["input_ids"]])
    with torch.no_grad():
        every = model(input_ids=ids).logits.log_softmax(-1)[0, len(context) - 1 : -1]
    told = tokenizer.convert_ids_to_tokens(ids[0, len(context) :])
    speech = [token in (EOSP, EOS) or bool(re.fullmatch(r"<\|u\d+\|>", token)) for token in told]
    return every, ids[0, len(context) :], torch.tensor(speech)


def log_probabilities(model: Any, tokenizer: Any, row: dict[str, str], side: str, units: float = 1.0) -> torch.Tensor:
    """Return the log-probability of each token of a completion and its end token, (T,), that of speech `units` times."""
    every, ids, speech = said(model, tokenizer, row, side)
    return every.gather(1, ids[:, None])[:, 0] * torch.where(speech, units, 1.0)


def own_loss(model: Any, tokenizer: Any, units: float) -> float:
    """Return the chosen completions' own loss in nats a token, a token of speech counting `units` times."""
    learned = torch.cat([log_probabilities(model, tokenizer, pair(number), "chosen", units) for number in range(8)])
    speech = torch.cat([said(model, tokenizer, pair(number), "chosen")[2] for number in range(8)])
    return float(-learned.sum() / torch.where(speech, units, 1.0).sum())


def moved(policy: Any, reference: Any, tokenizer: Any) -> float:
    """Return KL(reference || policy), the mean over the tokens of speech of both sides."""
    each = []
    for row, side in ((pair(number), side) for number in range(8) for side in ("chosen", "rejected")):
        (now, _, speech), (before, _, _) = said(policy, tokenizer, row, side), said(reference, tokenizer, row, side)
        each.append((before.exp() * (before - now)).sum(1)[speech])
    return float(torch.cat(each).mean())


def one_loss(trainer: Trainer) -> float:
    """Return the loss of the whole data as the trainer sees it."""
    [batch] = list(trainer.get_train_dataloader())
    with torch.no_grad():
        return float(trainer.compute_loss(trainer.model.train(), batch))


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
        {"loss": Loss.DPO, "beta": 0.3, "sft_weight": 0.7, "unit_kl": 2.0},
        {"loss": Loss.SIMPO, "beta": 2.0, "gamma": 1.4},
        {"loss": Loss.SIMPO, "beta": 2.0, "gamma": 0.5, "sft_weight": 0.7},
    ],
    ids=[
        *("dpo", "of means", "and sft", "light units", "text alone and sft", "means of text alone"),
        *("speech held", "all, speech held", "simpo", "simpo and sft"),
    ],
)
def test_the_loss_is_the_formula(tiny: Path, tmp_path: Path, settings: dict[str, Any]) -> None:
    trainer, chosen = trainer_of(tiny, tmp_path, **settings), PreferenceConfig(**settings)
    found = one_loss(trainer)
    reference, tokenizer = AutoModelForCausalLM.from_pretrained(tiny), AutoTokenizer.from_pretrained(tiny)
    policy = trainer.model.merge_and_unload().eval()
    losses = []
    for row in (pair(number) for number in range(8)):
        (won, lost), (won_before, lost_before) = (
            [log_probabilities(model, tokenizer, row, side, chosen.unit_weight) for side in ("chosen", "rejected")]
            for model in (policy, reference)
        )
        if chosen.loss is Loss.SIMPO:
            margin = chosen.beta * (won.mean() - lost.mean()) - chosen.gamma
        elif chosen.length_normalised:
            margin = chosen.beta * ((won - won_before).mean() - (lost - lost_before).mean())
        else:
            margin = chosen.beta * ((won - won_before).sum() - (lost - lost_before).sum())
        losses.append(-F.logsigmoid(margin))
    wanted = float(torch.stack(losses).mean()) + chosen.sft_weight * own_loss(policy, tokenizer, chosen.unit_weight)
    wanted += chosen.unit_kl * moved(policy, reference, tokenizer)
    assert found == pytest.approx(wanted, abs=2e-4)


def test_speech_has_not_moved_before_the_first_step_whatever_the_precision(
    tiny: Path, pairs: Path, tmp_path: Path
) -> None:
    train_preference(
        pairs, tiny, tmp_path / "policy", settings=QUICK | {"precision": "bf16", "unit_weight": 0.0, "unit_kl": 2.0}
    )
    moved = [
        line["unit_kl"] for line in map(json.loads, (tmp_path / "policy/training.jsonl").open()) if "unit_kl" in line
    ]
    assert moved[0] == 0 < moved[-1]


def test_it_trains_on_whole_sequences_with_one_end_token(tiny: Path, tmp_path: Path, loss: Loss) -> None:
    trainer, tokenizer = trainer_of(tiny, tmp_path, loss=loss), AutoTokenizer.from_pretrained(tiny)
    [batch] = list(trainer.get_train_dataloader())
    if loss is Loss.DPO:
        ids, learned = batch["input_ids"], batch["completion_mask"].bool()
    else:
        joined = trainer.concatenated_inputs(batch, padding_value=tokenizer.pad_token_id)
        ids, learned = joined["concatenated_input_ids"], joined["concatenated_labels"] != -100
    wanted = set()
    for row in (pair(number) for number in range(8)):
        for side in ("chosen", "rejected"):
            wanted.add(
                (
                    tuple(tokenizer(row["prompt"])["input_ids"]),
                    tuple(tokenizer(row[side])["input_ids"]) + (tokenizer.eos_token_id,),
                )
            )
    pad, found = tokenizer.pad_token_id, set()
    for row_ids, row_learned in zip(ids, learned):
        found.add((tuple(row_ids[~row_learned & (row_ids != pad)].tolist()), tuple(row_ids[row_learned].tolist())))
    assert found == wanted
    assert len(wanted) == 16


def test_a_training_makes_a_policy(tiny: Path, pairs: Path, tmp_path: Path, loss: Loss) -> None:
    told = train_preference(pairs, tiny, tmp_path / "policy", settings=QUICK | {"loss": str(loss)}, seed=2)
    curve = [json.loads(line) for line in (tmp_path / "policy/training.jsonl").read_text().splitlines()]
    if loss.needs_reference_model:
        assert told["first_loss"] == pytest.approx(math.log(2), abs=1e-4)
    assert told["pairs"] == 40
    assert told["too_long"] == 0
    assert told["step"] == 8
    assert {"loss", "rewards/chosen", "rewards/rejected", "rewards/margins", "rewards/accuracies"} <= set(curve[0])
    watched = [line["eval_rewards/margins"] for line in curve if "eval_rewards/margins" in line]
    assert len(watched) == 2
    assert told["held_out"]["eval_rewards/accuracies"] > 0.9
    assert [path.name for path in tmp_path.iterdir()] == ["policy"]

    before, after = load_file(tiny / "model.safetensors"), load_file(tmp_path / "policy/model.safetensors")
    assert {name: weight.shape for name, weight in before.items()} == {
        name: weight.shape for name, weight in after.items()
    }
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {name for name in before if "_proj" in name}  # every linear layer, and no embedding
    assert (tmp_path / "policy/tokenizer.json").read_bytes() == (tiny / "tokenizer.json").read_bytes()
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "policy").config.use_cache
    assert (
        train_preference(pairs, tiny, tmp_path / "policy", settings=QUICK | {"loss": str(loss)}, seed=2) == told
    )  # published: left alone


def test_a_training_goes_on_where_it_stopped(
    tiny: Path, pairs: Path, tmp_path: Path, interrupted: Callable[[], Any]
) -> None:
    train_preference(pairs, tiny, tmp_path / "whole", settings=QUICK, seed=2)
    with interrupted():
        train_preference(pairs, tiny, tmp_path / "halves", settings=QUICK, seed=2)
    work = tmp_path / "halves.work"
    (work / "checkpoint-5").mkdir()  # a kill while this one was written
    assert last_checkpoint(work) == str(work / "checkpoint-4")
    train_preference(pairs, tiny, tmp_path / "halves", settings=QUICK, seed=2)
    whole, halves = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "halves"))
    for name, weight in whole.items():
        torch.testing.assert_close(halves[name], weight, atol=1e-6, rtol=1e-5)


def test_long_pairs_are_counted_and_left_out(tiny: Path, pairs: Path, tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny)
    rows, too_long = read_pairs(pairs, tokenizer, 24, tmp_path)
    assert len(rows) + too_long == 40
    assert 0 < too_long < 40
    assert all(
        len(tokenizer(row["prompt"] + row[side] + EOS)["input_ids"]) <= 24
        for row in rows
        for side in ("chosen", "rejected")
    )
    with pytest.raises(
        ValueError, match="none of the 40 pairs in .* fits into 5 tokens; 40 prompts fill it by themselves"
    ):
        read_pairs(pairs, tokenizer, 5, tmp_path)


def test_losses_know_their_needs_and_unknown_settings_are_named(tiny: Path, pairs: Path, tmp_path: Path) -> None:
    assert [(kind.needs_reference_model, kind.is_average_loss) for kind in Loss] == [(True, False), (False, True)]
    with pytest.raises(RecipeError, match="preference.loss is 'dpoo', which is not known: did you mean dpo"):
        train_preference(pairs, tiny, tmp_path / "policy", settings={"loss": "dpoo"})
    with pytest.raises(
        RecipeError, match="preference.learning_rate is no key of preference: expected one of loss, beta"
    ):
        train_preference(pairs, tiny, tmp_path / "policy", settings={"learning_rate": 1e-6})
    with pytest.raises(RecipeError, match="preference.unit_kl needs loss: dpo; got simpo"):
        train_preference(pairs, tiny, tmp_path / "policy", settings={"loss": "simpo", "unit_kl": 1.0})


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"rejected": pair(3)["chosen"]}, "row 1 of .* has the same text as chosen and as rejected .*: leave it out"),
        ({"chosen": ""}, "row 1 of .* has an empty prompt, chosen or rejected side"),
        (
            {"prompt": prompt(Variant.COM, "fr", "de", [1, 99])},
            r"the policy .* has no token <\|de\|>, <\|u99\|>: its vocabulary was made",
        ),
    ],
    ids=["equal sides", "an empty side", "unknown tokens"],
)
def test_pairs_that_cannot_be_trained_on_are_named(
    tiny: Path, tmp_path: Path, change: dict[str, str], sentence: str
) -> None:
    pq.write_table(pa.Table.from_pylist([pair(0), pair(3) | change]), tmp_path / "pairs.parquet")
    with pytest.raises(ValueError, match=sentence):
        train_preference(tmp_path / "pairs.parquet", tiny, tmp_path / "policy", settings=QUICK)


def test_lora_stands_where_it_is_asked_for(tiny: Path, pairs: Path, tmp_path: Path) -> None:
    trained = trainer_of(tiny, tmp_path, targets=("q_proj", "down_proj")).model
    adapted = {name.split(".lora_A")[0].split(".")[-1] for name, _ in trained.named_parameters() if "lora_A" in name}
    assert adapted == {"q_proj", "down_proj"}
    with pytest.raises(
        ValueError, match=r"preference.targets names qkv, which tiny does not have; its linear layers: down_proj"
    ):
        train_preference(pairs, tiny, tmp_path / "policy", settings=QUICK | {"targets": ["q_proj", "qkv"]})
