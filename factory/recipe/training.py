"""The sections of the trainings. The comment above a key says what it is, its unit, and why it is so."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Literal, TypeVar

from factory.models.device import resolve_dtype
from factory.recipe.typed import choose, require

Precision = Literal["auto", "bf16", "fp32"]

SCHEDULES = (
    *("linear", "cosine", "cosine_with_restarts", "polynomial", "constant", "constant_with_warmup"),
    *("inverse_sqrt", "reduce_lr_on_plateau", "greedy"),
)
"""The schedules of transformers that need no further numbers. Listed: importing transformers takes seconds."""
UNEVEN = (
    "sft.sharded needs the same number of batches in each worker: sft.batches must be a multiple of the number of "
    "workers (resources.trainer.actors), or some workers wait for the others"
)


@dataclass(frozen=True)
class SpanConfig:
    """The lengths of spans of words."""

    # mean of the Poisson distribution of lengths, in words; a length of 0 counts as 1. Open in the paper: 3 is the
    # value of BART (arXiv 1910.13461), whose spans of masked words are drawn like this
    poisson: float = 3.0

    def __post_init__(self) -> None:
        mean = "sft.interleave.span.poisson must be above 0, in words"
        require(0 < self.poisson < math.inf, mean, self.poisson)


@dataclass(frozen=True)
class InterleaveConfig:
    """Text inside speech (scheduled interleaved training, arXiv 2506.10299): spans of words are text, not units.

    Without this section (the default) all speech is units. The share of words that are text begins at `start` and
    falls to `end`. Open in the paper, so chosen here: no marker stands around the text, because units are tokens
    that no text has, and a marker would have to be unlearned; the text is learned like units; a batch has the
    sequences that fit in as units, whatever the share; and speech whose text has more tokens than its units stays
    units.
    """

    # share of the words of a speech segment that are text in the first step, 0..1
    start: float = 0.9
    # how much the share falls each time; 0: it stays at start, which the paper finds to hurt
    step: float = 0.1
    # steps between two falls; with the defaults, the share is 0 from step 2,700 on, as in the paper
    every: int = 300
    # the lowest share, 0..1
    end: float = 0.0
    span: SpanConfig = field(default_factory=SpanConfig)
    # whose speech: source is that of prompts, target that of completions; one side helps less in the paper
    sides: Literal["both", "source", "target"] = "both"
    # what a word becomes: its text, or one token <|unk|> that is not learned (the vocabulary has no mask token, and
    # training texts have no <|unk|>); a mask hurts in the paper
    fill: Literal["text", "mask"] = "text"
    # where words are: as aligned (section aligner), or spread evenly over the units, which needs only the text
    units: Literal["words", "uniform"] = "words"

    def __post_init__(self) -> None:
        for name in ("start", "step", "end"):
            value = getattr(self, name)
            require(0 <= value <= 1, f"sft.interleave.{name} must be a share from 0 to 1", value)
        falls = "sft.interleave.end must not be above start, because the share falls"
        require(self.end <= self.start, falls, f"{self.end} and {self.start}")
        require(self.every >= 1, "sft.interleave.every must be 1 step or more; step: 0 keeps the share", self.every)

    def share(self, step: int) -> float:
        """Return the share (0..1) of words that are text in a step of the training; the first step is 0."""
        return max(self.end, round(self.start - self.step * (step // self.every), 9))  # 0.9 - 2 * 0.1 is not 0.7


@dataclass(frozen=True)
class SftConfig:
    """Supervised training of round 0."""

    # passes over the data
    epochs: int = 6
    # tokens of a batch, padding included: what a worker holds in memory at once
    tokens: int = 2_560
    # batches per step over all workers, so that any number of workers learns the same; null: one per worker
    batches: int | None = None
    # several workers share weights and optimizer state (FSDP): less memory per worker, more traffic, not compiled
    sharded: bool = False
    # peak learning rate
    lr: float = 1.5e-3
    # share of the steps, 0..1
    warmup: float = 0.03
    # AdamW's weight decay
    weight_decay: float = 0.01
    # share of the source units that another unit replaces, 0..1
    unit_noise: float = 0.04
    # task: how often an epoch uses each of its sequences; 1 for a task without a value
    weights: dict[str, float] = field(default_factory=dict)
    # text inside speech, which becomes rarer during the training; null: none
    interleave: InterleaveConfig | None = None
    # tokens; a longer sequence is left out and counted; 0: policy.max_length for a policy.base, else the policy's
    # context
    max_length: int = 0
    # rank of LoRA on every linear layer (embeddings and head are trained in full); null: all weights are trained
    rank: int | None = None
    # number format of the network's products (weights are fp32); auto: bf16 where the machine has units for it
    precision: Precision = "auto"
    # compile the network's kernels: a minute once, then a step takes an eighth less time
    compile: bool = True
    # compute activations twice instead of storing them: less memory, a third more time
    checkpointing: bool = False
    # steps between checkpoints
    save_every: int = 200
    # steps between points of the learning curve
    log_every: int = 20
    # threads of the math libraries; 0: resources.trainer.threads
    threads: int = 0

    def __post_init__(self) -> None:
        _check_counts("sft", self, ("epochs", "tokens", "save_every", "log_every"))
        _check_rate("sft", self.lr)
        require(
            self.rank is None or self.rank >= 1, "sft.rank must be 1 or more, or null to train all weights", self.rank
        )
        for task, weight in self.weights.items():
            require(weight >= 0, f"sft.weights.{task} must not be negative", weight)
        alone = f"sft.sharded is for training all weights: leave out sft.rank (now {self.rank}), or sft.sharded"
        require(not (self.sharded and self.rank), alone, "both")


class Loss(StrEnum):
    """The preference losses, and what each needs."""

    DPO = "dpo"
    SIMPO = "simpo"

    @property
    def needs_reference_model(self) -> bool:
        """Return True if the loss uses log-probabilities of the policy before training."""
        return self is Loss.DPO

    @property
    def is_average_loss(self) -> bool:
        """Return True if a sequence counts by its mean log-probability per token, not by the sum."""
        return self is Loss.SIMPO


@dataclass(frozen=True)
class PreferenceConfig:
    """Preference training. The papers leave beta, gamma and epochs open or differ, so they are in the recipe."""

    # the loss: DPO (arXiv 2305.18290) or SimPO (arXiv 2405.14734)
    loss: Loss = Loss.DPO
    # DPO: strength of the tie to the reference, TRL's default; SimPO: scale of the reward (2 to 2.5 in its paper)
    beta: float = 0.1
    # SimPO: target margin; its paper advises half of beta
    gamma: float = 1.0
    # DPO: use the mean log-ratio per token that has a weight (beta must be about 50 times larger); SimPO always does
    length_normalised: bool = False
    # DPO: weight of a speech token relative to a text token; 0: preferences are about the text only
    unit_weight: float = 1.0
    # weight of the chosen completion's own loss (nats per token, units weighted as above), added to the preference loss
    sft_weight: float = 0.0
    # DPO: weight of KL(reference || policy) on speech tokens (nats per token): it keeps speech as it is
    unit_kl: float = 0.0
    # DPO: share of the pairs of each batch (0..1, rounded up to whole pairs) on whose speech unit_kl is computed; the
    # speech of the others costs nothing if unit_weight is 0. Each epoch takes other pairs
    unit_kl_share: float = 0.25
    # peak learning rate
    lr: float = 2e-4
    # share of the steps, 0..1
    warmup: float = 0.1
    # a schedule of transformers that needs no further numbers
    schedule: str = "cosine"
    # AdamW's weight decay
    weight_decay: float = 0.0
    # passes over the pairs
    epochs: float = 1.0
    # pairs per step, over all workers
    batch: int = 32
    # pairs that a worker holds in memory at once; null: its share of the step, on a CPU 8
    micro_batch: int | None = None
    # rank of LoRA; its alpha is twice as large
    rank: int = 8
    # names of the layers with LoRA, such as q_proj; null: every linear layer except the head
    targets: tuple[str, ...] | None = None
    # share of the pairs (0..1) that is only evaluated
    held_out: float = 0.1
    # evaluations (one per epoch, and one at the end) without a larger held-out margin after which the training stops;
    # the weights of the best evaluation are published. 0: all epochs are trained, and the last weights are published
    patience: int = 0
    # tokens of prompt and completion; a longer pair is left out and counted; 0: the policy's context
    max_length: int = 0
    # number format of the network's products (weights are fp32); auto: bf16 where the machine has units for it
    precision: Precision = "auto"
    # steps between checkpoints
    save_every: int = 20
    # threads of the math libraries; 0: resources.trainer.threads
    threads: int = 0

    def __post_init__(self) -> None:
        _check_counts("preference", self, ("batch", "rank", "save_every"))
        _check_rate("preference", self.lr)
        choose(self.schedule, SCHEDULES, "preference.schedule")
        for name in ("epochs", "beta"):
            require(getattr(self, name) > 0, f"preference.{name} must be above 0", getattr(self, name))
        for name in ("unit_weight", "unit_kl", "sft_weight"):
            require(getattr(self, name) >= 0, f"preference.{name} must not be negative", getattr(self, name))
        for name, used in (("unit_weight", self.unit_weight != 1), ("unit_kl", self.unit_kl > 0)):
            require(not used or self.loss.needs_reference_model, f"preference.{name} needs loss: dpo", self.loss)
        share = "preference.unit_kl_share must lie in (0, 1]; unit_kl: 0 computes no speech"
        require(0 < self.unit_kl_share <= 1, share, self.unit_kl_share)
        size = "preference.micro_batch must be 1 or more, or null"
        require(self.micro_batch is None or self.micro_batch >= 1, size, self.micro_batch)
        require(0 <= self.held_out < 1, "preference.held_out must lie in [0, 1)", self.held_out)
        require(self.patience >= 0, "preference.patience must be 0 or more; 0 trains all epochs", self.patience)
        measured = "preference.patience needs held-out pairs: set preference.held_out above 0, or patience: 0"
        require(not self.patience or self.held_out > 0, measured, self.patience)


Config = TypeVar("Config", bound=Any)  # a config dataclass with a `precision`


def resolve_precision(config: Config, *, on_gpu: bool) -> Config:
    """Return the config with the `precision` of this process; `auto` may differ on a resume elsewhere."""
    if config.precision != "auto":
        return config
    dtype = resolve_dtype("auto", on_gpu=on_gpu)
    return replace(config, precision="bf16" if dtype == "bfloat16" else "fp32")


def _check_counts(section: str, config: SftConfig | PreferenceConfig, names: Iterable[str]) -> None:
    for name in names:
        require(getattr(config, name) >= 1, f"{section}.{name} must be 1 or more", getattr(config, name))


def _check_rate(section: str, rate: float) -> None:
    require(0 < rate < math.inf, f"{section}.lr must be above 0", rate)
