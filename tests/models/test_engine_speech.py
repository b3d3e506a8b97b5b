"""Speech between the tokens of a prompt, on a real vLLM: embeddings of tokens write what the tokens would write."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow.parquet as pq
import pytest
import torch
from transformers import AutoModelForCausalLM

from factory.models.engine import Engine, EngineConfig, Request, Sampling
from schemas.sequences import Variant, prompt, speech

pytestmark = pytest.mark.service

POLICY = "assets/phrasebook/policy"
GREEDY = Sampling(0.0, 1.0, 0, 24, until="<|sosp|>")


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    engine = Engine(POLICY, EngineConfig("float32", 1, 1, 0.3, 256), ["<|com|>"], hears=True)
    yield engine
    engine.release()


@pytest.fixture(scope="module")
def table() -> torch.Tensor:
    weights: torch.Tensor = AutoModelForCausalLM.from_pretrained(POLICY).get_input_embeddings().weight.detach()
    return weights


@pytest.fixture(scope="module")
def spoken() -> list[list[int]]:
    """Units of four sentences, and the first of them with another end, behind vLLM's block of 32 tokens."""
    column = pq.read_table("assets/phrasebook/paired.parquet", columns=["src_units"])["src_units"]
    rows = column.take([0, 20, 40, 60]).to_pylist()
    return [*rows, [*rows[0][:-8], *rows[1][-8:]]]


def by_tokens(units: list[int]) -> Request:
    return Request(prompt(Variant.COM, "en", "fr", units), GREEDY)


def by_embeddings(units: list[int], engine: Engine, table: torch.Tensor) -> Request:
    [[_, *ids, _]] = engine.encode([speech(units)])
    return Request(prompt(Variant.COM, "en", "fr", ()), GREEDY, speech=table[torch.tensor(ids)])


def test_embeddings_write_what_their_tokens_write(engine: Engine, table: torch.Tensor, spoken: list[list[int]]) -> None:
    texts = engine.generate({number: by_tokens(units) for number, units in enumerate(spoken)}, seed=1)
    heard = engine.generate({n: by_embeddings(units, engine, table) for n, units in enumerate(spoken)}, seed=1)
    assert heard == texts
    assert len({output.text for output in texts.values()}) >= 4, "the policy writes other texts for other speech"


def test_candidates_of_one_recording_share_its_prompt_and_no_other(
    engine: Engine, table: torch.Tensor, spoken: list[list[int]]
) -> None:
    alone = engine.generate({n: by_embeddings(units, engine, table) for n, units in enumerate(spoken)}, seed=1)
    before = engine.prefilled
    many = {(n, k): by_embeddings(units, engine, table) for k in range(6) for n, units in enumerate(spoken)}
    together = engine.generate(many, seed=1)
    computed = engine.prefilled - before
    assert all(output == alone[number] for (number, _), output in together.items())
    prompts = sum(len(units) + 5 for units in spoken)
    assert computed <= prompts + len(many), "each prompt once, and its last token for every candidate"


def test_a_recording_that_does_not_fit_is_too_long(engine: Engine, table: torch.Tensor) -> None:
    [output] = engine.generate({0: by_embeddings([1] * 252, engine, table)}, seed=1).values()
    assert output.finish == "too_long"
