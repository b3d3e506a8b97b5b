"""A tiny policy, and files of sequences and pairs that it can learn."""

from __future__ import annotations

import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from schemas.datasets import SEQUENCE
from schemas.sequences import Variant
from tests.trainers.toys import WORDS, pair, sequence, spoken_sequence
from trainers.policy import PolicyShape, create_policy


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy of two layers with a context of 128 tokens."""
    shape = PolicyShape(hidden=64, layers=2, heads=2, max_positions=128, vocab_text=60)
    out = tmp_path_factory.mktemp("policies") / "tiny"
    return create_policy(out, texts=list(WORDS), num_units=24, langs=("fr", "en"), shape=shape, seed=3)


@pytest.fixture(scope="session")
def sequences(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Parquet file of 120 sequences, two thirds of them `com`, one third `asr`."""
    chance = random.Random(0)
    rows = []
    for number in range(120):
        words = [chance.choice(list(WORDS)) for _ in range(chance.randint(1, 5))]
        task = Variant.ASR if number % 3 == 0 else Variant.COM
        rows.append({"sequence_id": f"s{number}"} | sequence(words, task))
    path = tmp_path_factory.mktemp("data") / "sequences.parquet"
    pq.write_table(pa.Table.from_pylist(rows, schema=SEQUENCE), path)
    return path


@pytest.fixture(scope="session")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Parquet file of 60 sequences with words; of the last six the words are not known."""
    chance = random.Random(1)
    rows = []
    for number in range(60):
        words = [chance.choice(list(WORDS)) for _ in range(chance.randint(1, 5))]
        row = spoken_sequence(number, words, Variant.ASR if number % 3 == 0 else Variant.COM)
        rows.append(row | ({"prompt_words": None, "completion_words": None} if number >= 54 else {}))
    path = tmp_path_factory.mktemp("data") / "spoken.parquet"
    pq.write_table(pa.Table.from_pylist(rows, schema=SEQUENCE), path)
    return path


@pytest.fixture(scope="session")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Parquet file of 40 pairs."""
    path = tmp_path_factory.mktemp("data") / "pairs.parquet"
    rows = [pair(number) | {"pair_id": str(number), "margin": 0.5} for number in range(40)]
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path
