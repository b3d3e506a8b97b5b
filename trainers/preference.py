"""Preference training: a policy learns from pairs with DPO or SimPO, through LoRA that is merged into the next policy.

DPO (arXiv 2305.18290): -log sigmoid(beta [(log pi(w) - log ref(w)) - (log pi(l) - log ref(l))]).
SimPO (arXiv 2405.14734): -log sigmoid(beta (mean log pi(w) - mean log pi(l)) - gamma).
PROST-LLM (arXiv 2601.16618, section 3) trains LoRA of rank 8 on all linear layers but the LM head.
"""

from __future__ import annotations

import argparse
import json
import shutil
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase, Trainer

from factory.typed import build, lay_over
from trainers.launch import ADAPTER, device, digest, is_published, launch, publish, rank, work_folder, world_size

_CPU_PIECE = 8  # pairs at once on a CPU: more do not fit its caches


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

    loss: Loss = Loss.DPO
    beta: float = 0.1  # DPO: strength of the tie to the reference; SimPO: scale of the reward (2 to 2.5 there)
    gamma: float = 1.0  # SimPO's target margin
    length_normalised: bool = False  # DPO on the mean log-ratio a token (beta must be some 50 times as large); SimPO always is
    sft_weight: float = 0.0  # weight of the chosen completions' own loss (nats a token) beside the preference loss
    lr: float = 2e-4
    warmup: float = 0.1  # share of the steps, 0..1
    schedule: str = "cosine"  # linear, constant_with_warmup ...: the names of transformers
    weight_decay: float = 0.0
    epochs: float = 1.0
    batch: int = 32  # pairs a step, over all workers
    rank: int = 8  # of LoRA; its alpha is twice as large
    held_out: float = 0.1  # share of the pairs (0..1) that is only watched
    max_length: int = 0  # tokens of prompt and completion; a longer pair is left out and counted; 0: the policy's context
    precision: Literal["bf16", "fp32"] = "bf16"  # of the network's products; the weights are fp32 in both
    save_every: int = 20  # steps between checkpoints
    threads: int = 1


_SPEED = ("save_every", "threads")  # settings that do not change what comes out


def train_preference(
    pairs: Path,
    policy: Path,
    out: Path,
    *,
    settings: dict[str, Any],
    seed: int = 0,
    workers: int = 0,
    cpus: float = 1,
    gpus: float = 0,
) -> dict[str, Any]:
    """Train `policy` on Parquet rows {prompt, chosen, rejected} and publish the merged policy as `out`; returns its training.json.

    Killed and called again it goes on from the last checkpoint in `out.work`; a published policy is left alone. Raises ValueError for a
    setting that does not exist, for an unfinished training with other settings, pairs or weights, and when no pair fits `max_length`.
    """
    chosen, out = build(PreferenceSettings, settings, "preference"), out.absolute()
    counting = {key: value for key, value in asdict(chosen).items() if key not in _SPEED}
    identity = {**counting, "seed": seed, "workers": max(1, workers), "pairs": digest(pairs), "policy": digest(policy)}
    if not is_published(out, identity):
        work = work_folder(out, identity)
        paths = {"pairs": pairs.absolute(), "policy": policy.absolute(), "out": out, "work": work}
        launch(_loop, paths | {"settings": chosen, "seed": seed}, work=work, workers=workers, cpus=cpus, gpus=gpus)
        shutil.rmtree(work)
    return json.loads((out / "training.json").read_text())


def _loop(config: dict[str, Any]) -> None:
    """Train in one worker; the first of them publishes."""
    work, chosen = config["work"], config["settings"]
    torch.set_num_threads(chosen.threads)
    tokenizer = AutoTokenizer.from_pretrained(config["policy"])
    model = AutoModelForCausalLM.from_pretrained(config["policy"], dtype=torch.float32)
    longest = chosen.max_length or model.config.max_position_embeddings
    fitting, too_long = read_pairs(config["pairs"], tokenizer, longest, work / "cache")
    trainer = preference_trainer(model, tokenizer, fitting, chosen, work, config["seed"])
    trainer.train(resume_from_checkpoint=last_checkpoint(work))
    curve = trainer.state.log_history
    told = {"settings": asdict(chosen), "seed": config["seed"], "pairs": len(fitting), "too_long": too_long, **_summary(curve)}
    trained: Any = trainer.model
    if rank() == 0:
        trained.save_pretrained(work / ADAPTER)
    publish(trained.merge_and_unload(), tokenizer, work, config["out"], curve, told | {"step": trainer.state.global_step})


def read_pairs(path: Path, tokenizer: PreTrainedTokenizerBase, max_length: int, cache: Path) -> tuple[Dataset, int]:
    """Return the pairs of which both sides have at most `max_length` tokens with their end token, and how many were longer.

    `cache` is a folder that all workers see: there the first one leaves the reference's log-probabilities for the others. Raises
    ValueError when no pair is left: TRL would cut them off without a word.
    """
    rows = Dataset.from_parquet(str(path), columns=["prompt", "chosen", "rejected"], cache_dir=str(cache))
    lengths = [max(_length(tokenizer, row["prompt"] + row[side]) for side in ("chosen", "rejected")) for row in rows]
    fitting = rows.select([place for place, length in enumerate(lengths) if length <= max_length])
    if not len(fitting):
        raise ValueError(f"none of the {len(rows)} pairs in {path} fits into {max_length} tokens")
    return fitting, len(rows) - len(fitting)


def preference_trainer(
    model: Any, tokenizer: PreTrainedTokenizerBase, rows: Dataset, settings: PreferenceSettings, work: Path, seed: int
) -> Trainer:
    """Return TRL's trainer of the loss on LoRA over `model`, with a part of the rows held out where there are more than ten."""
    from trl import DPOConfig, DPOTrainer
    from trl.experimental.cpo import CPOConfig, CPOTrainer

    watched = settings.held_out > 0 and len(rows) > 10
    split = rows.train_test_split(settings.held_out, seed=seed) if watched else {"train": rows, "test": None}
    common = _common(settings, work, seed) | {"eval_strategy": "epoch" if watched else "no"}
    args: Any
    kind: Any
    if settings.loss.needs_reference_model:
        args, kind = DPOConfig(**common, **_dpo(settings), precompute_ref_log_probs=True), DPOTrainer
    else:
        args, kind = CPOConfig(**common, loss_type="simpo", simpo_gamma=settings.gamma, cpo_alpha=settings.sft_weight), CPOTrainer
    return kind(
        model=model,
        args=args,
        train_dataset=split["train"],
        eval_dataset=split["test"],
        processing_class=tokenizer,
        peft_config=LoraConfig(
            r=settings.rank, lora_alpha=2 * settings.rank, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM"
        ),
    )


def last_checkpoint(work: Path) -> str | None:
    """Return the newest whole checkpoint: a kill may have left one that is not finished (its state is written last)."""
    whole = []
    for state in work.glob("checkpoint-*/trainer_state.json"):
        try:
            whole.append((json.loads(state.read_text())["global_step"], str(state.parent)))
        except (ValueError, KeyError):
            continue
    return max(whole)[1] if whole else None


def _dpo(settings: PreferenceSettings) -> dict[str, Any]:
    kind = "sigmoid_norm" if settings.length_normalised else "sigmoid"
    return {"loss_type": [kind, "sft"], "loss_weights": [1.0, settings.sft_weight]} if settings.sft_weight else {"loss_type": [kind]}


def _common(settings: PreferenceSettings, work: Path, seed: int) -> dict[str, Any]:
    """Return what both trainers are configured with."""
    gpu, batch = device().type == "cuda", max(1, settings.batch // world_size())
    piece = batch if gpu else max(size for size in range(1, _CPU_PIECE + 1) if batch % size == 0)
    return {
        "output_dir": str(work),
        "per_device_train_batch_size": piece,
        "per_device_eval_batch_size": piece,
        "gradient_accumulation_steps": batch // piece,
        "beta": settings.beta,
        "learning_rate": settings.lr,
        "weight_decay": settings.weight_decay,
        "num_train_epochs": settings.epochs,
        "warmup_steps": settings.warmup,
        "lr_scheduler_type": settings.schedule,
        "max_length": None if settings.loss.needs_reference_model else 2**31,  # read_pairs has left out what is too long
        "logging_steps": 1,
        "save_steps": settings.save_every,
        "save_total_limit": 1,
        "seed": seed,
        "bf16": settings.precision == "bf16",
        "use_cpu": not gpu,
        "gradient_checkpointing": gpu,
        "report_to": "none",
        "disable_tqdm": True,
    }


def _length(tokenizer: PreTrainedTokenizerBase, text: str) -> int:
    return len(tokenizer(text, add_special_tokens=False)["input_ids"]) + 1


def _summary(curve: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the first loss (DPO: ln 2) and the last line that watched the held-out pairs."""
    watched = [line for line in curve if "eval_loss" in line]
    return {"first_loss": next((line["loss"] for line in curve if "loss" in line), None), "held_out": watched[-1] if watched else None}


def main() -> None:
    """Train from the command line; settings are given as key=value."""
    parser = argparse.ArgumentParser(prog="python -m trainers.preference", description=(__doc__ or "").splitlines()[0])
    for name in ("pairs", "policy", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=0, help="Ray Train workers; 0: in this process")
    parser.add_argument("settings", nargs="*", metavar="key=value")
    given = vars(parser.parse_args())
    settings: dict[str, Any] = {}
    for override in given.pop("settings"):
        lay_over(settings, override)
    print(json.dumps(train_preference(**given, settings=settings), indent=2))


if __name__ == "__main__":
    main()
