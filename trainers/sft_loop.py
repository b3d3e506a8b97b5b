"""The loop of supervised training: batches, steps, checkpoints and the curve, in one worker.

AdamW with a linear warm-up and a cosine schedule. Any number of workers takes the same steps, and a training that was
killed takes the steps that are left.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Sequence
from typing import NotRequired, TypedDict, cast

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from factory.recipe.training import UNEVEN, SftConfig
from trainers.batches import Batch, Batches
from trainers.errors import TrainingError
from trainers.job import LocalJob
from trainers.launch import pulse
from trainers.remote import CHECKPOINT
from trainers.sft_network import CompletionLoss, add_lora, can_compile
from trainers.status import describe_step
from trainers.workers import (
    FullState,
    device,
    distribute,
    full_state,
    gradient_exchange,
    load_full_state,
    mean_over_workers,
    rank,
    world_size,
)

BETAS = (0.9, 0.98)
"""Of AdamW."""
MAX_GRADIENT = 1.0
"""The norm to which gradients are clipped."""
LAST_RATE = 0.02
"""The learning rate after the last step, as a share of the highest one."""


class Line(TypedDict):
    """A line of training.jsonl; losses in nats per token."""

    step: int
    of: int
    loss: float
    tokens_per_s: int
    dev_loss: NotRequired[float | None]


class Summary(Line):
    """The content of training.json: the last line of the curve, and what was trained with what."""

    settings: dict[str, object]
    seed: int
    sequences: int
    too_long: int


class _Checkpoint(FullState):
    step: int
    curve: list[Line]


class SftLoop:
    """One supervised training in one worker. Its state is in `job.work`; it resumes from the last checkpoint."""

    def __init__(self, job: LocalJob[SftConfig]) -> None:
        """Load the policy and the data, and plan all batches; raises TrainingError where they do not fit together."""
        self.job, self.config, self.device = job, job.config, device()
        pulse(job.work, "loading the policy and the sequences")
        torch.set_num_threads(self.config.threads or 1)
        self._load_policy()
        longest = self.config.max_length or self.model.config.max_position_embeddings
        self.data = Batches(job.inputs["data"], self.tokenizer, longest)
        self.dev = Batches(job.inputs["dev"], self.tokenizer, longest) if "dev" in job.inputs else None
        self.batches_per_step = _count_batches_per_step(self.config)
        self.plan = self._plan()
        self.steps = len(self.plan) // self.batches_per_step
        self.optimizer = torch.optim.AdamW(
            [weight for weight in self.model.parameters() if weight.requires_grad],
            lr=self.config.lr,
            betas=BETAS,
            weight_decay=self.config.weight_decay,
            fused=True,
        )
        self.curve: list[Line] = []
        self.step = 0
        self.first_step, self.began = 0, time.monotonic()

    def run(self) -> Line:
        """Train from the last checkpoint to the end; return the last line of the curve."""
        self._resume()
        self.first_step, self.began, tokens = self.step, time.monotonic(), 0
        losses: list[float] = []
        while self.step < self.steps:
            batches = self._next_batches()
            losses += self.learn(batches)
            tokens += sum(batch.ids.numel() for batch in batches) * world_size()
            saves = self.step == self.steps or self.step % self.config.save_every == 0
            if saves or self.step % self.config.log_every == 0:
                rate = round(tokens / (time.monotonic() - self.began))
                self._log(round(mean_over_workers(losses, self.device), 4), rate, with_dev=saves)
                losses.clear()
            if saves:
                self._save()
        return self.curve[-1]

    def learn(self, batches: Sequence[Batch]) -> list[float]:
        """Take one step on the mean loss of the batches of all workers; return those of `batches`, nats per token."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.lr * self.rate()
        self.optimizer.zero_grad()
        losses = [self._add_gradient(batch, last=batch is batches[-1]) for batch in batches]
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), MAX_GRADIENT)
        self.optimizer.step()
        self.step += 1
        pulse(self.job.work)
        return losses

    def rate(self) -> float:
        """Return the learning rate of this step as a share of `lr`: linear warm-up, then a cosine down to LAST_RATE."""
        warmup = min(1.0, (self.step + 1) / max(1.0, self.config.warmup * self.steps))
        cosine = (1 + math.cos(math.pi * self.step / self.steps)) / 2
        return warmup * (LAST_RATE + (1 - LAST_RATE) * cosine)

    @torch.no_grad()
    def dev_loss(self) -> float | None:
        """Return the loss on held-out data in nats per token; None without held-out data."""
        if self.dev is None:
            return None
        network = self.network.module if isinstance(self.network, DistributedDataParallel) else self.network
        plan = self.dev.plan(self.config.tokens, 0)
        sums = [network(*(part.to(self.device) for part in self.dev.batch(indices))) for indices in plan]
        return round(sum(float(loss) for loss, _ in sums) / sum(int(count) for _, count in sums), 4)

    def trained_policy(self) -> PreTrainedModel:
        """Return the policy with LoRA merged, after the training. All workers call this, the first gets it whole."""
        if self.adapted:
            return self.adapted.merge_and_unload()
        if not self.config.sharded:
            return self.model
        weights = full_state(self.network, self.optimizer)["model"]
        whole = _load_model(self.job)
        if rank() == 0:
            whole.load_state_dict({name.removeprefix("model."): weight for name, weight in weights.items()})
        return whole

    def _load_policy(self) -> None:
        config = self.config
        self.tokenizer = AutoTokenizer.from_pretrained(self.job.inputs["start"])
        self.model = _load_model(self.job)
        cast(nn.Module, self.model).to(self.device)
        self.adapted = add_lora(self.model, config.rank, self.job.seed) if config.rank else None
        if config.checkpointing:
            self.model.train().gradient_checkpointing_enable({"use_reentrant": False})
        compiled = config.compile and not config.sharded and can_compile(self.device)
        loss = CompletionLoss(self.model, config.precision == "bf16", compiled)
        self.network = distribute(loss, self.model.model.layers, config.sharded)

    def _plan(self) -> list[list[int]]:
        """Return the batches of all epochs; raises TrainingError where they do not make one step."""
        config, seed = self.config, self.job.seed
        epochs = (self.data.plan(config.tokens, seed, epoch, config.weights) for epoch in range(config.epochs))
        plan = [batch for epoch in epochs for batch in epoch]
        if len(plan) < self.batches_per_step:
            raise TrainingError(
                f"a step needs {self.batches_per_step} batches (sft.batches), but all epochs together have {len(plan)} "
                f"of {config.tokens} tokens (sft.tokens): lower sft.batches or sft.tokens, or give more sequences"
            )
        return plan

    def _next_batches(self) -> list[Batch]:
        """Return the batches of this worker for the next step; those of all workers depend on seed and step alone."""
        first = self.step * self.batches_per_step
        numbers = range(first + rank(), first + self.batches_per_step, world_size())
        noise, seed = self.config.unit_noise, self.job.seed
        return [self.data.batch(self.plan[number], noise, seed=(seed, number)) for number in numbers]

    def _add_gradient(self, batch: Batch, last: bool) -> float:
        """Add the gradient of a batch. With the last batch of a step the workers exchange their sums, as a mean."""
        with gradient_exchange(self.network, enabled=last):
            loss, count = self.network(*(part.to(self.device) for part in batch))
            (loss / count * (world_size() / self.batches_per_step)).backward()
        return float(loss.detach()) / int(count)

    def _log(self, loss: float, tokens_per_s: int, with_dev: bool) -> None:
        line: Line = {"step": self.step, "of": self.steps, "loss": loss, "tokens_per_s": tokens_per_s}
        if with_dev and self.dev:
            line["dev_loss"] = self.dev_loss()
        self.curve.append(line)
        if rank() == 0:
            print(f"  sft {json.dumps(line)}", flush=True)
            pace = (time.monotonic() - self.began) / max(1, self.step - self.first_step)
            pulse(self.job.work, describe_step(self.step, self.steps, loss, None, pace))

    def _save(self) -> None:
        state = full_state(self.network, self.optimizer)
        if rank() != 0:
            return
        part, path = self.job.work / "checkpoint.part", self.job.work / CHECKPOINT
        torch.save(_Checkpoint(**state, step=self.step, curve=self.curve), part)
        os.replace(part, path)

    def _resume(self) -> None:
        path = self.job.work / CHECKPOINT
        if path.exists():
            state = cast(_Checkpoint, torch.load(path, weights_only=True, map_location=self.device))
            load_full_state(self.network, self.optimizer, state)
            self.step, self.curve = state["step"], state["curve"]


def _load_model(job: LocalJob[SftConfig]) -> PreTrainedModel:
    return cast(PreTrainedModel, AutoModelForCausalLM.from_pretrained(job.inputs["start"], dtype=torch.float32))


def _count_batches_per_step(config: SftConfig) -> int:
    """Return the batches of a step over all workers; raises TrainingError where they cannot be shared."""
    batches = config.batches or world_size()
    if batches < world_size():
        raise TrainingError(
            f"sft.batches is {batches}, but each of the {world_size()} workers (resources.trainer.actors) needs one: "
            "raise sft.batches, or lower resources.trainer.actors"
        )
    if config.sharded and batches % world_size():
        raise TrainingError(f"{UNEVEN}; got {batches} and {world_size()}")
    return batches
