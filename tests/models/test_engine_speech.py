"""Speech between the tokens of a prompt, on a real vLLM: embeddings of tokens write what the tokens would write."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from factory.models.engine import Engine, EngineConfig, Request, Sampling
from schemas.sequences import Variant, prompt, speech
from tests.toys import tiny_policy

pytestmark = pytest.mark.service

UNITS = ([1, 2, 3] * 15, [9, 8] * 20, [9, 8] * 19 + [4, 4], [7] * 5)
"""Of the second and the third, vLLM's block of 32 tokens is the same, and the next one is not."""
GREEDY = Sampling(0.0, 1.0, 0, 24)


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_policy(tmp_path_factory.mktemp("policy"), context=96)


@pytest.fixture(scope="module")
def engine(policy: Path) -> Iterator[Engine]:
    engine = Engine(str(policy), EngineConfig("float32", 1, 1, 0.3, None), ["<|s2t|>"], hears=True)
    yield engine
    engine.release()


@pytest.fixture(scope="module")
def table(policy: Path) -> torch.Tensor:
    weights: torch.Tensor = AutoModelForCausalLM.from_pretrained(policy).get_input_embeddings().weight.detach()
    return weights


def by_tokens(units: list[int]) -> Request:
    return Request(prompt(Variant.S2T, "fr", "en", units), GREEDY)


def by_embeddings(units: list[int], engine: Engine, table: torch.Tensor) -> Request:
    [[_, *ids, _]] = engine.encode([speech(units)])
    return Request(prompt(Variant.S2T, "fr", "en", ()), GREEDY, speech=table[torch.tensor(ids)])


def test_embeddings_write_what_their_tokens_write(engine: Engine, table: torch.Tensor) -> None:
    texts = engine.generate({number: by_tokens(units) for number, units in enumerate(UNITS)}, seed=1)
    heard = engine.generate({n: by_embeddings(units, engine, table) for n, units in enumerate(UNITS)}, seed=1)
    assert heard == texts
    assert len({output.text for output in texts.values()}) > 1, "the policy writes other texts for other speech"


def test_candidates_of_one_recording_share_its_prompt_and_no_other(engine: Engine, table: torch.Tensor) -> None:
    alone = engine.generate({n: by_embeddings(units, engine, table) for n, units in enumerate(UNITS)}, seed=1)
    before = engine.prefilled
    many = {(n, k): by_embeddings(units, engine, table) for k in range(6) for n, units in enumerate(UNITS)}
    together = engine.generate(many, seed=1)
    computed = engine.prefilled - before
    assert all(output == alone[number] for (number, _), output in together.items())
    prompts = sum(len(units) + 5 for units in UNITS)
    assert computed <= prompts + len(many), "each prompt once, and its last token for every candidate"


def test_a_recording_that_does_not_fit_is_too_long(engine: Engine, table: torch.Tensor) -> None:
    [output] = engine.generate({0: by_embeddings([1] * 92, engine, table)}, seed=1).values()
    assert output.finish == "too_long"
    assert engine.width == table.shape[1]
