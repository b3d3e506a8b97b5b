"""Preference training: a policy learns from pairs with DPO or SimPO, through LoRA that is merged into the next policy.

DPO: -log sigmoid(beta [(log pi(w) - log ref(w)) - (log pi(l) - log ref(l))]).
SimPO: -log sigmoid(beta (mean log pi(w) - mean log pi(l)) - gamma).
PROST-LLM (arXiv 2601.16618, section 3) trains LoRA of rank 8 on all linear layers but the LM head.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast, TrainerCallback

from trainers.launch import is_first_worker, launch
from trainers.settings import read_settings
from trainers.sft import publish, work_folder


class Loss(StrEnum):
    """The preference losses, and what each needs."""

    DPO = "dpo"
    SIMPO = "simpo"

    @property
    def needs_reference_model(self) -> bool:
        """Whether log-probabilities of the policy before training enter the loss."""
        return self is Loss.DPO

    @property
    def is_average_loss(self) -> bool:
        """Whether a sequence counts by its mean log-probability a token, not by the sum."""
        return self is Loss.SIMPO


@dataclass(frozen=True)
class PreferenceSettings:
    """What shapes the training; beta, gamma and epochs are open or differ in the papers, so they stand in the recipe."""

    loss: str = "dpo"
    beta: float = 0.1  # DPO: strength of the tie to the reference; SimPO: scale of the reward (2 to 2.5 there)
    gamma: float = 1.0  # SimPO's target margin
    sft_weight: float = 0.0  # weight of the chosen completions' own loss beside DPO's
    lr: float = 2e-4
    epochs: float = 1.0
    batch: int = 32  # pairs a step, over all workers
    rank: int = 8
    held_out: float = 0.1  # share of the pairs (0..1) that is only watched
    max_length: int = 1_024  # tokens; a longer pair is left out and counted
    save_every: int = 20  # steps between checkpoints
    threads: int = 1


class Curve(TrainerCallback):
    """Appends every logged line (loss, rewards, margins, accuracies) to `training.jsonl`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any) -> None:
        """Keep one line."""
        with self.path.open("a") as curve:
            curve.write(json.dumps({"step": state.global_step, **(logs or {})}) + "\n")


def train_preference(
    pairs: Path, policy: Path, out: Path, *, settings: dict[str, Any], seed: int = 0, workers: int = 0, cpus: float = 1, gpus: float = 0
) -> dict[str, Any]:
    """Train `policy` on Parquet rows {prompt, chosen, rejected} and publish the merged policy as `out`, on Ray Train (see launch).

    Run again after a kill, it goes on from its last checkpoint in `out.work`. Raises ValueError for a setting that does not exist and
    when no pair fits into `max_length`.
    """
    chosen = read_settings(PreferenceSettings, settings, "preference")
    out = out.absolute()
    if not (out / "config.json").exists():
        config = {"pairs": pairs.absolute(), "policy": policy.absolute(), "out": out, "settings": chosen, "seed": seed}
        launch(_loop, config, storage=work_folder(out), workers=workers, cpus=cpus, gpus=gpus)
    return json.loads((out / "training.json").read_text())


def _loop(config: dict[str, Any]) -> None:
    """Train in one worker; the first of them publishes."""
    pairs, out, seed = config["pairs"], config["out"], config["seed"]
    chosen: PreferenceSettings = config["settings"]
    work = work_folder(out)
    torch.set_num_threads(chosen.threads)
    tokenizer = AutoTokenizer.from_pretrained(config["policy"])
    rows = Dataset.from_parquet(str(pairs), cache_dir=str(work / "cache")).select_columns(["prompt", "chosen", "rejected"])
    fitting = rows.filter(lambda row: _length(row, tokenizer) <= chosen.max_length)
    if not len(fitting):
        raise ValueError(f"none of the {len(rows)} pairs in {pairs} fits into preference.max_length = {chosen.max_length} tokens")
    trainer = _trainer(config["policy"], tokenizer, fitting, chosen, work, seed)
    trainer.train(resume_from_checkpoint=any(work.glob("checkpoint-*")))
    if not is_first_worker():
        return
    told = {
        "settings": asdict(chosen),
        "seed": seed,
        "pairs": len(fitting),
        "too_long": len(rows) - len(fitting),
        **_first_and_last(work / "training.jsonl"),
    }
    publish(trainer.model.merge_and_unload(), tokenizer, work, out, told)


def _length(row: dict[str, str], tokenizer: PreTrainedTokenizerFast) -> int:
    return 1 + max(len(tokenizer(row["prompt"] + row[side])["input_ids"]) for side in ("chosen", "rejected"))


def _trainer(policy: Path, tokenizer: PreTrainedTokenizerFast, rows: Dataset, settings: PreferenceSettings, work: Path, seed: int) -> Any:
    from trl import DPOConfig, DPOTrainer
    from trl.experimental.cpo import CPOConfig, CPOTrainer

    model = AutoModelForCausalLM.from_pretrained(policy, dtype=torch.float32)
    split = rows.train_test_split(settings.held_out, seed=seed) if settings.held_out and len(rows) > 10 else {"train": rows, "test": None}
    loss = Loss(settings.loss)
    common = _common(settings, work, seed) | {"eval_strategy": "epoch" if split["test"] is not None else "no"}
    if loss.needs_reference_model:
        kinds = {"loss_type": ["sigmoid", "sft"], "loss_weights": [1.0, settings.sft_weight]} if settings.sft_weight else {}
        config = DPOConfig(**common, **kinds, precompute_ref_log_probs=True)
    else:
        config = CPOConfig(**common, loss_type="simpo", cpo_alpha=0.0, simpo_gamma=settings.gamma)
    lora = LoraConfig(r=settings.rank, lora_alpha=2 * settings.rank, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM")
    return (DPOTrainer if loss.needs_reference_model else CPOTrainer)(
        model=model,
        args=config,
        train_dataset=split["train"],
        eval_dataset=split["test"],
        processing_class=tokenizer,
        peft_config=lora,
        callbacks=[Curve(work / "training.jsonl")],
    )


def _common(settings: PreferenceSettings, work: Path, seed: int) -> dict[str, Any]:
    """Return what both trainers are configured with; a step on a CPU takes its pairs in pieces of 8, which fit its caches."""
    piece = min(8, settings.batch) if not torch.cuda.is_available() else settings.batch
    return {
        "output_dir": str(work),
        "per_device_train_batch_size": piece,
        "per_device_eval_batch_size": piece,
        "gradient_accumulation_steps": settings.batch // piece,
        "beta": settings.beta,
        "learning_rate": settings.lr,
        "num_train_epochs": settings.epochs,
        "warmup_steps": 0.1,
        "lr_scheduler_type": "cosine",
        "max_length": settings.max_length,
        "logging_steps": 1,
        "save_steps": settings.save_every,
        "save_total_limit": 1,
        "seed": seed,
        "bf16": True,
        "use_cpu": not torch.cuda.is_available(),
        "gradient_checkpointing": torch.cuda.is_available(),
        "report_to": "none",
        "disable_tqdm": True,
    }


def _first_and_last(curve: Path) -> dict[str, Any]:
    """Return the first loss (DPO: ln 2) and the last line that watched the held-out pairs."""
    lines = [json.loads(line) for line in curve.read_text().splitlines()]
    watched = [line for line in lines if "eval_loss" in line]
    return {"first_loss": next((line["loss"] for line in lines if "loss" in line), None), "held_out": watched[-1] if watched else None}
