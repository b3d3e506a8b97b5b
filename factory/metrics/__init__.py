"""Scores of a translation or of a back-translation: one module per metric, with its definition, direction and scale."""

from factory.metrics import bleu, chrf, chrfpp, mcd, meteor, reconstruction, wer
from factory.metrics.base import Metric

METRICS: dict[str, Metric] = {
    module.METRIC.name: module.METRIC for module in (bleu, chrf, meteor, wer, mcd, reconstruction, chrfpp)
}
"""The metrics by the name of their column in `schemas.datasets.SCORES`."""

__all__ = ["METRICS", "Metric"]
