"""The log-probability of a given completion, by a real vLLM, against a plain forward pass in transformers."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from factory.models.engine import Engine, EngineConfig, Output, Request, Sampling
from schemas.sequences import EOS, SOSP, Variant, prompt, tag, text_prompt
from tests.toys import SENTENCES, tiny_policy

pytestmark = pytest.mark.service

CONTEXT = 128
CONFIG = EngineConfig(dtype="float32", threads=1, kv_cache_gib=1, gpu_memory_utilization=0.3, max_model_len=None)
HOT = Sampling(temperature=2.0, top_p=1.0, top_k=0, max_tokens=40)
NEAR = 1e-3
"""Nats: what float32 loses when the order of additions changes."""


def speech_of(size: int) -> list[int]:
    return random.Random(size).choices(range(50), k=size)


REQUESTS = {
    **{f"mt{i}": Request(text_prompt("fr", "en", text), None, text + EOS) for i, text in enumerate(SENTENCES)},
    **{
        f"com{i}": Request(prompt(Variant.COM, "en", "fr", speech_of(5 + 9 * i)), None, text + SOSP)
        for i, text in enumerate(SENTENCES)
    },
}
"""Prompts of one block of keys and values and of several."""


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_policy(tmp_path_factory.mktemp("policy"), context=CONTEXT)


@pytest.fixture(scope="module")
def engine(policy: Path) -> Iterator[Engine]:
    engine = Engine(str(policy), CONFIG, [tag(Variant.COM)])
    yield engine
    engine.release()


@pytest.fixture(scope="module")
def expected(policy: Path) -> dict[str, tuple[float, int]]:
    """The sum of the log-probabilities of each completion's tokens, and their number."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(policy)
    model = AutoModelForCausalLM.from_pretrained(policy, dtype=torch.float32)
    found = {}
    for name, request in REQUESTS.items():
        start = len(tokenizer(request.prompt, add_special_tokens=False)["input_ids"])
        text = request.prompt + request.completion
        ids = tokenizer(text, add_special_tokens=False, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            logits = model(ids).logits[0, start - 1 : -1]
        values = logits.log_softmax(-1).gather(1, ids[0, start:, None])
        found[name] = (values.sum().item(), len(values))
    return found


def logprobs(outputs: dict[str, Output]) -> dict[str, float]:
    return {name: output.logprob for name, output in outputs.items()}


def test_it_is_that_of_a_plain_forward_pass(engine: Engine, expected: dict[str, tuple[float, int]]) -> None:
    outputs = engine.generate(REQUESTS, seed=0)
    assert {name: output.num_tokens for name, output in outputs.items()} == {
        name: count for name, (_, count) in expected.items()
    }, "the token that ends the text is one of them"
    assert logprobs(outputs) == pytest.approx({name: value for name, (value, _) in expected.items()}, abs=NEAR)
    assert {(output.text, output.finish) for output in outputs.values()} == {("", "given")}


def test_it_depends_neither_on_the_order_nor_on_the_batch(engine: Engine) -> None:
    together = logprobs(engine.generate(REQUESTS, seed=0))
    backwards = logprobs(engine.generate(dict(reversed(REQUESTS.items())), seed=0))
    alone = {name: engine.generate({name: one}, seed=0)[name].logprob for name, one in list(REQUESTS.items())[::3]}
    sampled = {f"hot{i}": Request(one.prompt, HOT) for i, one in enumerate(REQUESTS.values())}
    mixed = logprobs(engine.generate({**sampled, **REQUESTS}, seed=5))
    assert backwards == pytest.approx(together, abs=NEAR)
    assert alone == pytest.approx({name: together[name] for name in alone}, abs=NEAR)
    assert {name: mixed[name] for name in together} == pytest.approx(together, abs=NEAR)


def test_equal_prompts_and_repeated_requests_are_read_in_full(engine: Engine) -> None:
    one = REQUESTS["com7"]
    other = one._replace(completion=SENTENCES[0] + SOSP)
    outputs = engine.generate({0: one, 1: one, 2: other, 3: Request(one.prompt, HOT), 4: other}, seed=0)
    alone = [engine.generate({0: request}, seed=0)[0].logprob for request in (one, other)]
    found = [outputs[key].logprob for key in (0, 1, 2, 4)]
    assert found == pytest.approx([alone[0], alone[0], alone[1], alone[1]], abs=NEAR)


def test_a_sequence_that_fills_the_context_is_too_long(engine: Engine) -> None:
    units = prompt(Variant.COM, "en", "fr", speech_of(CONTEXT - 10))
    size = len(engine.encode([units])[0])
    rest = CONTEXT - size
    requests = {n: Request(units, None, EOS * n) for n in (rest - 1, rest)}
    outputs = engine.generate(requests, seed=0)
    assert (outputs[rest - 1].finish, outputs[rest - 1].num_tokens) == ("given", rest - 1)
    assert outputs[rest] == Output("", "too_long", 0.0, 0)


def test_nothing_is_counted_as_generated(engine: Engine) -> None:
    before = engine.generated
    engine.generate(REQUESTS, seed=0)
    assert engine.generated == before
