"""The engine on a real vLLM with a random toy policy: what is generated, what never is, and how a batch ends."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from factory.models.device import resolve_dtype, select_device
from factory.models.engine import Engine, EngineConfig, Output, Request, Sampling
from factory.models.weights import WeightsError
from schemas.sequences import EOS, EOSP, SOSP, Variant, find_banned, prompt, tag, unit_token
from tests.toys import tiny_policy, tiny_tokenizer

pytestmark = pytest.mark.service

CONTEXT = 128
CONFIG = EngineConfig(dtype="auto", threads=1, kv_cache_gib=1, gpu_memory_utilization=0.3, max_model_len=None)
GREEDY = Sampling(temperature=0.0, top_p=1.0, top_k=0, max_tokens=20)
HOT = GREEDY._replace(temperature=2.0, max_tokens=60)
QUESTION = prompt(Variant.COM, "fr", "en", [1, 2])


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_policy(tmp_path_factory.mktemp("policy"), context=CONTEXT)


@pytest.fixture(scope="module")
def engine(policy: Path) -> Iterator[Engine]:
    engine = Engine(str(policy), CONFIG, [tag(Variant.COM)])
    yield engine
    engine.release()


@contextmanager
def ban_all_but(engine: Engine, tokens: list[str]) -> Iterator[None]:
    """Let the engine generate these tokens only."""
    before = engine.banned
    engine.banned = set(engine.vocabulary.values()) - {engine.vocabulary[token] for token in tokens}
    try:
        yield
    finally:
        engine.banned = before


def test_a_policy_without_a_needed_token_is_refused_before_its_weights_are_loaded(tmp_path: Path) -> None:
    tiny_tokenizer().save_pretrained(tmp_path)
    with pytest.raises(WeightsError, match=rf"the tokenizer of the policy {tmp_path} has no token <\|de\|>"):
        Engine(str(tmp_path), CONFIG, ["<|com|>", "<|de|>"])


def test_the_same_batch_and_seed_give_the_same_outputs(engine: Engine) -> None:
    requests = {name: Request(QUESTION, HOT) for name in "abcd"}
    first = engine.generate(requests, seed=1)
    assert len({output.text for output in first.values()}) > 1, "sequences of one prompt differ"
    engine.generate({"other": Request(QUESTION, HOT)}, seed=7)
    assert engine.generate(requests, seed=1) == first
    assert engine.generate(requests, seed=2) != first


def test_the_generated_tokens_are_counted(engine: Engine) -> None:
    before = engine.generated
    outputs = engine.generate({n: Request(QUESTION, HOT) for n in range(3)}, seed=1)
    assert engine.generated - before == sum(output.num_tokens for output in outputs.values())


def test_a_follow_up_joins_the_batch(engine: Engine) -> None:
    def follow_up(key: str, output: Output) -> Mapping[str, Request]:
        return {f"{key}2": Request(QUESTION + output.text, GREEDY)} if len(key) == 1 else {}

    outputs = engine.generate({"a": Request(QUESTION, GREEDY), "b": Request(QUESTION, HOT)}, 0, follow_up)
    assert outputs.keys() == {"a", "b", "a2", "b2"}


def test_a_prompt_that_fills_the_context_is_too_long(engine: Engine) -> None:
    assert engine.context == CONTEXT
    sizes = {"fits": CONTEXT - 1, "full": CONTEXT}  # tokens of the prompt
    prompts = {name: unit_token(1) * size for name, size in sizes.items()}
    outputs = engine.generate({name: Request(text, GREEDY) for name, text in prompts.items()}, 0)
    assert outputs["full"] == Output("", "too_long", 0.0, 0)
    assert outputs["fits"].num_tokens == 1 and outputs["fits"].finish in ("stop", "length")


def test_an_output_ends_at_its_limit_or_at_a_token(engine: Engine) -> None:
    short = engine.generate({0: Request(QUESTION, HOT._replace(max_tokens=5))}, 0)[0]
    assert (short.finish, short.num_tokens) == ("length", 5)
    outputs = engine.generate({n: Request(QUESTION, HOT._replace(until=unit_token(7))) for n in range(30)}, 0)
    ended = [output.text for output in outputs.values() if output.finish == "stop" and unit_token(7) in output.text]
    assert ended and all(text.endswith(unit_token(7)) and text.count(unit_token(7)) == 1 for text in ended)


def test_the_logprob_is_that_of_the_policy_before_temperature_and_nucleus(engine: Engine, policy: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    sampling = Sampling(temperature=1.5, top_p=0.9, top_k=0, max_tokens=30)
    with ban_all_but(
        engine, [EOS, *(unit_token(unit) for unit in range(50))]
    ):  # units are read back as they were drawn
        output = engine.generate({0: Request(QUESTION, sampling)}, 0)[0]
    dtype = engine.llm.model_config.dtype
    tokenizer, model = AutoTokenizer.from_pretrained(policy), AutoModelForCausalLM.from_pretrained(policy, dtype=dtype)
    length = len(tokenizer(QUESTION, add_special_tokens=False)["input_ids"])
    text = QUESTION + output.text + EOS * (output.finish == "stop")
    ids = tokenizer(text, add_special_tokens=False, return_tensors="pt")["input_ids"]
    with torch.no_grad():
        logits = model(ids).logits[0, length - 1 : -1].float()
    expected = logits.log_softmax(-1).gather(1, ids[0, length:, None]).sum().item()
    assert output.num_tokens == ids.shape[1] - length
    assert output.logprob == pytest.approx(expected, rel=0.05, abs=0.3), "both compute in the same numbers"


def test_it_computes_in_the_fast_numbers_of_the_cpu_and_candidates_share_the_blocks_of_their_prompt(
    engine: Engine,
) -> None:
    config = engine.llm.llm_engine.vllm_config
    assert str(config.model_config.dtype) == f"torch.{resolve_dtype('auto', on_gpu=select_device().type == 'cuda')}"
    assert config.cache_config.enable_prefix_caching
    if select_device().type == "cpu":
        assert config.cache_config.block_size == 32


def test_a_separator_may_be_written_where_chains_of_thought_are_asked_for() -> None:
    added = {"<|eos|>": 0, "<|sosp|>": 1, "<|eosp|>": 2, "<|sep|>": 3, "<|pad|>": 4, "<|cot|>": 5, "<|u7|>": 6}
    assert find_banned(added, ["<|com|>"]) == {3, 4, 5}
    assert find_banned(added, ["<|com|>", "<|cot|>"]) == {4, 5}


def test_tags_padding_and_unknown_words_are_never_drawn(engine: Engine) -> None:
    never = {"<|pad|>", "<|unk|>", "<|sep|>", "<|fr|>", "<|en|>", "<|mt|>"}
    never |= {f"<|{variant}|>" for variant in Variant if not variant.reads_text}
    assert set(engine.tokenizer.convert_ids_to_tokens(sorted(engine.banned))) == never
    outputs = engine.generate({n: Request(QUESTION, HOT) for n in range(30)}, 0)
    text = "".join(output.text for output in outputs.values())
    assert not any(token in text for token in never)
    assert SOSP in text and EOSP in text


@pytest.mark.parametrize("wrong", [{"temperature": -1.0}, {"top_p": 0.0}, {"top_k": -5}, {"max_tokens": 0}])
def test_values_that_vllm_refuses_are_refused_before_a_request(engine: Engine, wrong: dict[str, float]) -> None:
    from vllm.exceptions import VLLMValidationError

    with pytest.raises(VLLMValidationError, match=next(iter(wrong))):
        engine.params(GREEDY._replace(**wrong), prompt_length=1)


def test_a_repeated_pattern_is_stopped(engine: Engine) -> None:
    with ban_all_but(engine, [unit_token(7)]):
        output = engine.generate({0: Request(QUESTION, GREEDY)}, 0)[0]
    assert (output.finish, output.num_tokens) == ("repetition", 8)


def test_an_error_in_a_running_batch_leaves_no_request_behind(engine: Engine) -> None:
    def fail(key: int, output: Output) -> Mapping[int, Request]:
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        engine.generate({n: Request(QUESTION, GREEDY._replace(max_tokens=n + 1)) for n in range(5)}, 0, fail)
    assert not engine.llm.llm_engine.has_unfinished_requests()
    assert engine.generate({"next": Request(QUESTION, GREEDY)}, 0).keys() == {"next"}


def test_after_a_release_another_engine_starts_with_a_shorter_context(engine: Engine, policy: Path) -> None:
    engine.release()
    with pytest.raises(RuntimeError, match="the engine was released"):
        engine.generate({}, 0)
    other = Engine(str(policy), replace(CONFIG, dtype="float32", max_model_len=64))
    try:
        assert other.context == 64 and str(other.llm.model_config.dtype) == "torch.float32"
        assert other.generate({0: Request(QUESTION, GREEDY)}, 0)[0].num_tokens > 0
    finally:
        other.release()
