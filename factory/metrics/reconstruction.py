"""Reconstruction likelihood: how likely the policy finds the source text, given a candidate. Nothing is decoded.

Definition: log p(source text | candidate) / tokens, the mean natural log-probability of a token of the source text. The
    candidate is the prompt of its back-translation, and the tokens are those of the policy's tokenizer; the token that
    ends the text is one of them, so that a candidate that says more than the source scores lower. All candidates of an
    utterance share the source text, so the division changes no ranking; it makes gaps of long and short texts
    comparable. The translator actor computes it, because it has the policy.
Direction: up.
Scale: nats per token, at most 0; 0 means that the policy is certain of the source text.
Source: the reconstruction score of Tu et al., Neural machine translation with reconstruction (AAAI 2017), per token.

Scores of different policies are not comparable: the policy is the judge. A candidate that is malformed has no score.
"""

from __future__ import annotations

from factory.metrics.base import Metric


def signature(lang: str) -> str:
    """Return the definition; the policy that judges is the one that wrote the candidates."""
    return "policy|log-likelihood:nats/token|end-token:yes|v1"


def score(logprob: float, num_tokens: int, lang: str) -> float:
    """Compute the reconstruction likelihood.

    Args:
        logprob: Sum of the natural log-probabilities of the tokens of the source text.
        num_tokens: Number of these tokens, the token that ends the text included; 1 or more.
        lang: Not used: the tokens are the policy's.

    Returns:
        The mean log-probability of a token (nats), at most 0.
    """
    return logprob / num_tokens


METRIC = Metric("reconstruction", "up", "..0 (nats per token)", None, signature, score, by_policy=True)
