"""Reads nested settings from YAML into frozen dataclasses, and says in a sentence what is wrong with them.

The types of a dataclass's fields are its schema: `str`, `int`, `float`, `bool`, `Any`, `Literal`, `X | None`, `tuple[X, ...]`,
`dict[str, X]`, a StrEnum and other dataclasses. A whole number is also a `float`; nothing else is converted.
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
RENAMED = {
    "translator.way_back": "translator.back_translate",
    "translator.back_temperature": "translator.back_translation_temperature",
    "select.policy": "select.rule",
    "select.guards": "select.filters",
    "preference.piece": "preference.micro_batch",
}
"""Keys of 0.1, and what they are called now."""


class RecipeError(RoundtripError):
    """A setting that cannot be used; the message names its key, what was expected and what was found."""


def build(cls: type[T], values: Any, where: str = "") -> T:
    """Make the dataclass `cls` of a mapping; keys that are left out keep their defaults.

    `where` is the dotted name of the section, for messages. Raises RecipeError on an unknown or missing key and on a wrong type.
    """
    if not isinstance(values, dict):
        raise RecipeError(f"{where or 'the recipe'} must be a section of keys; got {_told(values)}")
    hints, prefix = get_type_hints(cls), f"{where}." if where else ""
    known = [field.name for field in fields(cls)]  # type: ignore[arg-type]
    for key in values:
        if new := RENAMED.get(f"{prefix}{key}"):
            raise RecipeError(f"{prefix}{key} is called {new} since 0.2.0: use that key")
        if key not in known:
            raise RecipeError(f"{prefix}{key} is no key of {where or 'a recipe'}: {choices(str(key), known)}")
    try:
        return cls(**{key: convert(hints[key], value, f"{prefix}{key}") for key, value in values.items()})
    except TypeError as error:
        raise RecipeError(f"{where or 'the recipe'} is incomplete: {error}") from error


def convert(hint: Any, value: Any, where: str) -> Any:
    """Return `value` as the type `hint`; raises RecipeError with the expected type and what was got."""
    origin, inner = get_origin(hint), get_args(hint)
    if is_dataclass(hint):
        return build(hint, {} if value is None else value, where)  # type: ignore[arg-type]
    if origin in (Union, types.UnionType):
        return _convert_either(inner, value, where)
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return hint(chosen(value, map(str, hint), where))
    if origin is Literal:
        return chosen(value, inner, where)
    if origin is tuple and isinstance(value, list | tuple):
        return tuple(convert(inner[0], item, f"{where}[{place}]") for place, item in enumerate(value))
    if origin is dict and isinstance(value, dict):
        return {key: convert(inner[1], item, f"{where}.{key}") for key, item in value.items()}
    if hint is float and type(value) is int:
        return float(value)
    if hint is Any or type(value) is hint:
        return value
    raise RecipeError(f"{where} must be {_wanted(hint)}; got {_told(value)}")


def _convert_either(parts: tuple[Any, ...], value: Any, where: str) -> Any:
    """Return a value of a union: nothing, one of the words of a Literal in it, or else as the first type says."""
    if value is None and types.NoneType in parts:
        return None
    words = [part for part in parts if get_origin(part) is Literal and value in get_args(part)]
    return convert((words or [part for part in parts if part is not types.NoneType])[0], value, where)


def read_yaml(text: str, where: str) -> Any:
    """Return what a YAML text holds; raises RecipeError when it is none, or when a key stands twice in one section."""
    try:
        return yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        raise RecipeError(f"{where} is no YAML: {' '.join(str(error).split())}") from error


class _Loader(yaml.SafeLoader):
    """YAML as people write it: `1e-4` is a number (PyYAML reads a text), and a key may stand only once."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [str(key.value) for key, _ in node.value]
        if twice := {key for key in keys if keys.count(key) > 1}:
            raise RecipeError(
                f"{', '.join(sorted(twice))} stands more than once in one section ({str(node.start_mark).strip()})"
            )
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


def parse_override(text: str) -> tuple[list[str], Any]:
    """Split `a.b=value` into its names and its value, read as YAML (`0.1` a number, `null` nothing, `[bleu, wer]` a list)."""
    names, equals, value = text.partition("=")
    if not equals or not all(names.strip().split(".")):
        raise RecipeError(f"--set takes section.key=value, as in select.delta=0.2; got {text!r}")
    return names.strip().split("."), read_yaml(value, f"--set {text}")


def lay_over(values: dict[str, Any], override: str) -> None:
    """Set the key of a `section.key=value` override in nested settings; sections that are not there yet are made."""
    names, value = parse_override(override)
    for depth, name in enumerate(names[:-1], 1):
        if values.get(name) is None:
            values[name] = {}
        values = values[name]
        if not isinstance(values, dict):
            raise RecipeError(f"--set {override}: {'.'.join(names[:depth])} is {values!r}, not a section of keys")
    values[names[-1]] = value


def merged(below: dict[str, Any], above: dict[str, Any], whole: Iterable[str] = (), where: str = "") -> dict[str, Any]:
    """Return nested settings with others laid over them, section by section; those named in `whole` are not mixed but replaced."""
    told = dict(below)
    for key, value in above.items():
        name, under = f"{where}{key}", told.get(key)
        mixes = isinstance(value, dict) and isinstance(under, dict) and name not in whole
        told[key] = merged(under or {}, value, whole, f"{name}.") if mixes else value
    return told


def chosen(value: Any, allowed: Iterable[Any], where: str) -> Any:
    """Return `value` if it is one of the allowed ones; raises RecipeError that names the close ones."""
    allowed = list(allowed)
    if value in allowed:
        return value
    raise RecipeError(
        f"{where} is {value!r}, which is not known: {choices(str(value), [str(item) for item in allowed])}"
    )


def choices(name: str, known: list[str]) -> str:
    """Say which names are near `name`, or all of them."""
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
    return f"did you mean {' or '.join(near)}?" if near else f"expected one of {', '.join(known)}"


def _wanted(hint: Any) -> str:
    names = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}
    if get_origin(hint) is tuple:
        return f"a list of which every item is {_wanted(get_args(hint)[0])}"
    return "a section of keys" if get_origin(hint) is dict else names[hint]


def _told(value: Any) -> str:
    return "nothing" if value is None else f"{value!r} ({type(value).__name__})"


def need(holds: object, sentence: str, got: Any) -> None:
    """Raise RecipeError with the sentence, and what was got instead, unless the condition holds."""
    if not holds:
        raise RecipeError(f"{sentence}; got {got}")
