"""What shapes a training: every setting with its default, unit and, where the papers leave it open, its reason. Light to import."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Literal, TypeVar

from factory.models.device import resolve_dtype
from factory.recipe.typed import RecipeError, chosen

Precision = Literal["auto", "bf16", "fp32"]
S = TypeVar("S", bound=Any)

SCHEDULES = (
    *("linear", "cosine", "cosine_with_restarts", "polynomial", "constant", "constant_with_warmup"),
    *("inverse_sqrt", "reduce_lr_on_plateau", "greedy"),
)
"""The schedules of transformers that need no further numbers; by name, because importing it takes seconds."""


UNEVEN = (
    "sft.sharded needs as many batches in each worker: sft.batches must be a multiple of how many workers there are "
    "(resources.trainer.actors), or some wait for the others' shares"
)


@dataclass(frozen=True)
class SftConfig:
    """Supervised training of round 0."""

    epochs: int = 6
    tokens: int = 2_560  # in a batch, padding included; what a worker holds in memory at once
    batches: int | None = (
        None  # in a step, over all workers, so that any number of them learns the same; null: one of each worker
    )
    sharded: bool = (
        False  # several workers share out weights and optimizer (FSDP): less memory in each, more traffic, not compiled
    )
    lr: float = 1.5e-3
    warmup: float = 0.03  # share of the steps, 0..1
    weight_decay: float = 0.01
    unit_noise: float = 0.04  # share of the source units that another unit replaces, 0..1
    weights: dict[str, float] = field(
        default_factory=dict
    )  # task: how often an epoch has each of its sequences; 1 where not named
    max_length: int = 0  # tokens; a longer sequence is left out and counted; 0: the policy's context
    rank: int | None = (
        None  # of LoRA on every linear layer, embeddings and head are trained whole; null: all weights are
    )
    precision: Precision = (
        "auto"  # of the network's products, the weights are fp32 in all; auto: bf16 where the machine has units for it
    )
    compile: bool = True  # fuse the network's kernels: a minute once, then an eighth less time a step
    checkpointing: bool = False  # compute activations twice instead of keeping them: less memory, a third more time
    save_every: int = 200  # steps between checkpoints
    log_every: int = 20  # steps between the lines of the curve
    threads: int = 1

    def check(self) -> None:
        """Raise RecipeError for a value that cannot be trained with, and where two settings do not fit."""
        _check_counts("sft", self, ("epochs", "tokens", "save_every", "log_every"))
        _check_rate("sft", self.lr)
        if self.rank is not None and self.rank < 1:
            raise RecipeError(f"sft.rank must be 1 or more, or null to train all weights; got {self.rank}")
        for task, weight in self.weights.items():
            if weight < 0:
                raise RecipeError(f"sft.weights.{task} must not be negative; got {weight}")
        if self.sharded and self.rank:
            raise RecipeError(
                f"sft.sharded is for training all weights: leave out sft.rank (now {self.rank}), or sft.sharded"
            )


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
class PreferenceConfig:
    """Preference training; beta, gamma and epochs are open or differ in the papers, so they stand in the recipe."""

    loss: Loss = Loss.DPO
    beta: float = 0.1  # DPO: strength of the tie to the reference, TRL's default; SimPO: scale of the reward (2 to 2.5 in its paper)
    gamma: float = 1.0  # SimPO's target margin; half of beta, as its paper advises
    length_normalised: bool = (
        False  # DPO on the mean log-ratio a token (beta must be some 50 times as large); SimPO always is
    )
    unit_weight: float = (
        1.0  # DPO: what a token of speech counts beside a token of text; 0: preferences are on the text
    )
    sft_weight: float = 0.0  # weight of the chosen completions' own loss (nats a token, units counted as above) beside the preference loss
    unit_kl: float = (
        0.0  # DPO: weight of KL(reference || policy) on tokens of speech (nats a token): keeps speech as it is
    )
    lr: float = 2e-4
    warmup: float = 0.1  # share of the steps, 0..1
    schedule: str = "cosine"  # one of SCHEDULES
    weight_decay: float = 0.0
    epochs: float = 1.0
    batch: int = 32  # pairs a step, over all workers
    micro_batch: int | None = (
        None  # pairs at once in a worker, what it holds in memory; null: its share of the step, on a CPU 8
    )
    rank: int = 8  # of LoRA; its alpha is twice as large
    targets: tuple[str, ...] | None = (
        None  # names of the layers with LoRA, such as q_proj; null: every linear layer but the head
    )
    held_out: float = 0.1  # share of the pairs (0..1) that is only watched
    max_length: int = (
        0  # tokens of prompt and completion; a longer pair is left out and counted; 0: the policy's context
    )
    precision: Precision = (
        "auto"  # of the network's products, the weights are fp32 in all; auto: bf16 where the machine has units for it
    )
    save_every: int = 20  # steps between checkpoints
    threads: int = 1

    @property
    def all_tokens_count_alike(self) -> bool:
        """Whether speech is treated as text is, as in the papers."""
        return self.unit_weight == 1 and not self.unit_kl

    def check(self) -> None:
        """Raise RecipeError for a value that cannot be trained with, and where two settings do not fit."""
        _check_counts("preference", self, ("batch", "rank", "save_every"))
        _check_rate("preference", self.lr)
        chosen(self.schedule, SCHEDULES, "preference.schedule")
        if not self.epochs > 0:
            raise RecipeError(f"preference.epochs must be above 0; got {self.epochs}")
        if self.unit_weight < 0:
            raise RecipeError(f"preference.unit_weight must not be negative; got {self.unit_weight}")
        if self.unit_kl < 0:
            raise RecipeError(f"preference.unit_kl must not be negative; got {self.unit_kl}")
        for name, wanted in (("unit_weight", self.unit_weight != 1), ("unit_kl", self.unit_kl > 0)):
            if wanted and not self.loss.needs_reference_model:
                raise RecipeError(f"preference.{name} needs loss: dpo; got {self.loss}")
        if not self.beta > 0:
            raise RecipeError(f"preference.beta must be above 0; got {self.beta}")
        if self.sft_weight < 0:
            raise RecipeError(f"preference.sft_weight must not be negative; got {self.sft_weight}")
        if self.micro_batch is not None and self.micro_batch < 1:
            raise RecipeError(f"preference.micro_batch must be 1 or more, or null; got {self.micro_batch}")
        if not 0 <= self.held_out < 1:
            raise RecipeError(f"preference.held_out must lie in [0, 1); got {self.held_out}")


def resolve_precision(settings: S, *, on_gpu: bool) -> S:
    """Return the settings with the `precision` that a training in this process has: `auto` depends on the machine, and may on a resume."""
    if settings.precision != "auto":
        return settings
    dtype = resolve_dtype("auto", on_gpu=on_gpu)
    return replace(settings, precision="bf16" if dtype == "bfloat16" else "fp32")


def _check_counts(section: str, settings: SftConfig | PreferenceConfig, names: Iterable[str]) -> None:
    for name in names:
        if getattr(settings, name) < 1:
            raise RecipeError(f"{section}.{name} must be 1 or more; got {getattr(settings, name)}")


def _check_rate(section: str, rate: float) -> None:
    if not 0 < rate < math.inf:
        raise RecipeError(f"{section}.lr must be above 0; got {rate}")
