"""Prometheus finds every pod, and the dashboard reads only metrics that exist."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import promql_parser
import pytest
import yaml

from factory.runtime.counters import NAMES
from tests.cluster.manifests import KUBERAY, OVERLAYS, cluster_spec, only, overlay, pod_templates, render

COUNTERS = {f"ray_{name}_total": set(tags) for name, tags in NAMES.items()}
"""The counters of a round as Prometheus reads them, and their labels."""


def panels() -> list[dict[str, Any]]:
    """Return the panels of Grafana's dashboard."""
    dashboard = json.loads(only(render(KUBERAY / "monitoring"), "ConfigMap")["data"]["roundtrip.json"])
    listed: list[dict[str, Any]] = dashboard["panels"]
    return listed


def queries() -> list[str]:
    """Return the queries of the panels, with the variables of Grafana replaced."""
    return [
        target["expr"].replace("$__rate_interval", "1m").replace("$cluster", "a|b")
        for panel in panels()
        for target in panel["targets"]
    ]


def selectors(node: Any) -> Iterator[Any]:
    """Yield the selector of every metric in a parsed query."""
    if isinstance(node, promql_parser.VectorSelector):
        yield node
    for name in ("expr", "lhs", "rhs", "vector_selector"):
        if (inner := getattr(node, name, None)) is not None:
            yield from selectors(inner)
    for inner in getattr(node, "args", None) or ():
        yield from selectors(inner)


def ray_gauges() -> dict[str, set[str]]:
    """Return the metrics that Ray measures on its nodes, and their labels."""
    from ray.dashboard.modules.reporter.reporter_agent import METRICS_GAUGES

    return {f"ray_{gauge.name}": set(gauge.view.columns) for gauge in METRICS_GAUGES.values()}


@pytest.mark.parametrize("query", queries())
def test_a_query_reads_metrics_and_labels_that_exist(query: str) -> None:
    known, read = COUNTERS | ray_gauges(), list(selectors(promql_parser.parse(query)))
    assert read
    grouped = {label.strip() for labels in re.findall(r" by \(([^)]*)\)", query) for label in labels.split(",")}
    for selector in read:
        assert selector.name in known, f"no metric is called {selector.name}"
        labels = grouped | {matcher.name for matcher in selector.matchers.matchers}
        assert labels <= known[selector.name] | {"instance", "ray_io_cluster"}, f"{selector.name} lacks one of {labels}"


def test_every_counter_is_shown() -> None:
    assert set(COUNTERS) <= {selector.name for query in queries() for selector in selectors(promql_parser.parse(query))}


def test_panels_do_not_overlap() -> None:
    grids = [panel["gridPos"] for panel in panels()]
    squares = [(grid["x"] + x, grid["y"] + y) for grid in grids for x in range(grid["w"]) for y in range(grid["h"])]
    assert len(squares) == len(set(squares)) and max(x for x, _ in squares) < 24
    assert len({panel["id"] for panel in panels()}) == len(panels())


@pytest.mark.parametrize("name", OVERLAYS)
def test_prometheus_finds_every_pod_in_the_namespace(name: str) -> None:
    monitor = only(render(KUBERAY / "monitoring"), "PodMonitor")
    [endpoint] = monitor["spec"]["podMetricsEndpoints"]
    assert monitor["metadata"]["namespace"] == only(overlay(name), "Namespace")["metadata"]["name"]
    for _, template in pod_templates(cluster_spec(overlay(name))):
        assert monitor["spec"]["selector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
        assert endpoint["port"] in {port["name"] for port in template["spec"]["containers"][0]["ports"]}


def test_pods_get_the_label_that_the_dashboard_filters_by() -> None:
    [endpoint] = yaml.safe_load((KUBERAY / "monitoring/podmonitor.yaml").read_text())["spec"]["podMetricsEndpoints"]
    assert "ray_io_cluster" in {rule["targetLabel"] for rule in endpoint["relabelings"]}
