"""All metrics keep one contract: a column, a direction, a scale, a worst score and a signature."""

from __future__ import annotations

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factory.metrics import METRICS, Metric
from schemas.datasets import SCORES

TEXT_METRICS = [metric for metric in METRICS.values() if metric.compares_texts]
SENTENCES = st.lists(st.text(string.ascii_lowercase, min_size=1, max_size=6), min_size=1, max_size=8).map(" ".join)


def test_every_column_of_scores_has_its_metric() -> None:
    assert list(METRICS) == [SCORES.field(index).name for index in range(SCORES.num_fields)]
    assert {name: metric.name for name, metric in METRICS.items()} == {name: name for name in METRICS}


@pytest.mark.parametrize(
    ("name", "direction", "scale", "worst", "audio"),
    [
        ("bleu", "up", "0..1", 0.0, False),
        ("chrf", "up", "0..1", 0.0, False),
        ("meteor", "up", "0..1", 0.0, False),
        ("wer", "down", "0..1 (1: as many errors as words, or more)", 1.0, False),
        ("mcd", "down", "0.. (no unit)", None, True),
        ("reconstruction", "up", "..0 (nats per token)", None, False),
    ],
)
def test_directions_scales_and_worst_scores(
    name: str, direction: str, scale: str, worst: float | None, audio: bool
) -> None:
    metric = METRICS[name]
    assert (metric.direction, metric.scale, metric.worst, metric.audio) == (direction, scale, worst, audio)


@pytest.mark.parametrize(
    ("name", "advantage"), [("bleu", 0.25), ("wer", -0.25), ("mcd", -0.25), ("reconstruction", 0.25)]
)
def test_the_advantage_of_the_better_score_is_positive(name: str, advantage: float) -> None:
    assert METRICS[name].advantage(0.75, 0.5) == advantage
    assert METRICS[name].advantage(0.5, 0.75) == -advantage
    assert METRICS[name].advantage(0.5, 0.5) == 0


@pytest.mark.parametrize("metric", TEXT_METRICS, ids=lambda metric: metric.name)
@pytest.mark.parametrize("lang", ["en", "fr", "xx"])
def test_an_empty_side_has_the_worst_score(metric: Metric, lang: str) -> None:
    for empty in ("", "  "):
        assert metric.score(empty, "a cat", lang) == metric.worst
        assert metric.score("a cat", empty, lang) == metric.worst


@settings(max_examples=25, deadline=None)
@given(SENTENCES, SENTENCES)
def test_text_scores_stay_in_their_scale_and_the_reference_scores_best(hypothesis: str, reference: str) -> None:
    for metric in TEXT_METRICS:
        score = metric.score(hypothesis, reference, "fr")
        assert 0 <= score <= 1 + 1e-9
        assert metric.advantage(metric.score(reference, reference, "fr"), score) >= 0
