"""The trainers of the preference losses: TRL's SimPO, and TRL's DPO on packed pairs with weighted tokens of speech."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import torch
from datasets import Dataset
from peft import LoraConfig
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase, Trainer
from trl.experimental.cpo.cpo_config import CPOConfig
from trl.experimental.cpo.cpo_trainer import CPOTrainer
from trl.trainer.dpo_config import DPOConfig
from trl.trainer.dpo_trainer import DPOTrainer

from factory.recipe.training import PreferenceConfig
from trainers.held_out import KeepBest
from trainers.packing import pack, packed_forward, shares_prompts
from trainers.reference_states import StateStore
from trainers.speech_weights import UnitWeights, divergence
from trainers.workers import device, world_size

CPU_MICRO_BATCH = 8
"""Pairs at once on a CPU: more do not fit into its caches."""
MIN_HELD_OUT_FROM = 10
"""A data set with more pairs than this is split into a training part and a held-out part."""
UNLIMITED = 2**31
"""A length that no pair has: TRL's CPO needs a limit, and `read_pairs` has left out long pairs."""


Keywords = dict[str, Any]
"""Arguments of libraries without types."""


class PairTrainer(DPOTrainer):
    """TRL's DPO on packed pairs, in which tokens of speech have a weight, and speech may be kept near the reference."""

    def __init__(self, weights: UnitWeights, config: PreferenceConfig, **arguments: Any) -> None:
        """Set the weights first: TRL's constructor already computes the log-probabilities of the reference."""
        self.unit_weights, self.preference = weights, config
        self.shares_prompts = shares_prompts(arguments["model"])
        # the head takes states in bf16 where it computes in bf16, so that keeping them so loses nothing
        self.states = StateStore(torch.bfloat16 if config.precision == "bf16" else torch.float32)
        super().__init__(**arguments)

    def _prepare_dataset(self, dataset: Dataset, *arguments: Any) -> Any:
        """Return pairs that are token ids already as they are; let TRL encode others."""
        if "prompt_ids" in dataset.column_names:
            return dataset
        return super()._prepare_dataset(dataset, *arguments)

    def compute_ref_log_probs(self, model: nn.Module, inputs: Mapping[str, Tensor]) -> Any:
        """Return the log-probabilities of the reference, weighted."""
        with self._packed(model, inputs) as (learned, _):
            return super().compute_ref_log_probs(model, learned)  # type: ignore[no-untyped-call]

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
            raise ValueError("PairTrainer returns the loss alone")
        settings, spoken = self.preference, None
        if settings.unit_kl:  # held-out pairs are measured in full
            spoken = self.unit_weights.spoken(inputs, settings.unit_kl_share if model.training else 1.0)
        with self._packed(model, inputs, spoken) as (learned, states):
            loss = super().compute_loss(  # type: ignore[no-untyped-call]
                model, learned, num_items_in_batch=num_items_in_batch
            )
        loss = loss + settings.sft_weight * self.unit_weights.chosen_loss
        if spoken is None:
            return loss
        with self.accelerator.autocast():
            head = self.accelerator.unwrap_model(model).get_output_embeddings()
            distance = divergence(head, states[0], self._reference_states(model, inputs, spoken))
        self._metrics["train" if model.training else "eval"]["unit_kl"].append(distance.item())
        return loss + settings.unit_kl * distance

    @contextmanager
    def _packed(
        self, model: nn.Module, inputs: Mapping[str, Tensor], kept: Tensor | None = None
    ) -> Iterator[tuple[dict[str, Tensor], list[Tensor]]]:
        """Let `model` compute the batch packed and weighted; yield it as TRL shall see it, and the kept states."""
        learned = self.unit_weights.learned(inputs)
        scored = learned[:, 1:]
        batch = pack(inputs, scored, torch.zeros_like(scored) if kept is None else kept, share=self.shares_prompts)
        decoder = self.accelerator.unwrap_model(model).get_decoder()
        with packed_forward(model, decoder, batch) as states, self.unit_weights.applied_to(model, inputs):
            yield {**inputs, "completion_mask": learned.long()}, states

    def _reference_states(self, model: nn.Module, inputs: Mapping[str, Tensor], kept: Tensor) -> Tensor:
        """Return the kept states (kept, D) of the reference; those of a sequence are computed once if they fit."""
        used = kept.any(1).tolist()
        sequences = [row[: int(mask.sum())] for row, mask in zip(inputs["input_ids"], inputs["attention_mask"])]
        found = [self.states.find(ids) if use else None for ids, use in zip(sequences, used)]
        missing = kept & torch.tensor([states is None for states in found], device=kept.device)[:, None]
        computed = torch.split(self._compute_states(model, inputs, missing), missing.sum(1).tolist())
        for row, ids in enumerate(sequences):
            if used[row] and found[row] is None:
                found[row] = self.states.keep(ids, computed[row])
        return torch.cat([states for states in found if states is not None] or [computed[0]])

    def _compute_states(self, model: nn.Module, inputs: Mapping[str, Tensor], kept: Tensor) -> Tensor:
        """Return the kept states (kept, D) of the reference, which is the policy without its LoRA."""
        policy = self.accelerator.unwrap_model(model)
        if not kept.any():
            return torch.empty(0, policy.config.get_text_config().hidden_size, device=kept.device)
        batch = pack(inputs, torch.zeros_like(kept), kept, share=self.shares_prompts)
        with torch.no_grad(), policy.disable_adapter():
            states = policy.get_decoder()(**batch.inputs, use_cache=False).last_hidden_state
        return cast(Tensor, states.flatten(0, 1)[batch.kept_at])


def preference_trainer(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    rows: Dataset,
    config: PreferenceConfig,
    work: Path,
    seed: int,
    heard: int = 0,
) -> Trainer:
    """Return the trainer of a preference loss, with LoRA on the policy.

    Args:
        model: the policy before the training, which is the reference too.
        tokenizer: its tokenizer.
        rows: pairs with the columns prompt, chosen and rejected; a part of more than MIN_HELD_OUT_FROM is held out.
        config: the settings.
        work: the folder of the checkpoints.
        seed: of the split, the order of the pairs and LoRA.
        heard: ids behind those of the vocabulary, which stand for embeddings of speech (`trainers.spoken_pairs`).
    """
    splits = config.held_out > 0 and len(rows) > MIN_HELD_OUT_FROM
    split = rows.train_test_split(config.held_out, seed=seed) if splits else {"train": rows, "test": None}
    common: Keywords = _common_arguments(config, work, seed)
    if splits:  # after the last step of each epoch, before its checkpoint, which therefore holds the evaluation
        common |= {"eval_strategy": "steps", "eval_steps": _count_steps(len(split["train"]), common)}
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
    if splits and config.patience:
        parts["callbacks"] = [KeepBest(work, config.patience)]
    if not config.loss.needs_reference_model:
        simpo: Keywords = {"loss_type": "simpo", "simpo_gamma": config.gamma, "cpo_alpha": config.sft_weight}
        return CPOTrainer(args=CPOConfig(**common, **simpo, max_length=UNLIMITED), **parts)
    loss = "sigmoid_norm" if config.length_normalised else "sigmoid"
    arguments = DPOConfig(**common, loss_type=[loss], max_length=None, precompute_ref_log_probs=True)
    return PairTrainer(UnitWeights(tokenizer, config.unit_weight, heard), config, args=arguments, **parts)


def _count_steps(pairs: int, arguments: Keywords) -> int:
    """Return the steps of an epoch over this number of pairs."""
    batch: int = arguments["per_device_train_batch_size"] * arguments["gradient_accumulation_steps"] * world_size()
    return math.ceil(pairs / batch)


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
