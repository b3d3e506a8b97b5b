"""Scores of a translation or of a back-translation: one module per metric, with its definition, direction and scale."""

from factory.metrics import bleu, chrf, chrfpp, mcd, meteor, reconstruction, wer
from factory.metrics.base import Metric
from factory.metrics.judge import is_judge, make_metric


class _Metrics(dict[str, Metric]):
    """The metrics by name; `judge:NAME` is one too, for every NAME."""

    def __missing__(self, name: str) -> Metric:
        if is_judge(name):
            return make_metric(name)
        raise KeyError(name)


METRICS: dict[str, Metric] = _Metrics(
    {module.METRIC.name: module.METRIC for module in (bleu, chrf, meteor, wer, mcd, reconstruction, chrfpp)}
)
"""The metrics by the name of their column in `schemas.datasets.SCORES`."""

__all__ = ["METRICS", "Metric"]
