"""The loop of supervised training: steps, checkpoints and the curve, in one worker.

AdamW with a linear warm-up and a cosine schedule. Any number of workers takes the same steps, and a training that was
killed takes the steps that are left.
"""

from __future__ import annotations

import json
import math
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import ClassVar, Generic, NamedTuple, NotRequired, TypedDict, TypeVar, cast

import torch
from torch import Tensor, nn

from trainers.launch import pulse
from trainers.remote import CHECKPOINT
from trainers.status import describe_step
from trainers.workers import (
    FullState,
    device,
    full_state,
    gradient_exchange,
    load_full_state,
    mean_over_workers,
    rank,
    world_size,
)

B = TypeVar("B")
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
    words: NotRequired[int]
    """With `sft.interleave`: words of the speech since the last line, on the sides that are interleaved."""
    text_share: NotRequired[float]
    """With `sft.interleave`: share (0..1) of these words that was text."""


class LoopSettings(NamedTuple):
    """What a loop needs to know of a training's settings."""

    lr: float
    warmup: float
    weight_decay: float
    save_every: int
    log_every: int


class _Checkpoint(FullState):
    step: int
    curve: list[Line]


class TrainingLoop(ABC, Generic[B]):
    """One supervised training in one worker. Its state is in `work`; it resumes from the last checkpoint."""

    title: ClassVar[str]
    """The training, as lines of the log name it."""

    def __init__(
        self,
        work: Path,
        settings: LoopSettings,
        network: nn.Module,
        weights: Iterable[nn.Parameter],
        *,
        steps: int,
        batches_per_step: int = 1,
    ) -> None:
        """Plan the steps.

        Args:
            work: the folder of checkpoints and of the pulse.
            settings: rates and intervals.
            network: what is trained, as this worker holds it.
            weights: its weights that are trained.
            steps: of the whole training.
            batches_per_step: over all workers.
        """
        self.work, self.settings, self.network, self.device = work, settings, network, device()
        self.weights = [weight for weight in weights if weight.requires_grad]
        self.steps, self.batches_per_step = steps, batches_per_step
        self.optimizer = torch.optim.AdamW(
            self.weights, lr=settings.lr, betas=BETAS, weight_decay=settings.weight_decay, fused=True
        )
        self.curve: list[Line] = []
        self.step = 0
        self.first_step, self.began = 0, time.monotonic()

    @abstractmethod
    def next_batches(self) -> list[B]:
        """Return the batches of this worker for the next step; those of all workers depend on seed and step alone."""

    @abstractmethod
    def compute_loss(self, batch: B) -> tuple[Tensor, int]:
        """Return the loss of a batch, summed over its learned tokens, in nats, and the number of these tokens."""

    @abstractmethod
    def count_tokens(self, batch: B) -> int:
        """Return the tokens of a batch that `tokens_per_s` counts."""

    def complete_line(self, line: Line, with_dev: bool) -> None:
        """Add further measures to a line of the curve; `with_dev` at checkpoints. All workers call this."""

    def run(self) -> Line:
        """Train from the last checkpoint to the end; return the last line of the curve."""
        self._resume()
        self.first_step, self.began, tokens = self.step, time.monotonic(), 0
        losses: list[float] = []
        while self.step < self.steps:
            batches = self.next_batches()
            losses += self.learn(batches)
            tokens += sum(map(self.count_tokens, batches)) * world_size()
            saves = self.step == self.steps or self.step % self.settings.save_every == 0
            if saves or self.step % self.settings.log_every == 0:
                rate = round(tokens / (time.monotonic() - self.began))
                self._log(round(mean_over_workers(losses, self.device), 4), rate, with_dev=saves)
                losses.clear()
            if saves:
                self._save()
        return self.curve[-1]

    def learn(self, batches: Sequence[B]) -> list[float]:
        """Take one step on the mean loss of the batches of all workers; return those of `batches`, nats per token."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.lr * self.rate()
        self.optimizer.zero_grad()
        losses = [self._add_gradient(batch, last=batch is batches[-1]) for batch in batches]
        torch.nn.utils.clip_grad_norm_(self.weights, MAX_GRADIENT)
        self.optimizer.step()
        self.step += 1
        pulse(self.work, self._describe(losses) if rank() == 0 else None)
        return losses

    def _describe(self, losses: Sequence[float]) -> str:
        """Return the status after a step with these losses of its batches."""
        pace = (time.monotonic() - self.began) / max(1, self.step - self.first_step)
        return describe_step(self.step, self.steps, sum(losses) / len(losses), None, pace)

    def rate(self) -> float:
        """Return the learning rate of this step as a share of `lr`: linear warm-up, then a cosine down to LAST_RATE."""
        warmup = min(1.0, (self.step + 1) / max(1.0, self.settings.warmup * self.steps))
        cosine = (1 + math.cos(math.pi * self.step / self.steps)) / 2
        return warmup * (LAST_RATE + (1 - LAST_RATE) * cosine)

    def _add_gradient(self, batch: B, last: bool) -> float:
        """Add the gradient of a batch. With the last batch of a step the workers exchange their sums, as a mean."""
        with gradient_exchange(self.network, enabled=last):
            loss, count = self.compute_loss(batch)
            torch.autograd.backward(loss / count * (world_size() / self.batches_per_step))
        return float(loss.detach()) / int(count)

    def _log(self, loss: float, tokens_per_s: int, with_dev: bool) -> None:
        line: Line = {"step": self.step, "of": self.steps, "loss": loss, "tokens_per_s": tokens_per_s}
        self.complete_line(line, with_dev)
        self.curve.append(line)
        if rank() == 0:
            print(f"  {self.title} {json.dumps(line)}", flush=True)

    def _save(self) -> None:
        state = full_state(self.network, self.optimizer)
        if rank() != 0:
            return
        part, path = self.work / "checkpoint.part", self.work / CHECKPOINT
        torch.save(_Checkpoint(**state, step=self.step, curve=self.curve), part)
        os.replace(part, path)

    def _resume(self) -> None:
        path = self.work / CHECKPOINT
        if path.exists():
            state = cast(_Checkpoint, torch.load(path, weights_only=True, map_location=self.device))
            load_full_state(self.network, self.optimizer, state)
            self.step, self.curve = state["step"], state["curve"]
