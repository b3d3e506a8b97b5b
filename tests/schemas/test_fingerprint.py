"""json_digest: SHA-256 of canonical JSON, the same on every machine and for every order of keys."""

from __future__ import annotations

import hashlib

import pytest

from schemas.fingerprint import json_digest


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


@pytest.mark.parametrize(
    ("content", "canonical"),
    [
        ({}, "{}"),
        ({"b": 1, "a": 2}, '{"a":2,"b":1}'),
        ({"b": {"d": 1, "c": [1, 2.5]}, "a": None}, '{"a":null,"b":{"c":[1,2.5],"d":1}}'),
        ({"Élan": "où 😀"}, '{"Élan":"où 😀"}'),
        (["a b", True], '["a b",true]'),
        ("plain", '"plain"'),
    ],
)
def test_the_digest_is_the_start_of_the_sha256_of_canonical_json(content: object, canonical: str) -> None:
    assert json_digest(content) == sha256(canonical)[:16]


def test_a_digest_never_changes_between_versions() -> None:
    assert json_digest({"stage": "produce", "inputs": {"units": "é"}}) == "352129a103efdc05"


def test_the_order_of_keys_does_not_count_and_the_order_of_items_does() -> None:
    assert json_digest({"a": 1, "b": {"c": 2, "d": 3}}) == json_digest({"b": {"d": 3, "c": 2}, "a": 1})
    assert json_digest([1, 2]) != json_digest([2, 1])
    assert json_digest((1, 2)) == json_digest([1, 2])


def test_different_values_have_different_digests() -> None:
    values: list[object] = [0, 1, 1.5, "1", None, True, "a", "A", [1], {"a": 1}, {"a": 1.0}, {"a": "1"}, [], {}, ""]
    assert len({json_digest(value) for value in values}) == len(values)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_numbers_that_json_does_not_have_are_refused(number: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        json_digest({"learning_rate": number})


def test_values_that_json_does_not_have_are_refused() -> None:
    with pytest.raises(TypeError, match="not JSON serializable"):
        json_digest({"a": {1, 2}})
