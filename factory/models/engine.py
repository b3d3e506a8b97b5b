"""A policy in vLLM's engine: prompts in, sampled outputs out; an output may ask for more while the batch is still running."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from factory.models.device import WantedDtype, resolve_dtype
from factory.models.weights import resolve
from schemas.sequences import EOS

if TYPE_CHECKING:
    from vllm import LLM, SamplingParams
    from vllm.outputs import RequestOutput
    from vllm.v1.engine.llm_engine import LLMEngine

Key = TypeVar("Key", bound=Hashable)

_BAN = -100.0  # the strongest bias that vLLM's interface promises; no policy's logits span so much
KV_BLOCK = 32
"""Tokens in a block of keys and values on a CPU, the fewest its attention takes: candidates share their prompt in whole blocks alone."""
_LOOP = {"min_pattern_size": 1, "max_pattern_size": 16, "min_count": 8}


class Sampling(NamedTuple):
    """How tokens are drawn: temperature 0 is greedy, top_k 0 is off, max_tokens None is 64 more than twice the prompt's length.

    `until` is an added token that ends the output as the end token does, but stays in it.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    max_tokens: int | None = None
    until: str | None = None


class Ask(NamedTuple):
    """One sequence that is wanted from the engine."""

    prompt: str
    sampling: Sampling


class Output(NamedTuple):
    """What the engine wrote, without the end token.

    `finish` is `stop` (the end token came), `length`, `repetition` (one pattern eight times in a row), or `too_long` (the prompt does not
    fit into the context, nothing was generated). `logprob` is the sum of the tokens' natural log-probabilities under the policy itself,
    before temperature, top-p and bans, the end token included; `num_tokens` counts the end token as well.
    """

    text: str
    finish: str
    logprob: float
    num_tokens: int


class Engine:
    """vLLM in this process, with the Hugging Face tokenizer of the policy.

    The process' environment and random state belong to the engine: it sets `OMP_NUM_THREADS` and vLLM's variables, and seeds torch,
    numpy and random at each call. A second engine in one process needs `release()` on the first.
    """

    def __init__(
        self,
        policy: str,
        *,
        usable: Callable[[str], bool],
        dtype: WantedDtype = "auto",
        seed: int = 0,
        threads: int = 1,
        kv_cache_gib: int = 2,
        gpu_memory_utilization: float = 0.9,
        max_model_len: int | None = None,
    ) -> None:
        """Load the Hugging Face folder `policy` (a path, or another name for `factory.models.weights.resolve`).

        Of the tokenizer's added tokens only the end token and those that are `usable` can be generated; `max_model_len` is the longest
        sequence in tokens (default: the policy's context). `threads` and `kv_cache_gib` matter on a CPU, `gpu_memory_utilization` on a GPU.
        `dtype` is what the network computes in (`factory.models.device.resolve_dtype`).
        Raises ValueError when the tokenizer has no end token.
        """
        _environment(threads, kv_cache_gib)
        from transformers import AutoTokenizer

        folder = str(resolve(policy))
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.vocabulary: dict[str, int] = self.tokenizer.get_vocab()
        if EOS not in self.vocabulary:
            raise ValueError(
                f"the tokenizer in {policy} has no {EOS}: a policy's tokenizer needs the tokens of schemas.sequences"
            )
        self._eos = self.vocabulary[EOS]
        added = self.tokenizer.get_added_vocab()
        self.banned: set[int] = {index for token, index in added.items() if token != EOS and not usable(token)}
        self.generated = 0
        """Tokens generated since the start."""
        self._llm: LLM | None = _load(folder, threads, dtype, seed, gpu_memory_utilization, max_model_len)
        self.context: int = self._llm.model_config.max_model_len
        """The longest prompt and output together, in tokens."""

    def generate(
        self,
        asks: Mapping[Key, Ask],
        seed: int,
        then: Callable[[Key, Output], Mapping[Key, Ask]] | None = None,
    ) -> dict[Key, Output]:
        """Answer all asks in one running batch, and those that `then` adds when an output is finished, as soon as it is.

        The same asks in the same order with the same seed give the same outputs on the same machine and versions. In another batch a
        sequence comes out differently: a seed of its own for each sequence is refused by vLLM on a CPU.
        """
        from vllm.outputs import RequestOutput

        run = _Run(self, then)
        engine = self._ready(seed)
        try:
            run.add(asks)
            while engine.has_unfinished_requests():
                for result in engine.step():
                    if isinstance(result, RequestOutput) and result.finished:
                        run.finish(result)
        except BaseException:
            engine.abort_request(list(run.waiting))
            raise
        return run.outputs

    def encode(self, prompts: Sequence[str]) -> list[list[int]]:
        """Return the token ids of prompts."""
        return self.tokenizer(list(prompts), add_special_tokens=False)["input_ids"] if prompts else []

    def params(self, sampling: Sampling, prompt_length: int) -> SamplingParams:
        """Return vLLM's parameters for one sequence."""
        from vllm.sampling_params import RepetitionDetectionParams, RequestOutputKind, SamplingParams

        wanted = 64 + 2 * prompt_length if sampling.max_tokens is None else sampling.max_tokens
        return SamplingParams(
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            top_k=sampling.top_k,
            max_tokens=min(wanted, self.context - prompt_length),
            stop_token_ids=[self._eos, *([self.vocabulary[sampling.until]] if sampling.until else [])],
            logit_bias=dict.fromkeys(
                self.banned, _BAN
            ),  # not allowed_token_ids: a list of the vocabulary's length for each request
            repetition_detection=RepetitionDetectionParams(**_LOOP),
            logprobs=0,
            flat_logprobs=True,  # as dictionaries the log-probabilities would cost more than half of the speed
            detokenize=False,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )

    def read(self, result: RequestOutput) -> Output:
        """Turn a finished request into an output and count its tokens."""
        [sequence] = result.outputs
        ids = list(sequence.token_ids)
        self.generated += len(ids)
        text = str(self.tokenizer.decode(ids[:-1] if ids and ids[-1] == self._eos else ids, skip_special_tokens=False))
        return Output(text, sequence.finish_reason or "error", sequence.cumulative_logprob or 0.0, len(ids))

    def submit(self, name: str, ids: list[int], sampling: Sampling) -> None:
        """Queue one sequence under a unique name."""
        self.llm.llm_engine.add_request(name, {"prompt_token_ids": ids}, self.params(sampling, len(ids)))

    def release(self) -> None:
        """Give the memory back (the GPU's as well); the engine is of no use afterwards."""
        if self._llm is None:
            return
        from vllm.distributed import cleanup_dist_env_and_memory

        self._llm.llm_engine.engine_core.shutdown()
        self._llm = None
        gc.collect()
        cleanup_dist_env_and_memory()

    @property
    def llm(self) -> LLM:
        """vLLM itself. Raises RuntimeError after `release`."""
        if self._llm is None:
            raise RuntimeError("the engine was released")
        return self._llm

    def _ready(self, seed: int) -> LLMEngine:
        """Return vLLM's engine in the state that the seed stands for: a cached prefix would change the numerics of a repetition."""
        from vllm.utils.torch_utils import set_random_seed

        engine = self.llm.llm_engine
        engine.reset_prefix_cache()
        set_random_seed(seed)
        return engine


class _Run:
    """The bookkeeping of one call of `generate`."""

    def __init__(self, engine: Engine, then: Callable[[Any, Output], Mapping[Any, Ask]] | None) -> None:
        self._engine, self._then = engine, then
        self._count = 0
        self.waiting: dict[str, Any] = {}
        self.outputs: dict[Any, Output] = {}

    def add(self, asks: Mapping[Any, Ask]) -> None:
        """Submit what is asked; a prompt that fills the context has its output at once, `too_long`."""
        prompts = list(dict.fromkeys(ask.prompt for ask in asks.values()))  # n candidates share one
        ids = dict(zip(prompts, self._engine.encode(prompts), strict=True))
        for key, ask in asks.items():
            if len(ids[ask.prompt]) >= self._engine.context:
                self._done(key, Output("", "too_long", 0.0, 0))
                continue
            name = str(self._count)
            self._count += 1
            self._engine.submit(name, ids[ask.prompt], ask.sampling)
            self.waiting[name] = key

    def finish(self, result: RequestOutput) -> None:
        self._done(self.waiting.pop(result.request_id), self._engine.read(result))

    def _done(self, key: Any, output: Output) -> None:
        self.outputs[key] = output
        if self._then is not None:
            self.add(self._then(key, output))


def _environment(threads: int, kv_cache_gib: int) -> None:
    """Set what vLLM reads when it is imported: one process, no binding to cores (Ray and neighbours decide), quiet."""
    os.environ.update(
        OMP_NUM_THREADS=str(threads),
        VLLM_ENABLE_V1_MULTIPROCESSING="0",
        VLLM_CPU_OMP_THREADS_BIND="nobind",
        VLLM_CPU_KVCACHE_SPACE=str(kv_cache_gib),
        VLLM_NO_USAGE_STATS="1",
    )
    os.environ.setdefault(
        "VLLM_USE_FLASHINFER_SAMPLER", "0"
    )  # it is compiled at the start, with an nvcc that few machines have
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")


def _load(
    policy: str, threads: int, dtype: WantedDtype, seed: int, gpu_memory_utilization: float, max_model_len: int | None
) -> LLM:
    import torch
    from vllm import LLM

    on_gpu = torch.cuda.is_available()
    if not on_gpu:
        torch.set_num_threads(threads)  # in case torch was imported before OMP_NUM_THREADS was set
    with _out_of_sight("llvmlite.binding.ffi"):
        return LLM(
            model=policy,
            skip_tokenizer_init=True,
            enforce_eager=not on_gpu,
            dtype=resolve_dtype(dtype, on_gpu=on_gpu),
            block_size=None if on_gpu else KV_BLOCK,
            seed=seed,
            max_model_len=max_model_len,
            gpu_memory_utilization=gpu_memory_utilization,
        )


@contextmanager
def _out_of_sight(name: str) -> Iterator[None]:
    """Take a module out of sys.modules for a while.

    vLLM 0.32 looks into the `__dict__` of everything in every module that is loaded. llvmlite's library object answers to any attribute,
    so in a process that used numba before, vLLM fails with "'_lib_fn_wrapper' object has no attribute 'get'".
    """
    module = sys.modules.pop(name, None)
    try:
        yield
    finally:
        if module is not None:
            sys.modules[name] = module
