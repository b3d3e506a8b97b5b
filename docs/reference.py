"""Write docs/recipe.md: every key of a recipe with its type, its default and its meaning, read from the code.

    python docs/reference.py            # write docs/recipe.md again
    python docs/reference.py --check    # exit code 1 if it is out of date

Types and defaults come from the config classes. The meaning of a key is the comment above its field.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import io
import sys
import textwrap
import tokenize
import types
from collections.abc import Iterator
from dataclasses import MISSING, Field, fields, is_dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs/recipe.md"
sys.path.insert(0, str(ROOT))

from factory.recipe.recipe import Recipe  # noqa: E402
from factory.recipe.sections import AlignerConfig  # noqa: E402
from factory.recipe.training import InterleaveConfig, PreferenceConfig, SftConfig  # noqa: E402

SECTIONS: dict[str, type] = {
    "aligner": AlignerConfig,
    "sft": SftConfig,
    "sft.interleave": InterleaveConfig,
    "preference": PreferenceConfig,
}
"""Sections whose annotation in the recipe is not their class alone: a plain mapping, or null."""
HEAD = """# Recipe reference

<!-- docs/reference.py writes this page. To change a meaning, change the comment in the code and run `make docs`. -->

A recipe is one YAML file: one experiment. A key that is left out has its default. `extends: OTHER.yaml` first takes all
keys of another recipe in the same folder. On the command line `--set section.key=value` changes one
key; repeat it for more:

```bash
python factory/run_round.py --round 1 --dry-run --set select.delta=0.2 --set scorer.metrics=[bleu,chrf]
```

An unknown key, a wrong type or a value out of range stops the run with one sentence that names the key. The keys that
change the rows of a stage are part of its fingerprint. `resources` and `expected` are not: change them at any time.
"""
TYPES = {str: "text", int: "whole number", float: "number", bool: "true or false"}


def render() -> str:
    """Return the page."""
    hints, meanings = get_type_hints(Recipe), comments(Recipe)
    loose, sections = [], []
    for field in fields(Recipe):
        section = SECTIONS.get(field.name, hints[field.name])
        if is_dataclass(section):
            sections += _sections(field.name, section, field)
        else:
            loose.append(_row(field.name, hints[field.name], default(field), meanings.get(field.name, "")))
    return "\n".join([HEAD, "## Keys outside sections\n", *_table(loose), *sections])


def list_meanings() -> Iterator[tuple[str, str]]:
    """Yield every key of the page with its meaning."""
    for line in render().splitlines():
        if line.startswith("| `"):
            cells = [cell.strip() for cell in line.replace(r"\|", "¦").strip("|").split("|")]
            yield cells[0].strip("`"), cells[3]


def _sections(name: str, cls: Any, field: Field[Any] | None) -> list[str]:
    """Return the lines of a section, and of the sections in it; pools share one table."""
    hints, meanings, rows, inner = get_type_hints(cls), comments(cls), [], []
    values = {} if field is None else vars(made) if is_dataclass(made := default(field)) else {}
    pools: list[tuple[str, Any]] = []
    for key in fields(cls):
        value = values.get(key.name, default(key))
        section = SECTIONS.get(f"{name}.{key.name}", hints[key.name])
        if is_dataclass(section) and section.__name__ == "PoolConfig":
            pools.append((key.name, value))
        elif is_dataclass(section):
            inner += _sections(f"{name}.{key.name}", section, key)
        else:
            rows.append(_row(f"{name}.{key.name}", hints[key.name], value, meanings.get(key.name, "")))
            if is_dataclass(each := next(iter(get_args(section)), None)):
                inner += _sections(f"{name}.{key.name}.EACH", each, None)
    return ["", f"## {name}\n", _about(cls) + "\n", *_table(rows), *_pools(name, pools), *inner]


def _pools(name: str, pools: list[tuple[str, Any]]) -> list[str]:
    """Return one table for all pools of `resources`, and the defaults in which they differ."""
    if not pools:
        return []
    cls = type(pools[0][1])
    hints, meanings, plain = get_type_hints(cls), comments(cls), cls()
    rows = [
        _row(f"{name}.POOL.{key.name}", hints[key.name], getattr(plain, key.name), meanings.get(key.name, ""))
        for key in fields(cls)
    ]
    changed = {
        f"{pool}.{key}": value
        for pool, own in pools
        for key, value in vars(own).items()
        if value != getattr(plain, key)
    }
    exceptions = ", ".join(f"`{name}.{key}` {_shown(value)}" for key, value in changed.items())
    names = ", ".join(f"`{pool}`" for pool, _ in pools)
    about = f"\n### Pools\n\nPOOL is one of {names}. {_about(cls)} Other defaults: {exceptions}.\n"
    return [about, *_table(rows)]


def _about(cls: type) -> str:
    """Return the docstring of a config class as one paragraph."""
    return " ".join((inspect.getdoc(cls) or "").split()).replace("``", "`")


def _table(rows: list[str]) -> list[str]:
    return ["| key | type | default | meaning |", "|---|---|---|---|", *rows] if rows else []


def _row(key: str, hint: Any, value: object, meaning: str) -> str:
    cells = (f"`{key}`", _named(hint), _shown(value), meaning)
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _named(hint: Any) -> str:
    """Return a type in words."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return " or ".join("null" if part is types.NoneType else _named(part) for part in inner)
    if origin is Literal:
        return ", ".join(f"`{word}`" for word in inner)
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return ", ".join(f"`{word}`" for word in hint)
    if origin is tuple:
        return "list of sections" if is_dataclass(inner[0]) else f"list of {_named(inner[0])}"
    if origin is dict:
        return f"mapping of {_named(inner[0])} to {_named(inner[1])}"
    return TYPES.get(hint, str(hint))


def _shown(value: object) -> str:
    """Return a default as YAML writes it; nothing for a key that has none."""
    if value is MISSING:
        return ""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple | list):
        return f"`[{', '.join(map(str, value))}]`"
    if isinstance(value, dict):
        return f"`{{{', '.join(f'{key}: {item}' for key, item in value.items())}}}`"
    return f"`{value}`"


def default(field: Field[Any]) -> object:
    """Return the default of a field."""
    return field.default_factory() if field.default_factory is not MISSING else field.default


def comments(cls: type) -> dict[str, str]:
    """Return the comment above each field of a config class, as one line."""
    source = textwrap.dedent(inspect.getsource(cls))
    body = ast.parse(source).body[0]
    assert isinstance(body, ast.ClassDef)
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    notes = {token.start[0]: token.string.lstrip("# ") for token in tokens if token.type == tokenize.COMMENT}
    found, end = {}, 0
    for node in body.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found[node.target.id] = " ".join(notes[line] for line in range(end + 1, node.lineno) if line in notes)
        end = node.end_lineno or end
    return found


def main(argv: list[str] | None = None) -> int:
    """Write the page, or check it; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="only compare, and say if the page is out of date")
    if not parser.parse_args(argv).check:
        PAGE.write_text(render(), "utf-8")
        return 0
    same = PAGE.is_file() and PAGE.read_text("utf-8") == render()
    print("docs/recipe.md is up to date" if same else "docs/recipe.md is out of date: run python docs/reference.py")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
