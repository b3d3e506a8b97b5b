"""Data that a tiny policy can learn, and trainings that stop in the middle."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import Trainer

from schemas.datasets import Row
from schemas.sequences import Variant, completion, prompt
from trainers.batches import Batch
from trainers.sft_loop import SftLoop

WORDS = {"gare": 1, "train": 2, "café": 3, "où": 4, "matin": 5, "neuf": 6}
"""Each word and the number of its first unit, divided by three."""


def sequence(words: list[str], task: Variant = Variant.COM) -> dict[str, str]:
    """Return a training row: three units stand for a word, and the translation is the words in reverse order."""
    units = [unit for word in words for unit in range(3 * WORDS[word], 3 * WORDS[word] + 3)]
    text = " ".join(words if task is Variant.ASR else reversed(words))
    answer = completion(task, text, units[::-1])
    return {"task": str(task), "prompt": prompt(task, "fr", "en", units), "completion": answer}


def spoken_sequence(number: int, words: list[str], task: Variant = Variant.COM) -> Row:
    """Return a row of SEQUENCE: each word has 8 units, and the translation is the words in reverse order."""
    back = words[::-1]
    source, target = ([(4 * WORDS[word] + place) % 24 for word in some for place in range(8)] for some in (words, back))
    return {
        "sequence_id": f"{task}-pair {number}",
        "task": str(task),
        "prompt": prompt(task, "fr", "en", source),
        "completion": completion(task, " ".join(words if task is Variant.ASR else back), target),
        "prompt_words": [{"text": word, "units": 8} for word in words],
        "completion_words": [{"text": word, "units": 8} for word in back] if task.has_units else None,
    }


def pair(number: int) -> dict[str, str]:
    """Return a pair whose chosen side has rising units and whose rejected side has falling ones, one unit longer."""
    start, text = number % 8, ["gare", "train", "café neuf", "où"][number % 4]
    rising = list(range(start, start + 4 + number % 5))
    return {
        "prompt": prompt(Variant.COM, "fr", "en", rising),
        "chosen": completion(Variant.COM, text, rising),
        "rejected": completion(Variant.COM, text[::-1], rising[::-1] + [0]),
    }


def read_curve(policy: Path) -> list[dict[str, Any]]:
    """Return the lines of the training.jsonl of a policy."""
    return [json.loads(line) for line in (policy / "training.jsonl").read_text().splitlines()]


@contextmanager
def interrupt_sft(step: int) -> Iterator[None]:
    """Interrupt the supervised training in the block, like a kill, after this number of steps."""
    learn = SftLoop.learn

    def learn_until(self: SftLoop, batches: Sequence[Batch]) -> list[float]:
        if self.step == step:
            raise KeyboardInterrupt
        return learn(self, batches)

    with pytest.MonkeyPatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(SftLoop, "learn", learn_until)
        yield


@contextmanager
def interrupt_preference(step: int) -> Iterator[None]:
    """Interrupt the preference training in the block, like a kill, after this number of steps."""
    training_step = Trainer.training_step

    def step_until(self: Trainer, *arguments: Any, **named: Any) -> torch.Tensor:
        if self.state.global_step == step:
            raise KeyboardInterrupt
        return training_step(self, *arguments, **named)

    with pytest.MonkeyPatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Trainer, "training_step", step_until)
        yield
