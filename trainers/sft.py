"""Supervised training of round 0 on (prompt, completion) sequences, whole or through LoRA, with the loss on the completion alone."""

from __future__ import annotations

import json
import math
import os
import shutil
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from factory.recipe.sections import PoolConfig
from factory.recipe.training import UNEVEN, SftConfig, resolve_precision
from factory.recipe.typed import build
from trainers.batches import IGNORED, Batch, Batches
from trainers.command import asked
from trainers.launch import STALL_S, pulse, train_policy
from trainers.publish import policy_digest, publish
from trainers.remote import Place, place_of
from trainers.workers import device, load_whole, mean, quiet, rank, spread, whole_state, world_size

_SPEED = (
    "compile",
    "sharded",
    "checkpointing",
    "save_every",
    "log_every",
    "threads",
)  # settings that do not change what comes out


class CompletionLoss(nn.Module):
    """A causal language model that returns its loss on completions."""

    def __init__(self, model: PreTrainedModel, bf16: bool, compiled: bool) -> None:
        super().__init__()
        self.model, self.bf16 = model, bf16
        if compiled:
            model.model.compile(dynamic=True)

    def forward(self, ids: Tensor, labels: Tensor) -> tuple[Tensor, int]:
        """Return the summed loss (nats) of the labels that count, and their number; `ids` and `labels` are (B, T)."""
        following = labels[:, 1:]
        counts = following != IGNORED
        with torch.autocast(ids.device.type, torch.bfloat16, enabled=self.bf16):
            hidden = self.model.model(input_ids=ids, use_cache=False).last_hidden_state[:, :-1]
            logits = self.model.lm_head(hidden[counts])  # the prompts' logits are never needed
        return F.cross_entropy(logits.float(), following[counts], reduction="sum"), int(counts.sum())


class Sft:
    """One supervised training. Its state is in `work`; the same training after a kill goes on from the last checkpoint."""

    def __init__(self, data: Path, dev: Path | None, start: Path, work: Path, settings: SftConfig, seed: int) -> None:
        torch.set_num_threads(settings.threads)
        self.settings, self.work, self.seed, self.device, self.start = settings, work, seed, device(), start
        self.tokenizer = AutoTokenizer.from_pretrained(start)
        self.model: Any = AutoModelForCausalLM.from_pretrained(start, dtype=torch.float32)
        self.model.to(self.device)  # type: ignore[arg-type]  # the stub loses self
        self.adapted = _adapted(self.model, settings.rank, seed) if settings.rank else None
        if settings.checkpointing:
            self.model.train().gradient_checkpointing_enable({"use_reentrant": False})
        compiled = settings.compile and not settings.sharded and _can_compile(self.device)
        loss = CompletionLoss(self.model, settings.precision == "bf16", compiled)
        self.network = spread(loss, self.model.model.layers, settings.sharded)
        longest = settings.max_length or self.model.config.max_position_embeddings
        self.data = Batches(data, self.tokenizer, longest)
        self.dev = Batches(dev, self.tokenizer, longest) if dev else None
        epochs = (self.data.plan(settings.tokens, seed, epoch, settings.weights) for epoch in range(settings.epochs))
        self.plan = [some for epoch in epochs for some in epoch]
        self.each = settings.batches or world_size()
        if self.each < world_size():
            raise ValueError(
                f"sft.batches ({self.each}) must be one for each worker (resources.trainer.actors: {world_size()}) or more"
            )
        if settings.sharded and self.each % world_size():
            raise ValueError(f"{UNEVEN}; got {self.each} and {world_size()}")
        self.steps = len(self.plan) // self.each
        if not self.steps:
            there = f"all epochs together have only {len(self.plan)} of sft.tokens ({settings.tokens})"
            mend = "lower sft.batches or sft.tokens, or give more sequences"
            raise ValueError(f"a step needs sft.batches ({self.each}) batches, and {there}: {mend}")
        rates: dict[str, Any] = {"lr": settings.lr, "betas": (0.9, 0.98), "weight_decay": settings.weight_decay}
        self.optimizer = torch.optim.AdamW(
            [one for one in self.model.parameters() if one.requires_grad], **rates, fused=True
        )
        self.curve: list[dict[str, Any]] = []
        self.step = 0

    def run(self) -> dict[str, Any]:
        """Train from the last checkpoint to the end; returns the last line of the curve."""
        self._resume()
        began, tokens, losses = time.monotonic(), 0, []
        while self.step < self.steps:
            batches = self._next()
            losses += self._learn(batches)
            tokens += sum(batch.ids.numel() for batch in batches) * world_size()
            last = self.step == self.steps
            saved = last or self.step % self.settings.save_every == 0
            if saved or self.step % self.settings.log_every == 0:
                rate = round(tokens / (time.monotonic() - began))
                line = {
                    "step": self.step,
                    "of": self.steps,
                    "loss": round(mean(losses, self.device), 4),
                    "tokens_per_s": rate,
                }
                self._tell(line | ({"dev_loss": self.dev_loss()} if saved and self.dev else {}))
                losses.clear()
            if saved:
                self._save()
        return self.curve[-1]

    @torch.no_grad()
    def dev_loss(self) -> float | None:
        """Return the held-out loss, nats a token; None without held-out data."""
        if self.dev is None:
            return None
        network = self.network.module if isinstance(self.network, DistributedDataParallel) else self.network
        plan = self.dev.plan(self.settings.tokens, 0)
        sums = [network(*(part.to(self.device) for part in self.dev.batch(some))) for some in plan]
        return round(sum(float(loss) for loss, _ in sums) / sum(number for _, number in sums), 4)

    def _next(self) -> list[Batch]:
        """Return this worker's batches of the coming step; those of all workers depend on nothing but the seed and the step."""
        first = self.step * self.each
        places = range(first + rank(), first + self.each, world_size())
        return [
            self.data.batch(self.plan[place], self.settings.unit_noise, seed=(self.seed, place)) for place in places
        ]

    def _learn(self, batches: list[Batch]) -> list[float]:
        """Take a step on the mean of the losses of all workers' batches; returns those of this worker's (nats a token)."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.lr * self._rate()
        self.optimizer.zero_grad()
        losses = [self._gradient(batch, last=batch is batches[-1]) for batch in batches]
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.step += 1
        pulse(self.work)
        return losses

    def _gradient(self, batch: Batch, last: bool) -> float:
        """Add a batch's gradient; with the last one of the step the workers exchange theirs, which takes the mean over workers."""
        with quiet(self.network, until_last=not last):
            loss, number = self.network(*(part.to(self.device) for part in batch))
            (loss / number * (world_size() / self.each)).backward()
        return float(loss.detach()) / number

    def _rate(self) -> float:
        """Linear warm-up, then a cosine down to 2 %."""
        warm = min(1.0, (self.step + 1) / max(1.0, self.settings.warmup * self.steps))
        return warm * (0.02 + 0.49 * (1 + math.cos(math.pi * self.step / self.steps)))

    def _tell(self, line: dict[str, Any]) -> None:
        self.curve.append(line)
        if rank() == 0:
            print(f"  sft {json.dumps(line)}", flush=True)

    def _save(self) -> None:
        state = whole_state(self.network, self.optimizer) | {"step": self.step, "curve": self.curve}
        if rank() != 0:
            return
        torch.save(state, self.work / "checkpoint.part")
        os.replace(self.work / "checkpoint.part", self.work / "checkpoint.pt")

    def _resume(self) -> None:
        if (self.work / "checkpoint.pt").exists():
            state = torch.load(self.work / "checkpoint.pt", weights_only=True, map_location=self.device)
            load_whole(self.network, self.optimizer, state)
            self.step, self.curve = state["step"], state["curve"]

    def trained(self) -> Any:
        """Return the policy, LoRA merged into its weights; the training is over then. All workers must call, the first gets it whole."""
        if self.adapted:
            return self.adapted.merge_and_unload()
        if not self.settings.sharded:
            return self.model
        weights = whole_state(self.network, self.optimizer)["model"]
        whole: Any = AutoModelForCausalLM.from_pretrained(self.start, dtype=torch.float32)
        if rank() == 0:
            whole.load_state_dict({name.removeprefix("model."): weight for name, weight in weights.items()})
        return whole


def _adapted(model: PreTrainedModel, lora: int, seed: int) -> Any:
    """Put LoRA of this rank on every linear layer but the head, in place; embeddings and head are trained whole, for the units are new."""
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(seed)
    adapted = get_peft_model(
        model, LoraConfig(r=lora, lora_alpha=2 * lora, target_modules="all-linear", task_type="CAUSAL_LM")
    )
    for table in (model.get_input_embeddings(), model.get_output_embeddings()):
        table.requires_grad_(True)
    return adapted


def _can_compile(where: torch.device) -> bool:
    """Whether torch finds what it compiles with; on a CPU that is a C++ compiler."""
    found = where.type == "cuda" or any(shutil.which(name) for name in (os.environ.get("CXX", "g++"), "g++", "clang++"))
    if not found:
        print(
            "  sft: there is no C++ compiler here, so the network is not compiled; it comes out the same, some 13 % later",
            flush=True,
        )
    return found


def train_sft(
    data: Place,
    start: Place,
    out: Place,
    *,
    settings: dict[str, Any],
    dev: Place | None = None,
    seed: int = 0,
    pool: PoolConfig | None = None,
    stall_s: float = STALL_S,
) -> dict[str, Any]:
    """Train the policy in `start` on rows of SEQUENCE, watch rows of `dev`, and publish the policy as `out`; returns its training.json.

    Each is a path, or a URI in an object store (`trainers.remote`). `pool` is of Ray Train workers; None: here, without Ray. Killed and
    called again it goes on from the last checkpoint in `out.work`; a published policy is left alone. Raises ValueError for settings that
    cannot be and for an unfinished training with other settings, data or weights.
    """
    chosen, out = build(SftConfig, settings, "sft"), place_of(out)
    chosen.check()
    counting = {key: value for key, value in asdict(chosen).items() if key not in _SPEED}
    identity = {**counting, "seed": seed, "data": policy_digest(data), "start": policy_digest(start)}
    identity |= {"workers": None if chosen.batches else pool.actors if pool else 1}
    inputs, config = {"data": data, "dev": dev, "start": start}, {"settings": chosen, "seed": seed}
    return train_policy(_loop, inputs, out, identity, config, pool=pool, stall_s=stall_s)


def _loop(config: dict[str, Any]) -> None:
    """Train in one worker; the first of them publishes."""
    chosen: SftConfig = resolve_precision(config["settings"], on_gpu=device().type == "cuda")
    training = Sft(config["data"], config["dev"], config["start"], config["work"], chosen, config["seed"])
    last = training.run()
    data = {"sequences": len(training.data.sequences), "too_long": training.data.too_long}
    told = {"settings": asdict(chosen), "seed": config["seed"], **data, **last}
    publish(training.trained(), training.tokenizer, config["work"], config["out"], training.curve, told)


def main() -> None:
    """Train from the command line; settings are given as key=value."""
    given = asked("python -m trainers.sft", (__doc__ or "").splitlines()[0], ("data", "start", "out"), also=("dev",))
    print(json.dumps(train_sft(**given), indent=2))


if __name__ == "__main__":
    main()
