"""Reads nested settings from YAML into frozen dataclasses. An error says in one sentence what is wrong with a key.

The types of a dataclass's fields are its schema: `str`, `int`, `float`, `bool`, `Any`, `Literal`, `X | None`, `tuple[X,
...]`, `dict[str, X]`, a StrEnum and other dataclasses. A whole number is also a `float`; nothing else is converted.
"""

from __future__ import annotations

import difflib
import re
import types
from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from enum import StrEnum
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import yaml

from schemas.errors import RoundtripError

T = TypeVar("T")
Settings = dict[str, Any]
"""Nested settings as YAML has them: keys with values, lists or further settings."""

RENAMED = {
    "translator.way_back": "translator.back_translate",
    "translator.back_temperature": "translator.back_translation_temperature",
    "select.policy": "select.rule",
    "select.guards": "select.filters",
    "preference.piece": "preference.micro_batch",
}
"""The keys of version 0.1 that have another name since 0.2.0."""


class RecipeError(RoundtripError):
    """A setting that cannot be used. The message names its key, the expected value and the actual one."""


def build(cls: type[T], values: object, where: str = "") -> T:
    """Make a dataclass from a mapping; keys that are left out keep their defaults.

    Args:
        cls: the dataclass.
        values: the mapping, as YAML gives it.
        where: the dotted name of the section, for messages.

    Raises:
        RecipeError: on an unknown, former or missing key, on a wrong type, and where the dataclass refuses a value.
    """
    if not isinstance(values, dict):
        raise RecipeError(f"{where or 'the recipe'} must be a section of keys; got {_shown(values)}")
    hints, prefix = get_type_hints(cls), f"{where}." if where else ""
    known = [field.name for field in fields(cls)]  # type: ignore[arg-type]
    for key in values:
        if new := RENAMED.get(f"{prefix}{key}"):
            raise RecipeError(f"{prefix}{key} is called {new} since 0.2.0: rename the key")
        if key not in known:
            raise RecipeError(f"{prefix}{key} is not a key of {where or 'a recipe'}: {suggest(str(key), known)}")
    try:
        return cls(**{key: convert(hints[key], value, f"{prefix}{key}") for key, value in values.items()})
    except TypeError as error:
        raise RecipeError(f"{where or 'the recipe'} is incomplete: {error}") from error


def convert(hint: Any, value: Any, where: str) -> Any:
    """Return a value of a type; raise RecipeError with the expected type and the actual value.

    Args:
        hint: the type, as an annotation.
        value: the value, as YAML gives it.
        where: the dotted name of the key, for messages.
    """
    origin, inner = get_origin(hint), get_args(hint)
    if is_dataclass(hint):
        return build(hint, {} if value is None else value, where)  # type: ignore[arg-type]
    if origin in (Union, types.UnionType):
        return _convert_union(inner, value, where)
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return hint(choose(value, map(str, hint), where))
    if origin is Literal:
        return choose(value, inner, where)
    if origin is tuple and isinstance(value, list | tuple):
        return tuple(convert(inner[0], item, f"{where}[{index}]") for index, item in enumerate(value))
    if origin is dict and isinstance(value, dict):
        return {key: convert(inner[1], item, f"{where}.{key}") for key, item in value.items()}
    if hint is float and type(value) is int:
        return float(value)
    if hint is Any or type(value) is hint:
        return value
    raise RecipeError(f"{where} must be {_type_name(hint)}; got {_shown(value)}")


def _convert_union(members: tuple[Any, ...], value: Any, where: str) -> Any:
    """Return None where that is allowed, a word of a Literal member, or else a value of the first member."""
    if value is None and types.NoneType in members:
        return None
    words = [member for member in members if get_origin(member) is Literal and value in get_args(member)]
    return convert((words or [member for member in members if member is not types.NoneType])[0], value, where)


def read_yaml(text: str, where: str) -> Any:
    """Return the value of a YAML text; raise RecipeError if it is not YAML, or if a section has a key twice."""
    try:
        return yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        raise RecipeError(f"{where} is not YAML: {' '.join(str(error).split())}") from error


class _Loader(yaml.SafeLoader):  # type: ignore[misc]  # PyYAML has no types
    """YAML as people write it: `1e-4` is a number (PyYAML reads a text), and a section has a key only once."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Return the mapping of a YAML node; raise RecipeError if a key occurs twice."""
        keys = [str(key.value) for key, _ in node.value]
        if twice := {key for key in keys if keys.count(key) > 1}:
            raise RecipeError(
                f"{', '.join(sorted(twice))} occurs more than once in one section ({str(node.start_mark).strip()})"
            )
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


def parse_override(text: str) -> tuple[list[str], Any]:
    """Split `a.b=value` into names and a YAML value: `0.1` is a number, `null` is None, `[bleu, wer]` is a list."""
    names, equals, value = text.partition("=")
    if not equals or not all(names.strip().split(".")):
        raise RecipeError(f"--set takes section.key=value, as in select.delta=0.2; got {text!r}")
    return names.strip().split("."), read_yaml(value, f"--set {text}")


def override(values: Settings, text: str) -> None:
    """Set one `section.key=value` in nested settings; missing sections are added."""
    names, value = parse_override(text)
    for depth, name in enumerate(names[:-1], 1):
        if values.get(name) is None:
            values[name] = {}
        values = values[name]
        if not isinstance(values, dict):
            raise RecipeError(f"--set {text}: {'.'.join(names[:depth])} is {values!r}, not a section of keys")
    values[names[-1]] = value


def merge(base: Settings, changes: Settings, replaced: Iterable[str] = (), where: str = "") -> Settings:
    """Return nested settings with changes applied, section by section.

    Args:
        base: the settings.
        changes: the values that win.
        replaced: dotted names of sections that are replaced as a whole.
        where: the dotted name of this section, with a dot at its end.
    """
    result = dict(base)
    for key, value in changes.items():
        name, former = f"{where}{key}", result.get(key)
        mixes = isinstance(value, dict) and isinstance(former, dict) and name not in replaced
        result[key] = merge(former or {}, value, replaced, f"{name}.") if mixes else value
    return result


def choose(value: Any, allowed: Iterable[Any], where: str) -> Any:
    """Return a value if it is allowed; raise RecipeError with similar allowed values otherwise."""
    allowed = list(allowed)
    if value in allowed:
        return value
    raise RecipeError(f"{where} is {value!r}, which is unknown: {suggest(str(value), [str(item) for item in allowed])}")


def suggest(name: str, known: list[str]) -> str:
    """Name the known words that are similar to `name`, or all of them."""
    similar = difflib.get_close_matches(name, known)
    return f"did you mean {' or '.join(similar)}?" if similar else f"expected one of {', '.join(known)}"


def require(condition: object, sentence: str, value: object) -> None:
    """Raise RecipeError with a sentence and the actual value unless the condition is true."""
    if not condition:
        raise RecipeError(f"{sentence}; got {value}")


def _type_name(hint: Any) -> str:
    names = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}
    if get_origin(hint) is tuple:
        return f"a list of which every item is {_type_name(get_args(hint)[0])}"
    if get_origin(hint) is Literal:
        return f"one of {', '.join(map(str, get_args(hint)))}"
    return "a section of keys" if get_origin(hint) is dict or is_dataclass(hint) else names[hint]


def _shown(value: object) -> str:
    return "nothing" if value is None else f"{value!r} ({type(value).__name__})"
