"""Settings of a training: a dictionary of a recipe becomes a dataclass, or a sentence that names the wrong key."""

from __future__ import annotations

from dataclasses import fields
from difflib import get_close_matches
from typing import Any, TypeVar

Settings = TypeVar("Settings")


def read_settings(kind: type[Settings], given: dict[str, Any], section: str) -> Settings:
    """Build the dataclass `kind` from a recipe's section; raises ValueError for a key it does not have or a value of another type."""
    known = {field.name: field for field in fields(kind)}  # type: ignore[arg-type]
    for key, value in given.items():
        if key not in known:
            near = get_close_matches(key, known, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise ValueError(f"{section}.{key} is no setting{hint} Known are {', '.join(sorted(known))}")
        expected = type(known[key].default)
        if not isinstance(value, expected) and not (expected is float and isinstance(value, int)):
            raise ValueError(f"{section}.{key} must be a {expected.__name__}; got {value!r}")
    return kind(**given)
