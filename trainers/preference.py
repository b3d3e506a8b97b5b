"""Preference training: a policy learns from pairs with DPO or SimPO, through LoRA that is merged into the next policy.

DPO (arXiv 2305.18290): -log sigmoid(beta [(log pi(w) - log ref(w)) - (log pi(l) - log ref(l))]).
SimPO (arXiv 2405.14734): -log sigmoid(beta (mean log pi(w) - mean log pi(l)) - gamma).
PROST-LLM (arXiv 2601.16618, section 3) trains LoRA of rank 8 on all linear layers but the LM head.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase, Trainer

from factory.recipe.sections import PoolConfig
from factory.recipe.training import PreferenceConfig, resolve_precision
from factory.recipe.typed import build
from trainers.checks import check_pairs, check_targets, check_tokens, none_fits
from trainers.command import asked
from trainers.launch import STALL_S, pulse, train_policy
from trainers.publish import ADAPTER, policy_digest, publish
from trainers.remote import Place, last_checkpoint, place_of
from trainers.speech_weights import UnitWeights, last_states, reference_states
from trainers.workers import device, rank, world_size

_CPU_MICRO_BATCH = 8  # pairs at once on a CPU: more do not fit its caches
_SPEED = ("save_every", "threads")  # settings that do not change what comes out


def train_preference(
    pairs: Place,
    policy: Place,
    out: Place,
    *,
    settings: dict[str, Any],
    seed: int = 0,
    pool: PoolConfig | None = None,
    stall_s: float = STALL_S,
) -> dict[str, Any]:
    """Train `policy` on Parquet rows {prompt, chosen, rejected} and publish the merged policy as `out`; returns its training.json.

    Each is a path, or a URI in an object store (`trainers.remote`). `pool` is of Ray Train workers; None: here, without Ray. Killed and
    called again it goes on from the last checkpoint in `out.work`; a published policy is left alone. Raises ValueError for settings that
    cannot be, for an unfinished training with other settings, pairs or weights, for pairs and layers that cannot be trained on
    (`trainers.checks`), and when no pair fits `max_length`.
    """
    chosen, out = build(PreferenceConfig, settings, "preference"), place_of(out)
    chosen.check()
    counting = {key: value for key, value in asdict(chosen).items() if key not in _SPEED}
    identity = {
        **counting,
        "seed": seed,
        "workers": pool.actors if pool else 1,
        "pairs": policy_digest(pairs),
        "policy": policy_digest(policy),
    }
    inputs, config = {"pairs": pairs, "policy": policy}, {"settings": chosen, "seed": seed}
    return train_policy(_loop, inputs, out, identity, config, pool=pool, stall_s=stall_s)


def _loop(config: dict[str, Any]) -> None:
    """Train in one worker; the first of them publishes."""
    work, chosen = config["work"], resolve_precision(config["settings"], on_gpu=device().type == "cuda")
    torch.set_num_threads(chosen.threads)
    tokenizer = AutoTokenizer.from_pretrained(config["policy"])
    model = AutoModelForCausalLM.from_pretrained(config["policy"], dtype=torch.float32)
    model.register_forward_pre_hook(lambda *_: pulse(work))
    layers = [name for name, layer in model.named_modules() if isinstance(layer, torch.nn.Linear)]
    check_targets(chosen.targets or (), layers, config["policy"].name)
    longest = chosen.max_length or model.config.max_position_embeddings
    fitting, too_long = read_pairs(config["pairs"], tokenizer, longest, work / "cache")
    trainer = preference_trainer(model, tokenizer, fitting, chosen, work, config["seed"])
    trainer.train(resume_from_checkpoint=last_checkpoint(work))
    curve = trainer.state.log_history
    told = {
        "settings": asdict(chosen),
        "seed": config["seed"],
        "pairs": len(fitting),
        "too_long": too_long,
        **_summary(curve),
    }
    trained: Any = trainer.model
    if rank() == 0:
        trained.save_pretrained(work / ADAPTER)
    publish(
        trained.merge_and_unload(), tokenizer, work, config["out"], curve, told | {"step": trainer.state.global_step}
    )


def read_pairs(path: Path, tokenizer: PreTrainedTokenizerBase, max_length: int, cache: Path) -> tuple[Dataset, int]:
    """Return the pairs of which both sides have at most `max_length` tokens with their end token, and how many were longer.

    `cache` is a folder that all workers see: there the first one leaves the reference's log-probabilities for the others. Raises
    ValueError when no pair is left (TRL would cut them off without a word), and for pairs that cannot be trained on.
    """
    rows = Dataset.from_parquet(str(path), columns=["prompt", "chosen", "rejected"], cache_dir=str(cache))
    check_pairs(rows, str(path))
    check_tokens(
        (row[side] for row in rows for side in ("prompt", "chosen", "rejected")),
        tokenizer.get_vocab(),
        tokenizer.name_or_path,
    )
    lengths = [max(_length(tokenizer, row["prompt"] + row[side]) for side in ("chosen", "rejected")) for row in rows]
    fitting = rows.select([place for place, length in enumerate(lengths) if length <= max_length])
    if not len(fitting):
        raise ValueError(
            none_fits("pairs", len(rows), str(path), max_length, [_length(tokenizer, row["prompt"]) for row in rows])
        )
    return fitting, len(rows) - len(fitting)


def preference_trainer(
    model: Any, tokenizer: PreTrainedTokenizerBase, rows: Dataset, settings: PreferenceConfig, work: Path, seed: int
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
        kind = DPOTrainer if settings.weights_tokens_equally else _weighing(DPOTrainer, tokenizer, settings)
        args = DPOConfig(**common, **_dpo(settings), precompute_ref_log_probs=True)
    else:
        args, kind = (
            CPOConfig(**common, loss_type="simpo", simpo_gamma=settings.gamma, cpo_alpha=settings.sft_weight),
            CPOTrainer,
        )
    adapted = LoraConfig(
        r=settings.rank,
        lora_alpha=2 * settings.rank,
        lora_dropout=0.0,
        target_modules=list(settings.targets) if settings.targets else "all-linear",
        task_type="CAUSAL_LM",
    )
    trainer: Trainer = kind(
        model=model,
        args=args,
        train_dataset=split["train"],
        eval_dataset=split["test"],
        processing_class=tokenizer,
        peft_config=adapted,
    )
    return trainer


def _weighing(kind: Any, tokenizer: PreTrainedTokenizerBase, settings: PreferenceConfig) -> Any:
    """Return the trainer with the weights on, in its reference's log-probabilities too, which it computes while it is being made."""
    weights = UnitWeights(tokenizer, settings.unit_weight)

    class Weighing(kind):
        def compute_ref_log_probs(self, model: Any, inputs: Any) -> Any:
            """Compute them with the weights on."""
            with weights.on(model):
                return super().compute_ref_log_probs(model, inputs)

        def compute_loss(
            self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
        ) -> Any:
            """Return the preference loss with the weights on and, beside it, the chosen side's own and how far the speech has moved."""
            policy = self.accelerator.unwrap_model(model)
            with weights.on(model), last_states(policy) as states:
                told = super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
            beside = settings.sft_weight * weights.chosen_loss
            if settings.unit_kl:
                with self.accelerator.autocast():
                    reference = reference_states(policy, inputs)
                moved = weights.divergence(policy, inputs, states[0], reference)
                self._metrics["train" if self.model.training else "eval"]["unit_kl"].append(moved.item())
                beside = beside + settings.unit_kl * moved
            return (told[0] + beside, told[1]) if return_outputs else told + beside

    return Weighing


def _dpo(settings: PreferenceConfig) -> dict[str, Any]:
    kind = "sigmoid_norm" if settings.length_normalised else "sigmoid"
    if not settings.sft_weight or not settings.weights_tokens_equally:  # the second loss is ours then
        return {"loss_type": [kind]}
    return {"loss_type": [kind, "sft"], "loss_weights": [1.0, settings.sft_weight]}


def _common(settings: PreferenceConfig, work: Path, seed: int) -> dict[str, Any]:
    """Return what both trainers are configured with."""
    gpu, batch = device().type == "cuda", max(1, settings.batch // world_size())
    most = settings.micro_batch or (batch if gpu else _CPU_MICRO_BATCH)
    micro_batch = max(size for size in range(1, min(most, batch) + 1) if batch % size == 0)
    return {
        "output_dir": str(work),
        "per_device_train_batch_size": micro_batch,
        "per_device_eval_batch_size": micro_batch,
        "gradient_accumulation_steps": batch // micro_batch,
        "beta": settings.beta,
        "learning_rate": settings.lr,
        "weight_decay": settings.weight_decay,
        "num_train_epochs": settings.epochs,
        "warmup_steps": settings.warmup,
        "lr_scheduler_type": settings.schedule,
        "max_length": None
        if settings.loss.needs_reference_model
        else 2**31,  # read_pairs has left out what is too long
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
    return {
        "first_loss": next((line["loss"] for line in curve if "loss" in line), None),
        "held_out": watched[-1] if watched else None,
    }


def main() -> None:
    """Train from the command line; settings are given as key=value."""
    given = asked("python -m trainers.preference", (__doc__ or "").splitlines()[0], ("pairs", "policy", "out"))
    print(json.dumps(train_preference(**given), indent=2))


if __name__ == "__main__":
    main()
