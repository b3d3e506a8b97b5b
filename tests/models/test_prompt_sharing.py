"""Sharing of prefixes in a real vLLM on a CPU: what is computed, and that outputs are those without sharing."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from factory.models.device import select_device
from factory.models.engine import Engine, EngineConfig, Output, Request, Sampling
from schemas.sequences import SOSP, unit_token
from tests.toys import tiny_policy

if TYPE_CHECKING:
    from vllm import LLM

pytestmark = [
    pytest.mark.service,
    pytest.mark.skipif(select_device().type != "cpu", reason="on a GPU vLLM shares its blocks of 16 tokens by itself"),
]

LENGTHS = range(1, 101)  # of prompts: all remainders of the block size, three times
CANDIDATES = 6  # more sequences than vLLM runs at once
LIMIT = 16
CONTEXT = 128
GREEDY = Sampling(temperature=0.0, top_p=1.0, top_k=0, max_tokens=LIMIT)
HOT = GREEDY._replace(temperature=2.0)
KEEP = {"kv_transfer_params": {"keep": True}}
CONFIG = EngineConfig(dtype="float32", threads=1, kv_cache_gib=1, gpu_memory_utilization=0.3, max_model_len=None)


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random policy whose outputs depend on the whole prompt; the usual toy repeats the last token."""
    import torch
    from transformers import AutoModelForCausalLM

    path = tiny_policy(tmp_path_factory.mktemp("policy"), context=CONTEXT)
    model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "self_attn" in name:
                weight.mul_(8)
    model.save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def engine(policy: Path) -> Iterator[Engine]:
    engine = Engine(str(policy), CONFIG)
    yield engine
    engine.release()


def make_prompts(seed: int) -> dict[int, str]:
    """Return one prompt of each length, by its length."""
    draw = random.Random(seed)
    return {length: "".join(map(unit_token, draw.choices(range(50), k=length))) for length in LENGTHS}


def generate(engine: Engine, prompts: Mapping[int, str], count: int) -> tuple[dict[tuple[int, int], Output], int]:
    """Return `count` greedy outputs of each prompt, and the number of prompt tokens that were computed for them."""
    before = engine.prefilled
    requests = {(length, index): Request(text, GREEDY) for length, text in prompts.items() for index in range(count)}
    return engine.generate(requests, seed=1), engine.prefilled - before


def assert_equal(output: Output, expected: Output) -> None:
    assert (output.text, output.finish, output.num_tokens) == (expected.text, expected.finish, expected.num_tokens)
    assert output.logprob == pytest.approx(expected.logprob, abs=1e-3)


def count_held_blocks(engine: Engine) -> int:
    """Return how many blocks of memory are in use."""
    pool = engine.llm.llm_engine.engine_core.engine_core.scheduler.kv_cache_manager.block_pool  # type: ignore[attr-defined]
    return int(pool.num_gpu_blocks - pool.get_num_free_blocks()) - 1  # one is never free


def test_candidates_compute_their_prompt_once_and_are_those_of_a_prompt_alone(engine: Engine) -> None:
    prompts = make_prompts(seed=0)
    alone, computed = generate(engine, prompts, 1)
    assert computed == sum(LENGTHS), "prompts without a sibling share nothing"
    assert len({output.text for output in alone.values()}) > 0.8 * len(LENGTHS), "outputs depend on prompts"
    together, computed = generate(engine, prompts, CANDIDATES)
    assert len(together) > engine.llm.llm_engine.vllm_config.scheduler_config.max_num_seqs
    assert computed == sum(LENGTHS) + (CANDIDATES - 1) * len(LENGTHS), "the last token is computed for each candidate"
    for (length, _), output in together.items():
        assert_equal(output, alone[length, 0])
    assert count_held_blocks(engine) == 0


def test_a_prompt_longer_than_a_step_is_computed_once(policy: Path, engine: Engine) -> None:
    scheduler = engine.llm.llm_engine.engine_core.engine_core.scheduler  # type: ignore[attr-defined]
    prompts = {length: text for length, text in make_prompts(seed=1).items() if length > 90}
    alone, _ = generate(engine, prompts, 1)
    usual, scheduler.max_num_scheduled_tokens = scheduler.max_num_scheduled_tokens, 40
    try:
        together, computed = generate(engine, prompts, 3)
    finally:
        scheduler.max_num_scheduled_tokens = usual
    assert computed == sum(prompts) + 2 * len(prompts)
    for (length, _), output in together.items():
        assert_equal(output, alone[length, 0])


def test_a_sequence_goes_on_where_another_ended(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    units, until = {engine.vocabulary[unit_token(unit)] for unit in range(50)}, unit_token(7)
    monkeypatch.setattr(engine, "banned", set(engine.vocabulary.values()) - units)  # units are read as they were drawn
    prompts, texts = make_prompts(seed=2), dict[int, str]()

    def go_on(key: tuple[int, bool], output: Output) -> Mapping[tuple[int, bool], Request]:
        length, goes_on = key
        if goes_on or not output.text.endswith(until):
            return {}
        texts[length] = output.text
        return {(length, True): Request(prompts[length] + output.text, GREEDY)}

    before = engine.prefilled
    starts = {(length, False): Request(text, HOT._replace(until=until)) for length, text in prompts.items()}
    parts = engine.generate(starts, 1, go_on)
    assert len(texts) >= 10, "enough outputs end at the token"
    assert engine.prefilled - before == sum(LENGTHS) + len(texts), "only the token at the end is computed"
    whole = engine.generate({length: Request(prompts[length] + text, GREEDY) for length, text in texts.items()}, 1)
    for length, expected in whole.items():
        assert_equal(parts[length, True], expected)


def test_an_error_in_a_batch_leaves_nothing_behind(engine: Engine) -> None:
    prompts = make_prompts(seed=3)
    expected, computed = generate(engine, prompts, CANDIDATES)

    def fail(key: int, output: Output) -> Mapping[int, Request]:
        raise RuntimeError("broken")

    requests = {index: Request(prompts[70], GREEDY._replace(until=SOSP)) for index in range(400)}
    with pytest.raises(RuntimeError, match="broken"):
        engine.generate(requests, 0, fail)
    assert generate(engine, prompts, CANDIDATES) == (expected, computed)
    assert count_held_blocks(engine) == 0


@pytest.fixture(scope="module")
def small(policy: Path, engine: Engine) -> Iterator[LLM]:
    """A vLLM with 7 blocks of memory, of which a sequence needs up to 4; it takes the place of the engine."""
    from vllm import LLM
    from vllm.config import KVTransferConfig

    engine.release()
    sharing = KVTransferConfig(
        kv_connector="PromptSharing", kv_connector_module_path="factory.models.prompt_sharing", kv_role="kv_both"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.delitem(sys.modules, "llvmlite.binding.ffi", raising=False)  # see `start_vllm`
        llm = LLM(
            str(policy),
            dtype="float32",
            skip_tokenizer_init=True,
            enforce_eager=True,
            block_size=32,
            num_gpu_blocks_override=8,  # one is never used
            kv_transfer_config=sharing,
        )
    yield llm
    llm.llm_engine.engine_core.shutdown()


def run(llm: LLM, prompts: Iterable[Sequence[int]], **params: Any) -> tuple[list[list[int]], int]:
    """Return the greedy output of each prompt, and the number of steps that vLLM needed."""
    from vllm import SamplingParams
    from vllm.inputs import tokens_input
    from vllm.sampling_params import RequestOutputKind

    end = RequestOutputKind.FINAL_ONLY
    for name, ids in enumerate(prompts):
        sampling = SamplingParams(temperature=0.0, max_tokens=LIMIT, detokenize=False, output_kind=end, **params)
        llm.llm_engine.add_request(str(name), tokens_input(list(ids)), sampling)
    outputs, steps = dict[int, list[int]](), 0
    while llm.llm_engine.has_unfinished_requests():
        steps += 1
        outputs |= {int(result.request_id): list(result.outputs[0].token_ids) for result in llm.llm_engine.step()}
    return [outputs[name] for name in sorted(outputs)], steps


def test_where_memory_is_short_blocks_are_given_back(small: LLM) -> None:
    draw = random.Random(4)
    prompts = [draw.choices(range(20, 60), k=length) for length in LENGTHS[::3]]
    alone = [run(small, [ids])[0][0] for ids in prompts]
    together, steps = run(small, [ids for ids in prompts for _ in range(4)])
    assert together == [output for output in alone for _ in range(4)]
    draw.shuffle(prompts)  # nothing of the last run is of use
    kept, more_steps = run(small, [[1, *ids] for ids in prompts for _ in range(4)], extra_args=KEEP)
    assert kept[::4] == kept[1::4] == kept[2::4] == kept[3::4]
    assert more_steps < 1.3 * steps


def test_a_long_prompt_gets_the_memory_that_is_held_for_others(small: LLM) -> None:
    draw = random.Random(5)
    run(small, [draw.choices(range(20, 60), k=10) for _ in range(5)], extra_args=KEEP)
    [[output], _] = run(small, [draw.choices(range(20, 60), k=110)])
    assert output


def test_a_last_block_is_of_no_use_without_those_before_it(small: LLM) -> None:
    draw = random.Random(6)
    start = draw.choices(range(20, 60), k=70)
    [[text], _] = run(small, [start], extra_args=KEEP)
    outputs = []
    for _ in range(2):
        for _ in range(5):  # they take the place of the start's whole blocks
            run(small, [draw.choices(range(20, 60), k=100)])
        outputs.append(run(small, [start + text])[0])
    assert outputs[0] == outputs[1], "the first could have used the last block, the second has none"
