"""What the tests of trainers share: a tiny policy, and data that it can learn."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from transformers import Trainer

from schemas.datasets import SEQUENCE
from schemas.sequences import Variant, completion, prompt
from trainers.policy import new_policy

WORDS = {"gare": 1, "train": 2, "café": 3, "où": 4, "matin": 5, "neuf": 6}


def sequence(words: list[str], task: Variant = Variant.COM) -> dict[str, str]:
    """Return a training row: three units stand for each word, and the translation is the words the other way round."""
    units = [unit for word in words for unit in range(3 * WORDS[word], 3 * WORDS[word] + 3)]
    text = " ".join(words if task is Variant.ASR else reversed(words))
    written = completion(task, text, units[::-1])
    return {"task": str(task), "prompt": prompt(task, "fr", "en", units), "completion": written}


@pytest.fixture
def interrupted() -> Callable[[], AbstractContextManager[None]]:
    """What interrupts, like a kill, every training of preferences inside its block before the sixth step."""
    return _interrupted


@contextmanager
def _interrupted() -> Iterator[None]:
    step = Trainer.training_step

    def until(self: Trainer, *given: Any, **named: Any) -> torch.Tensor:
        if self.state.global_step == 5:
            raise KeyboardInterrupt
        return step(self, *given, **named)

    with pytest.MonkeyPatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Trainer, "training_step", until)
        yield


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy of two layers, context 128."""
    out = tmp_path_factory.mktemp("policies") / "tiny"
    return new_policy(
        out,
        texts=list(WORDS),
        num_units=24,
        langs=("fr", "en"),
        hidden=64,
        layers=2,
        heads=2,
        max_positions=128,
        vocab_text=60,
        seed=3,
    )


@pytest.fixture(scope="session")
def sequences(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Parquet file of 120 sequences, two thirds of them `com`."""
    chance = random.Random(0)
    rows = [
        {"sequence_id": f"s{number}"}
        | sequence(
            [chance.choice(list(WORDS)) for _ in range(chance.randint(1, 5))],
            Variant.ASR if number % 3 == 0 else Variant.COM,
        )
        for number in range(120)
    ]
    path = tmp_path_factory.mktemp("data") / "sequences.parquet"
    pq.write_table(pa.Table.from_pylist(rows, schema=SEQUENCE), path)
    return path
