"""The mean log-probability of a token of the source text."""

from __future__ import annotations

import math

import pytest

from factory.metrics import METRICS, reconstruction


def test_it_is_the_mean_log_probability_of_a_token() -> None:
    assert reconstruction.score(math.log(0.5) + math.log(0.125), 2, "en") == pytest.approx(math.log(0.25))
    assert reconstruction.score(-6.0, 4, "fr") == -1.5
    assert reconstruction.score(0.0, 3, "fr") == 0.0, "the policy is certain"


def test_a_likelier_source_text_is_better() -> None:
    metric = METRICS["reconstruction"]
    assert metric.advantage(-0.5, -2.0) == 1.5
    assert metric.by_policy and not metric.compares_texts


def test_the_signature_names_the_unit_and_the_end_token() -> None:
    assert reconstruction.signature("en") == "policy|log-likelihood:nats/token|end-token:yes|v1"
