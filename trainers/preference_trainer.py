"""The trainers of the preference losses: TRL's, and TRL's DPO with weights on tokens of speech."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from datasets import Dataset
from peft import LoraConfig
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase, Trainer
from trl.experimental.cpo.cpo_config import CPOConfig
from trl.experimental.cpo.cpo_trainer import CPOTrainer
from trl.trainer.dpo_config import DPOConfig
from trl.trainer.dpo_trainer import DPOTrainer

from factory.recipe.training import PreferenceConfig
from trainers.speech_weights import UnitWeights, last_states, reference_states
from trainers.workers import device, world_size

CPU_MICRO_BATCH = 8
"""Pairs at once on a CPU: more do not fit into its caches."""
MIN_HELD_OUT_FROM = 10
"""A data set with more pairs than this is split into a training part and a held-out part."""
UNLIMITED = 2**31
"""A length that no pair has: TRL's CPO needs a limit, and `read_pairs` has left out long pairs."""


Keywords = dict[str, Any]
"""Arguments of libraries without types."""


class WeightedDPOTrainer(DPOTrainer):
    """DPO in which tokens of speech have a weight, and speech may be kept near the reference."""

    def __init__(self, weights: UnitWeights, config: PreferenceConfig, **arguments: Any) -> None:
        """Set the weights first: TRL's constructor already computes the log-probabilities of the reference."""
        self.unit_weights, self.preference = weights, config
        super().__init__(**arguments)

    def compute_ref_log_probs(self, model: nn.Module, inputs: Mapping[str, Tensor]) -> Any:
        """Return the log-probabilities of the reference, weighted."""
        with self.unit_weights.applied_to(model):
            return super().compute_ref_log_probs(model, inputs)  # type: ignore[no-untyped-call]

    def compute_loss(
        self,
        model: nn.Module,
        inputs: Mapping[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """Return the weighted DPO loss, plus `sft_weight` of the chosen side's loss and `unit_kl` of the divergence.

        `return_outputs` must be False: TRL asks for outputs only to compute metrics, and no trainer here has any.
        """
        if return_outputs:
            raise ValueError("WeightedDPOTrainer returns the loss alone")
        policy = self.accelerator.unwrap_model(model)
        with self.unit_weights.applied_to(model), last_states(policy) as states:
            loss = super().compute_loss(  # type: ignore[no-untyped-call]
                model, inputs, num_items_in_batch=num_items_in_batch
            )
        loss = loss + self.preference.sft_weight * self.unit_weights.chosen_loss
        if self.preference.unit_kl:
            with self.accelerator.autocast():
                reference = reference_states(policy, inputs)
            head = policy.get_output_embeddings()
            divergence = self.unit_weights.divergence(head, inputs, states[0], reference)
            self._metrics["train" if model.training else "eval"]["unit_kl"].append(divergence.item())
            loss = loss + self.preference.unit_kl * divergence
        return loss


def preference_trainer(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    rows: Dataset,
    config: PreferenceConfig,
    work: Path,
    seed: int,
) -> Trainer:
    """Return the trainer of a preference loss, with LoRA on the policy.

    Args:
        model: the policy before the training, which is the reference too.
        tokenizer: its tokenizer.
        rows: pairs with the columns prompt, chosen and rejected; a part of more than MIN_HELD_OUT_FROM is held out.
        config: the settings.
        work: the folder of the checkpoints.
        seed: of the split, the order of the pairs and LoRA.
    """
    splits = config.held_out > 0 and len(rows) > MIN_HELD_OUT_FROM
    split = rows.train_test_split(config.held_out, seed=seed) if splits else {"train": rows, "test": None}
    common: Keywords = _common_arguments(config, work, seed) | {"eval_strategy": "epoch" if splits else "no"}
    parts: Keywords = {
        "model": model,
        "train_dataset": split["train"],
        "eval_dataset": split["test"],
        "processing_class": tokenizer,
        "peft_config": LoraConfig(
            r=config.rank,
            lora_alpha=2 * config.rank,
            lora_dropout=0.0,
            target_modules=list(config.targets) if config.targets else "all-linear",
            task_type="CAUSAL_LM",
        ),
    }
    if not config.loss.needs_reference_model:
        simpo: Keywords = {"loss_type": "simpo", "simpo_gamma": config.gamma, "cpo_alpha": config.sft_weight}
        return CPOTrainer(args=CPOConfig(**common, **simpo, max_length=UNLIMITED), **parts)
    arguments = DPOConfig(**common, **_dpo_loss(config), max_length=None, precompute_ref_log_probs=True)
    if config.weights_tokens_equally:
        return DPOTrainer(args=arguments, **parts)
    return WeightedDPOTrainer(UnitWeights(tokenizer, config.unit_weight), config, args=arguments, **parts)


def _dpo_loss(config: PreferenceConfig) -> Keywords:
    loss = "sigmoid_norm" if config.length_normalised else "sigmoid"
    if not config.sft_weight or not config.weights_tokens_equally:  # WeightedDPOTrainer adds the second loss itself
        return {"loss_type": [loss]}
    return {"loss_type": [loss, "sft"], "loss_weights": [1.0, config.sft_weight]}


def _common_arguments(config: PreferenceConfig, work: Path, seed: int) -> Keywords:
    """Return the arguments that all trainers take."""
    on_gpu, batch = device().type == "cuda", max(1, config.batch // world_size())
    largest = config.micro_batch or (batch if on_gpu else CPU_MICRO_BATCH)
    micro_batch = max(size for size in range(1, min(largest, batch) + 1) if batch % size == 0)
    return {
        "output_dir": str(work),
        "per_device_train_batch_size": micro_batch,
        "per_device_eval_batch_size": micro_batch,
        "gradient_accumulation_steps": batch // micro_batch,
        "beta": config.beta,
        "learning_rate": config.lr,
        "weight_decay": config.weight_decay,
        "num_train_epochs": config.epochs,
        "warmup_steps": config.warmup,
        "lr_scheduler_type": config.schedule,
        "logging_steps": 1,
        "save_steps": config.save_every,
        "save_total_limit": 1,
        "seed": seed,
        "bf16": config.precision == "bf16",
        "use_cpu": not on_gpu,
        "gradient_checkpointing": on_gpu,
        "report_to": "none",
        "disable_tqdm": True,
    }
