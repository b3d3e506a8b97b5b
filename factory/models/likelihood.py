"""The log-probability of a completion that is given, by vLLM: one prefill, and no decoding.

The completion is a part of the prompt, and vLLM returns the log-probability of every token of a prompt. It always
generates a token; one is generated and ignored. Log-probabilities are those of the network itself: before temperature,
top-p and bans.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vllm import SamplingParams
    from vllm.outputs import RequestOutput


def params() -> SamplingParams:
    """Return vLLM's parameters for a sequence that is only read."""
    from vllm.sampling_params import RequestOutputKind, SamplingParams

    return SamplingParams(
        temperature=0.0,
        max_tokens=1,
        prompt_logprobs=0,  # of the tokens of the prompt, and of no others
        flat_logprobs=True,  # dictionaries of log-probabilities are slow
        detokenize=False,
        output_kind=RequestOutputKind.FINAL_ONLY,
        skip_clone=True,
    )


def sum_logprobs(result: RequestOutput, num_tokens: int) -> float:
    """Return the sum of the log-probabilities (nats) of the last `num_tokens` tokens of a finished request's prompt."""
    from vllm.logprobs import FlatLogprobs

    assert isinstance(result.prompt_logprobs, FlatLogprobs), "params() asks for flat log-probabilities"
    return sum(result.prompt_logprobs.logprobs[-num_tokens:])
