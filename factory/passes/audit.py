"""audit: how often the candidate that comes back better is also the better translation, by a reference that no pair was made with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np

from factory.metrics import METRICS
from schemas.datasets import OK

Row = dict[str, Any]
GAPS = (0.0, 0.1, 0.2, 0.35, 0.5, 0.75, 1.01)
RESAMPLES = 1_000


class Verdict(NamedTuple):
    """One comparison of two candidates: the gap of their ways back, and whether the reference agrees with it."""

    gap: float
    agrees: bool


def verdicts(rows: Iterable[Row], metric: str, judge: str) -> Iterator[Verdict]:
    """Compare the candidates of every utterance whose reference is known; ties by either score are left out.

    `metric` scored the way back, `judge` (a text metric) scores the candidate's text against the reference.
    """
    for row in rows:
        if row["status"] != OK or not row["reference"]:
            continue
        sound = [c for c in row["candidates"] if c["finish"] == OK and c["text"] and c["scores"][metric] is not None]
        for one, two in combinations(sound, 2):
            back = _advantage(metric, one["scores"][metric], two["scores"][metric])
            score = METRICS[judge].score
            true = _advantage(judge, *(score(c["text"], row["reference"], row["tgt_lang"]) for c in (one, two)))
            if back and true:
                yield Verdict(abs(back), (back > 0) == (true > 0))


def _advantage(metric: str, one: float, two: float) -> float:
    return one - two if METRICS[metric].direction == "up" else two - one


def label_accuracy(rows: Iterable[Row], metric: str, judge: str, seed: int = 0) -> list[dict[str, Any]]:
    """Return, by gap, the number of comparisons and the share (0..1) that the judge agrees with, with a 95 % bootstrap interval."""
    found = list(verdicts(rows, metric, judge))
    table = []
    for low, high in zip(GAPS, GAPS[1:], strict=False):
        agree = np.array([verdict.agrees for verdict in found if low <= verdict.gap < high])
        table.append({"metric": metric, "judge": judge, "gap": [low, min(high, 1.0)], "n": len(agree), **_share(agree, seed)})
    return table


def _share(agree: np.ndarray, seed: int) -> dict[str, Any]:
    if not len(agree):
        return {"accuracy": None, "ci": None}
    draws = np.random.default_rng(seed).binomial(len(agree), agree.mean(), RESAMPLES) / len(agree)
    return {"accuracy": float(agree.mean()), "ci": [float(q) for q in np.quantile(draws, (0.025, 0.975))]}
