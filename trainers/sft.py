"""Supervised training of round 0: full fine-tuning on (prompt, completion) sequences, with the loss on the completion alone."""

from __future__ import annotations

import json
import math
import os
import random
import re
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

from trainers.launch import launch
from trainers.settings import read_settings

IGNORED = -100


@dataclass(frozen=True)
class SftSettings:
    """What shapes the training."""

    epochs: int = 20
    tokens: int = 2_560  # in a batch, padding included
    lr: float = 1.5e-3
    warmup: float = 0.03  # share of the steps, 0..1
    weight_decay: float = 0.01
    unit_noise: float = 0.04  # share of the source units that another unit replaces, 0..1
    compile: bool = True  # fuse the network's kernels: a minute once, then a fifth less time a step
    save_every: int = 200  # steps between checkpoints
    threads: int = 1


class Batch(NamedTuple):
    """Token ids (B, T) and labels (B, T); a label of IGNORED is not learned."""

    ids: Tensor
    labels: Tensor


class Sequences:
    """Tokenised sequences and how they are batched: of about one length together, within a budget of tokens."""

    def __init__(self, path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
        rows = pq.read_table(path, columns=["prompt", "completion"]).to_pylist()
        self.prompts = tokenizer([row["prompt"] for row in rows], add_special_tokens=False)["input_ids"]
        completions = tokenizer([row["completion"] for row in rows], add_special_tokens=False)["input_ids"]
        self.completions = [ids + [tokenizer.eos_token_id] for ids in completions]
        self.pad = tokenizer.pad_token_id
        units = [index for token, index in tokenizer.get_vocab().items() if re.fullmatch(r"<\|u\d+\|>", token)]  # and not <|unk|>
        self.units = (min(units), max(units) + 1)

    def length(self, index: int) -> int:
        """Return the tokens of one sequence."""
        return len(self.prompts[index]) + len(self.completions[index])

    def plan(self, budget: int, seed: int) -> list[list[int]]:
        """Return an epoch's batches, each a list of sequence numbers; the same for the same seed."""
        chance = random.Random(seed)
        order = sorted(range(len(self.prompts)), key=lambda index: self.length(index) + 12 * chance.random())
        batches: list[list[int]] = [[]]
        for index in order:  # ascending, so the last one is the longest
            if batches[-1] and self.length(index) * (len(batches[-1]) + 1) > budget:
                batches.append([])
            batches[-1].append(index)
        chance.shuffle(batches)
        return batches

    def batch(self, some: list[int], noise: float, generator: torch.Generator) -> Batch:
        """Pad sequences to a common length and replace a share of their source units at random."""
        width = -(-max(map(self.length, some)) // 16) * 16  # few widths: each is compiled once
        ids, labels = torch.full((len(some), width), self.pad), torch.full((len(some), width), IGNORED)
        for row, index in enumerate(some):
            prompt, completion = self.prompts[index], self.completions[index]
            ids[row, : self.length(index)] = torch.tensor(prompt + completion)
            labels[row, len(prompt) : self.length(index)] = torch.tensor(completion)
        low, high = self.units
        source = (labels == IGNORED) & (ids >= low) & (ids < high)
        replaced = source & (torch.rand(ids.shape, generator=generator) < noise)
        return Batch(torch.where(replaced, torch.randint(low, high, ids.shape, generator=generator), ids), labels)


class Sft:
    """One supervised training. Its state is in `work`; the same call after a kill goes on from the last checkpoint."""

    def __init__(self, data: Path, dev: Path | None, start: Path, work: Path, settings: SftSettings, seed: int) -> None:
        torch.set_num_threads(settings.threads)
        self.settings, self.work, self.seed = settings, work, seed
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.tokenizer = AutoTokenizer.from_pretrained(start)
        self.model = AutoModelForCausalLM.from_pretrained(start, dtype=torch.float32).to(self.device)
        self.model.config.use_cache = False
        self.trunk: Callable[..., Any] = torch.compile(self.model.model, dynamic=True) if settings.compile else self.model.model
        self.data = Sequences(data, self.tokenizer)
        self.dev = Sequences(dev, self.tokenizer) if dev else None
        self.plan = [some for epoch in range(settings.epochs) for some in self.data.plan(settings.tokens, seed * 1_000 + epoch)]
        decay = {"betas": (0.9, 0.98), "weight_decay": settings.weight_decay}
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=settings.lr, **decay)
        self.step = 0

    def run(self) -> dict[str, Any]:
        """Train from the last checkpoint to the end; returns the last line of the curve."""
        self._resume()
        told: dict[str, Any] = {}
        began, tokens = time.monotonic(), 0
        while self.step < len(self.plan):
            generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.step)
            batch = self.data.batch(self.plan[self.step], self.settings.unit_noise, generator)
            loss = self._learn(batch)
            tokens += batch.ids.numel()
            last = self.step == len(self.plan)
            if self.step % self.settings.save_every == 0 or last:
                rate = round(tokens / (time.monotonic() - began))
                told = {"step": self.step, "of": len(self.plan), "loss": loss, "dev_loss": self.dev_loss(), "tokens_per_s": rate}
                self._save(told)
        return told

    def loss(self, batch: Batch) -> Tensor:
        """Return the mean loss (nats a token) of the completions in a batch."""
        ids, labels = batch.ids.to(self.device), batch.labels.to(self.device)[:, 1:]
        with torch.autocast(self.device.type, torch.bfloat16):
            hidden = self.trunk(input_ids=ids).last_hidden_state[:, :-1]
            logits = self.model.lm_head(hidden[labels != IGNORED])  # the prompt's logits are never needed
        return F.cross_entropy(logits.float(), labels[labels != IGNORED])

    @torch.no_grad()
    def dev_loss(self) -> float | None:
        """Return the held-out loss, a mean over batches; None without held-out data."""
        if self.dev is None:
            return None
        generator = torch.Generator()
        losses = [float(self.loss(self.dev.batch(some, 0.0, generator))) for some in self.dev.plan(self.settings.tokens, 0)]
        return round(sum(losses) / len(losses), 4)

    def _learn(self, batch: Batch) -> float:
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.lr * self._rate()
        loss = self.loss(batch)
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.step += 1
        return round(float(loss.detach()), 4)

    def _rate(self) -> float:
        """Linear warm-up, then a cosine down to 2 %."""
        done = self.step / len(self.plan)
        warm = min(1.0, (self.step + 1) / max(1.0, self.settings.warmup * len(self.plan)))
        return warm * (0.02 + 0.49 * (1 + math.cos(math.pi * done)))

    def _save(self, told: dict[str, Any]) -> None:
        state = {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict(), "step": self.step}
        temporary = self.work / "checkpoint.tmp"
        torch.save(state, temporary)
        os.replace(temporary, self.work / "checkpoint.pt")
        with (self.work / "training.jsonl").open("a") as curve:
            curve.write(json.dumps(told) + "\n")
        print(f"  sft {json.dumps(told)}", flush=True)

    def _resume(self) -> None:
        if (self.work / "checkpoint.pt").exists():
            state = torch.load(self.work / "checkpoint.pt", weights_only=True, map_location=self.device)
            self.model.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.step = state["step"]


def train_sft(
    data: Path,
    start: Path,
    out: Path,
    *,
    settings: dict[str, Any],
    dev: Path | None = None,
    seed: int = 0,
    workers: int = 0,
    cpus: float = 1,
    gpus: float = 0,
) -> dict[str, Any]:
    """Train the policy in `start` on rows of SEQUENCE and publish it as `out`; `out.work` holds the checkpoint until then.

    Raises ValueError for a setting that does not exist. A published policy is left alone.
    """
    chosen = read_settings(SftSettings, settings, "sft")
    out = out.absolute()
    if not (out / "config.json").exists():
        config = {"data": data, "dev": dev, "start": start, "out": out, "settings": chosen, "seed": seed}
        launch(_loop, config, storage=work_folder(out), workers=workers, cpus=cpus, gpus=gpus)
    return json.loads((out / "training.json").read_text())


def _loop(config: dict[str, Any]) -> None:
    work, chosen, seed = work_folder(config["out"]), config["settings"], config["seed"]
    training = Sft(config["data"], config["dev"], config["start"], work, chosen, seed)
    told = {"settings": asdict(chosen), "seed": seed, "sequences": len(training.data.prompts), **training.run()}
    publish(training.model, training.tokenizer, work, config["out"], told)


def work_folder(out: Path) -> Path:
    """Return (and make) the folder beside a policy that holds its training until it is published."""
    work = out.with_name(f"{out.name}.work")
    work.mkdir(parents=True, exist_ok=True)
    return work


def publish(model: Any, tokenizer: PreTrainedTokenizerFast, work: Path, out: Path, told: dict[str, Any]) -> None:
    """Write a policy folder beside `out` and rename it: it is there whole or not at all. The curve goes along, the work is removed."""
    whole = work / "policy"
    shutil.rmtree(whole, ignore_errors=True)
    model.config.use_cache = True
    model.save_pretrained(whole)
    tokenizer.save_pretrained(whole)
    if (work / "training.jsonl").exists():
        shutil.copy(work / "training.jsonl", whole)
    (whole / "training.json").write_text(json.dumps(told, indent=2))
    os.replace(whole, out)
    shutil.rmtree(work)
