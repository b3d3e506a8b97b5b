"""Typed settings: what is read from YAML, what is converted, and the sentence for each mistake."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

import pytest

from factory.recipe.typed import (
    RENAMED,
    RecipeError,
    build,
    choose,
    convert,
    merge,
    override,
    parse_override,
    read_yaml,
    require,
    suggest,
)
from schemas.errors import RoundtripError


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True)
class Inner:
    size: int = 3
    ratio: float = 0.5


@dataclass(frozen=True)
class Outer:
    name: str
    inner: Inner = field(default_factory=Inner)
    words: tuple[str, ...] = ()
    weights: dict[str, float] = field(default_factory=dict)
    colour: Colour = Colour.RED
    limit: int | None = None
    delta: float | Literal["auto"] = 0.1
    anything: Any = None
    tools: tuple[Literal["saw", "axe"], ...] = ()
    steps: tuple[Inner, ...] = ()


def test_nested_values_become_dataclasses() -> None:
    values = {
        "name": "x",
        "inner": {"size": 4},
        "words": ["a", "b"],
        "weights": {"a": 1, "b": 0.5},
        "colour": "blue",
        "limit": 7,
        "delta": "auto",
        "anything": [1, {"b": 2}],
    }
    built = build(Outer, values)
    assert built == Outer("x", Inner(4), ("a", "b"), {"a": 1.0, "b": 0.5}, Colour.BLUE, 7, "auto", [1, {"b": 2}])
    assert isinstance(built.weights["a"], float) and isinstance(built.colour, Colour)
    assert build(Outer, {"name": "x", "inner": None, "limit": None}) == Outer("x")


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"name": 3}, "name must be a text; got 3 (int)"),
        ({"name": None}, "name must be a text; got nothing"),
        ({}, "the recipe is incomplete: Outer.__init__() missing 1 required positional argument: 'name'"),
        ([], "the recipe must be a section of keys; got [] (list)"),
        (None, "the recipe must be a section of keys; got nothing"),
        ({"name": "x", "inner": 3}, "inner must be a section of keys; got 3 (int)"),
        ({"name": "x", "inner": {"size": True}}, "inner.size must be a whole number; got True (bool)"),
        ({"name": "x", "inner": {"size": 1.0}}, "inner.size must be a whole number; got 1.0 (float)"),
        ({"name": "x", "inner": {"ratio": "1"}}, "inner.ratio must be a number; got '1' (str)"),
        ({"name": "x", "inner": {"sizes": 1}}, "inner.sizes is not a key of inner: did you mean size?"),
        ({"name": "x", "tools": "saw"}, "tools must be a list of which every item is one of saw, axe; got 'saw' (str)"),
        ({"name": "x", "tools": None}, "tools must be a list of which every item is one of saw, axe; got nothing"),
        ({"name": "x", "steps": "a"}, "steps must be a list of which every item is a section of keys; got 'a' (str)"),
        ({"name": "x", "zzz": 1}, "zzz is not a key of a recipe: expected one of name, inner, words"),
        ({"name": "x", "words": "a"}, "words must be a list of which every item is a text; got 'a' (str)"),
        ({"name": "x", "words": ["a", 1]}, "words[1] must be a text; got 1 (int)"),
        ({"name": "x", "weights": {"a": "b"}}, "weights.a must be a number; got 'b' (str)"),
        ({"name": "x", "weights": 1}, "weights must be a section of keys; got 1 (int)"),
        ({"name": "x", "colour": "rde"}, "colour is 'rde', which is unknown: did you mean red?"),
        ({"name": "x", "delta": "high"}, "delta must be a number; got 'high' (str)"),
        ({"name": "x", "delta": None}, "delta must be a number; got nothing"),
    ],
)
def test_a_mistake_is_one_sentence(values: object, sentence: str) -> None:
    with pytest.raises(RecipeError) as error:
        build(Outer, values)
    assert str(error.value).startswith(sentence)
    assert isinstance(error.value, RoundtripError)


@pytest.mark.parametrize(("old", "new"), list(RENAMED.items()))
def test_an_old_key_names_the_new_one(old: str, new: str) -> None:
    section, key = old.split(".")
    with pytest.raises(RecipeError, match=f"^{old} is called {new} since 0.2.0: rename the key$"):
        build(Inner, {key: 3}, section)


def test_booleans_and_literals_are_converted_as_they_are() -> None:
    assert convert(bool, True, "x") is True
    assert convert(Literal["a", "b"], "b", "x") == "b"
    assert convert(float, 2, "x") == 2.0 and isinstance(convert(float, 2, "x"), float)
    with pytest.raises(RecipeError, match=r"^x must be true or false; got 1 \(int\)$"):
        convert(bool, 1, "x")
    with pytest.raises(RecipeError, match="^x is 'c', which is unknown: expected one of a, b$"):
        convert(Literal["a", "b"], "c", "x")


@pytest.mark.parametrize(
    ("text", "value"),
    [("1e-4", 1e-4), ("2E+3", 2e3), ("-1.5e2", -150.0), ("1.e1", 10.0), ("0.1", 0.1), ("null", None), ("1e", "1e")],
)
def test_numbers_are_read_as_people_write_them(text: str, value: object) -> None:
    read = read_yaml(text, "x")
    assert read == value and type(read) is type(value)


def test_text_that_is_not_yaml() -> None:
    with pytest.raises(RecipeError, match="^the file is not YAML: while parsing"):
        read_yaml("a: [", "the file")
    with pytest.raises(RecipeError, match="^seed occurs more than once in one section"):
        read_yaml("seed: 1\nseed: 2\nname: x", "the file")
    assert read_yaml("a: {seed: 1}\nb: {seed: 2}", "x") == {"a": {"seed": 1}, "b": {"seed": 2}}


def test_parse_override() -> None:
    assert parse_override("a.b=[x, 1]") == (["a", "b"], ["x", 1])
    assert parse_override("a=b=c") == (["a"], "b=c")
    assert parse_override(" a =1") == (["a"], 1)
    for text in ("delta", "a..b=1", "=1", ".a=1"):
        with pytest.raises(RecipeError, match="^--set takes section.key=value, as in select.delta=0.2; got "):
            parse_override(text)
    with pytest.raises(RecipeError, match=r"^--set select.delta=\[ is not YAML"):
        parse_override("select.delta=[")


def test_overrides_make_missing_sections_and_keep_the_others() -> None:
    values: dict[str, Any] = {"a": {"b": 1, "c": 2}, "d": None}
    override(values, "a.b=3")
    override(values, "d.e.f=4")
    assert values == {"a": {"b": 3, "c": 2}, "d": {"e": {"f": 4}}}
    with pytest.raises(RecipeError, match="^--set a.b.c=1: a.b is 3, not a section of keys$"):
        override(values, "a.b.c=1")


def test_merge_mixes_sections_and_replaces_named_ones() -> None:
    base = {"a": {"b": 1, "c": 2}, "d": {"e": {"f": 1}}, "x": 1}
    changes = {"a": {"b": 3}, "d": {"e": {"g": 2}}, "x": {"y": 2}}
    assert merge(base, changes) == {"a": {"b": 3, "c": 2}, "d": {"e": {"f": 1, "g": 2}}, "x": {"y": 2}}
    assert merge(base, changes, ["d.e"]) == {"a": {"b": 3, "c": 2}, "d": {"e": {"g": 2}}, "x": {"y": 2}}
    assert merge(base, changes, ["a"])["a"] == {"b": 3}
    assert merge({"a": {"b": 1}}, {"a": None}) == {"a": None}
    assert base == {"a": {"b": 1, "c": 2}, "d": {"e": {"f": 1}}, "x": 1}


def test_choose_and_suggest_and_require() -> None:
    assert choose("a", ["a", "b"], "x") == "a"
    with pytest.raises(RecipeError, match=r"^x is 3, which is unknown: expected one of 1, 2$"):
        choose(3, [1, 2], "x")
    assert suggest("metoer", ["bleu", "meteor", "meter"]) == "did you mean meter or meteor?"
    assert suggest("comet", ["bleu", "wer"]) == "expected one of bleu, wer"
    require(True, "never", 0)
    with pytest.raises(RecipeError, match="^n must be 1; got 0$"):
        require(0, "n must be 1", 0)


def test_recipes_that_ship_have_no_old_keys() -> None:
    root = Path(__file__).resolve().parent.parent.parent
    paths = list((root / "recipes").glob("*.yaml"))
    assert paths
    for path in paths:
        for old in RENAMED:
            section, key = old.split(".")
            values = read_yaml(path.read_text("utf-8"), str(path))
            assert key not in (values.get(section) or {})
