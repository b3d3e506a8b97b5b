"""The scores of a judge (`roundtrip judge`) as a metric: `judge:NAME`, as `select.metric` and in audits.

Definition: whatever the package of the judge computes, in an environment of its own (`factory.judges`).
Direction: up; a judge whose scores are errors returns them negated.
Scale: the judge's own.
Source: the script of the judge; the manifest of its scores names its version and model.
"""

from __future__ import annotations

import re

from factory.metrics.base import Metric

PREFIX = "judge:"


def is_judge(name: str) -> bool:
    """Return whether a metric is the scores of a judge."""
    return name.startswith(PREFIX)


def has_plain_name(name: str) -> bool:
    """Return whether a metric is `judge:NAME` with a plain file name as NAME, as `roundtrip judge` prints it."""
    return re.fullmatch(rf"{PREFIX}\w([\w.-]*[\w-])?", name, re.ASCII) is not None


def make_metric(name: str) -> Metric:
    """Return the metric `judge:NAME`; its scores are read, never computed here."""
    return Metric(name, "up", "the judge's own", None, lambda lang: name, _score)


def _score(hypothesis: str, reference: str, lang: str) -> float:
    raise NotImplementedError("the scores of a judge are computed by `roundtrip judge`")
