"""Prometheus finds every pod, and the dashboard asks for nothing that nobody emits."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import promql_parser
import pytest
import yaml
from manifests import KUBERAY, OVERLAYS, cluster_spec, one, overlay, pod_templates, rendered

from factory.runtime.counters import NAMES

OURS = {f"ray_{name}_total": set(tags) for name, tags in NAMES.items()}
"""Our counters as Prometheus reads them, and their labels."""


def panels() -> list[dict[str, Any]]:
    """Return the panels of the dashboard that Grafana is given."""
    return json.loads(one(rendered(KUBERAY / "monitoring"), "ConfigMap")["data"]["roundtrip.json"])["panels"]


def queries() -> list[str]:
    """Return what the panels ask, with Grafana's own words replaced as Grafana does."""
    return [
        target["expr"].replace("$__rate_interval", "1m").replace("$cluster", "a|b")
        for each in panels()
        for target in each["targets"]
    ]


def selectors(node: Any) -> Iterator[Any]:
    """Yield every metric that a parsed query reads."""
    if isinstance(node, promql_parser.VectorSelector):
        yield node
    for name in ("expr", "lhs", "rhs", "vector_selector"):
        if (inner := getattr(node, name, None)) is not None:
            yield from selectors(inner)
    for inner in getattr(node, "args", None) or ():
        yield from selectors(inner)


def rays() -> dict[str, set[str]]:
    """Return the metrics of Ray's own nodes, and their labels."""
    from ray.dashboard.modules.reporter.reporter_agent import METRICS_GAUGES

    return {f"ray_{gauge.name}": set(gauge.view.columns) for gauge in METRICS_GAUGES.values()}


@pytest.mark.parametrize("query", queries())
def test_a_query_reads_metrics_that_are_emitted_by_labels_that_they_have(query: str) -> None:
    known, read = OURS | rays(), list(selectors(promql_parser.parse(query)))
    assert read
    by = {label.strip() for labels in re.findall(r" by \(([^)]*)\)", query) for label in labels.split(",")}
    for selector in read:
        assert selector.name in known, f"nobody emits {selector.name}"
        asked = by | {matcher.name for matcher in selector.matchers.matchers}
        assert asked <= known[selector.name] | {"instance", "ray_io_cluster"}, f"{selector.name} has no label {asked}"


def test_all_that_we_count_is_shown() -> None:
    assert set(OURS) <= {selector.name for query in queries() for selector in selectors(promql_parser.parse(query))}


def test_panels_stand_side_by_side() -> None:
    places = [each["gridPos"] for each in panels()]
    squares = [
        (place["x"] + x, place["y"] + y) for place in places for x in range(place["w"]) for y in range(place["h"])
    ]
    assert len(squares) == len(set(squares)) and max(x for x, _ in squares) < 24
    assert len({each["id"] for each in panels()}) == len(panels())


@pytest.mark.parametrize("name", OVERLAYS)
def test_prometheus_finds_every_pod_in_our_namespace(name: str) -> None:
    monitor = one(rendered(KUBERAY / "monitoring"), "PodMonitor")
    [endpoint] = monitor["spec"]["podMetricsEndpoints"]
    assert monitor["metadata"]["namespace"] == one(overlay(name), "Namespace")["metadata"]["name"]
    for _, template in pod_templates(cluster_spec(overlay(name))):
        assert monitor["spec"]["selector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
        assert endpoint["port"] in {port["name"] for port in template["spec"]["containers"][0]["ports"]}


def test_the_label_that_the_dashboard_filters_by_is_put_there() -> None:
    [endpoint] = yaml.safe_load((KUBERAY / "monitoring/podmonitor.yaml").read_text())["spec"]["podMetricsEndpoints"]
    assert "ray_io_cluster" in {rule["targetLabel"] for rule in endpoint["relabelings"]}
