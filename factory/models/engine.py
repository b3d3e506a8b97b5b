"""Run a policy in vLLM: prompts go in, sampled outputs come out.

A finished output can add requests to the batch that is still running, so that the engine never waits for the slowest
sequence.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence, Sized
from typing import TYPE_CHECKING, ClassVar, Generic, NamedTuple, TypeVar, cast

from factory.models import likelihood
from factory.models.imports import skip_scikit_learn
from factory.models.prompt_embeds import check_embeddings, insert_speech
from factory.models.vllm_start import EngineConfig as EngineConfig
from factory.models.vllm_start import Speech, set_environment, start_vllm
from factory.models.weights import WeightsError, resolve
from schemas.sequences import EOS, EOSP, SOSP, find_banned, tag

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor
    from transformers import PreTrainedTokenizerBase
    from vllm import LLM, SamplingParams
    from vllm.inputs.engine import EngineInput
    from vllm.outputs import RequestOutput
    from vllm.v1.core.sched.scheduler import Scheduler
    from vllm.v1.engine.core_client import InprocClient
    from vllm.v1.engine.llm_engine import LLMEngine

Key = TypeVar("Key", bound=Hashable)
"""Names a sequence of a batch."""

_BAN = -100.0  # the strongest bias that vLLM allows; the logits of a policy span less
_LOOP = {"min_pattern_size": 1, "max_pattern_size": 16, "min_count": 8}


class Sampling(NamedTuple):
    """How the tokens of one sequence are drawn."""

    temperature: float  # 0 is greedy
    top_p: float  # nucleus, 0..1; 1 is off
    top_k: int  # 0 is off
    max_tokens: int  # longest output, in tokens
    until: str | None = None  # an added token that also ends the output, and stays in it; a follow-up can go on there


class Request(NamedTuple):
    """One sequence to generate; or, with a `completion`, one whose log-probability is wanted: nothing is generated."""

    prompt: str
    sampling: Sampling | None  # None: the completion is given
    completion: str = ""  # what follows the prompt, its end token included; the prompt must end with an added token
    # embeddings (T, D) that stand behind the start of speech of the prompt; for an audio LLM the wave (samples,)
    speech: Tensor | np.ndarray | None = None


class Output(NamedTuple):
    """One generated sequence.

    `finish` is `stop` (the end token was drawn), `length`, `repetition` (one pattern eight times in a row), `too_long`
    (the prompt does not fit into the context, and nothing was generated), or `given` (the completion of the request).
    """

    text: str  # without the end token
    finish: str
    logprob: (
        float  # sum of the tokens' natural log-probabilities before temperature, top-p and bans, end token included
    )
    num_tokens: int  # end token included


class Engine:
    """vLLM in this process, with the Hugging Face tokenizer of the policy.

    The engine owns the environment and the random state of the process: it sets `OMP_NUM_THREADS` and vLLM's variables,
    and seeds torch, numpy and random at each call. Call `release()` before you make a second engine in the same
    process.
    """

    _speech: ClassVar[Speech | None] = None

    def __init__(self, policy: str, config: EngineConfig, tokens: Iterable[str] = (), *, hears: bool = False) -> None:
        """Load a policy.

        Added tokens other than the end token, the brackets of speech and the units are never generated; the separator
        is where chains of thought are asked for.

        Args:
            policy: a Hugging Face folder, or another name for `factory.models.weights.resolve`.
            config: how to compute.
            tokens: the tags that prompts will hold; the tokenizer must know them.
            hears: requests may have `speech`.

        Raises:
            WeightsError: the tokenizer lacks a token, or vLLM takes no embeddings for this kind of network.
        """
        set_environment(config.threads, config.kv_cache_gib)
        skip_scikit_learn()
        folder = str(resolve(policy))
        self._open(folder, policy, set(tokens))
        self.generated = 0
        """Tokens generated since the start."""
        self.prefilled = 0
        """Tokens of prompts computed since the start; tokens that another sequence had computed are not counted."""
        speech = self._speech or ("embeddings" if hears else None)
        self._llm: LLM | None = start_vllm(folder, config, speech)
        self._shares_prefixes = self._llm.llm_engine.vllm_config.kv_transfer_config is not None
        self.context: int = self._llm.model_config.max_model_len
        """Longest prompt and output together, in tokens."""
        if hears:
            request = Request(SOSP + EOSP, Sampling(0.0, 1.0, 0, 1))
            check_embeddings(lambda speech: self.generate({0: request._replace(speech=speech)}, 0), self.llm, policy)

    def _open(self, folder: str, policy: str, tokens: set[str]) -> None:
        """Load the tokenizer, and set which tokens end an output and which are banned."""
        from transformers import AutoTokenizer

        self.tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(folder)
        self.vocabulary: dict[str, int] = self.tokenizer.get_vocab()
        for token in (EOS, SOSP, EOSP, *sorted(tokens)):
            if token not in self.vocabulary:
                raise WeightsError(
                    f"the tokenizer of the policy {policy} has no token {token}: use a policy that was trained for "
                    "this task (schemas/sequences.py lists the tokens)"
                )
        self._eos = self.vocabulary[EOS]
        self.banned = find_banned(self.tokenizer.get_added_vocab(), tokens)

    def knows(self, lang: str) -> bool:
        """Return True if a prompt can name this language."""
        return tag(lang) in self.vocabulary

    def generate(
        self,
        requests: Mapping[Key, Request],
        seed: int,
        follow_up: Callable[[Key, Output], Mapping[Key, Request]] | None = None,
    ) -> dict[Key, Output]:
        """Generate all requests in one running batch.

        The same requests in the same order with the same seed give the same outputs on the same machine and versions. A
        sequence depends on its batch, because vLLM refuses a seed per sequence on a CPU.

        Args:
            requests: the sequences to generate, by name.
            seed: of the random state of the whole batch.
            follow_up: is called with each finished output and returns further requests, which join the batch at once.

        Returns:
            The output of each request, those of `follow_up` included.
        """
        from vllm.outputs import RequestOutput

        batch = _Batch(self, follow_up)
        engine = self._reset(seed)
        try:
            batch.add(requests)
            while engine.has_unfinished_requests():
                for result in engine.step():
                    if isinstance(result, RequestOutput) and result.finished:
                        batch.finish(result)
        except BaseException:
            engine.abort_request(list(batch.waiting))
            raise
        return batch.outputs

    def encode(self, prompts: Sequence[str]) -> list[list[int]]:
        """Return the token ids of each prompt."""
        ids = self.tokenizer(list(prompts), add_special_tokens=False)["input_ids"] if prompts else []
        return cast(list[list[int]], ids)

    def params(self, sampling: Sampling, prompt_length: int) -> SamplingParams:
        """Return vLLM's parameters for one sequence with a prompt of `prompt_length` tokens."""
        from vllm.sampling_params import RepetitionDetectionParams, RequestOutputKind, SamplingParams

        from factory.models.prompt_sharing import KEEP

        return SamplingParams(
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            top_k=sampling.top_k,
            max_tokens=min(sampling.max_tokens, self.context - prompt_length),
            stop_token_ids=[self._eos, *([self.vocabulary[sampling.until]] if sampling.until else [])],
            # allowed_token_ids would be a list of the vocabulary's length in each request
            logit_bias=dict.fromkeys(self.banned, _BAN),
            repetition_detection=RepetitionDetectionParams(**_LOOP),
            logprobs=0,
            flat_logprobs=True,  # dictionaries of log-probabilities would halve the speed
            detokenize=False,
            output_kind=RequestOutputKind.FINAL_ONLY,
            skip_clone=True,  # each sequence has its own; a deep copy of each costs as much as all else of a request
            extra_args=KEEP if sampling.until and self._shares_prefixes else None,
        )

    def read_result(self, result: RequestOutput, num_given: int = 0) -> Output:
        """Return a finished request of vLLM as an output, and count its tokens; `num_given` were in its completion."""
        self.prefilled += len(result.prompt_token_ids or ()) - (result.num_cached_tokens or 0)
        if num_given:
            return Output("", "given", likelihood.sum_logprobs(result, num_given), num_given)
        [sequence] = result.outputs
        ids = list(sequence.token_ids)
        self.generated += len(ids)
        text = str(self.tokenizer.decode(ids[:-1] if ids and ids[-1] == self._eos else ids, skip_special_tokens=False))
        return Output(text, sequence.finish_reason or "error", sequence.cumulative_logprob or 0.0, len(ids))

    def make_prompt(self, ids: list[int], speech: Tensor | np.ndarray | None) -> EngineInput:
        """Return the prompt `ids` as vLLM takes it; `speech` (T, D) goes behind its start of speech."""
        from vllm.inputs import tokens_input

        if speech is None:
            return tokens_input(ids)
        place, dtype = ids.index(self.vocabulary[SOSP]) + 1, cast("torch.dtype", self.llm.model_config.dtype)
        return insert_speech(ids, cast("Tensor", speech), place, dtype)

    def submit(self, name: str, prompt: EngineInput, sampling: Sampling | None) -> None:
        """Queue one sequence under a unique name. Without `sampling` it is only read."""
        params = likelihood.params() if sampling is None else self.params(sampling, count_tokens(prompt))
        self.llm.llm_engine.add_request(name, prompt, params)

    def release(self) -> None:
        """Free the memory (the GPU's as well); the engine cannot be used afterwards."""
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

    def _reset(self, seed: int) -> LLMEngine:
        """Seed vLLM and empty its cache of prefixes: a cached prefix changes the rounding of a repeated batch."""
        from vllm.utils.torch_utils import set_random_seed

        engine = self.llm.llm_engine
        if self._shares_prefixes:
            # the blocks that are held first: else vLLM takes them for blocks of running sequences and resets nothing
            core = cast("InprocClient", engine.engine_core).engine_core
            cast("Scheduler", core.scheduler).reset_connector_cache()
        engine.reset_prefix_cache()
        set_random_seed(seed)
        return engine


class _Batch(Generic[Key]):
    """The bookkeeping of one call of `generate`."""

    def __init__(self, engine: Engine, follow_up: Callable[[Key, Output], Mapping[Key, Request]] | None) -> None:
        self._engine, self._follow_up = engine, follow_up
        self._count = 0
        self.waiting: dict[str, Key] = {}
        self.num_given: dict[str, int] = {}  # tokens of the completion of each sequence
        self.outputs: dict[Key, Output] = {}

    def add(self, requests: Mapping[Key, Request]) -> None:
        """Submit requests; the output of a prompt that fills the context is `too_long` at once."""
        texts = {key: request.prompt + request.completion for key, request in requests.items()}
        unique = list(dict.fromkeys([*texts.values(), *(one.prompt for one in requests.values())]))  # n share a prompt
        ids = dict(zip(unique, self._engine.encode(unique), strict=True))
        for key, request in requests.items():
            prompt = self._engine.make_prompt(ids[texts[key]], request.speech)
            if count_tokens(prompt) >= self._engine.context:
                self._store(key, Output("", "too_long", 0.0, 0))
                continue
            name = str(self._count)
            self._count += 1
            self._engine.submit(name, prompt, request.sampling)
            self.waiting[name] = key
            self.num_given[name] = len(ids[texts[key]]) - len(ids[request.prompt])

    def finish(self, result: RequestOutput) -> None:
        name = result.request_id
        self._store(self.waiting.pop(name), self._engine.read_result(result, self.num_given[name]))

    def _store(self, key: Key, output: Output) -> None:
        self.outputs[key] = output
        if self._follow_up is not None:
            self.add(self._follow_up(key, output))


def count_tokens(prompt: EngineInput) -> int:
    """Return the tokens and embeddings of a prompt."""
    return len(cast("Sized", prompt["prompt_token_ids"]))  # type: ignore[typeddict-item]
