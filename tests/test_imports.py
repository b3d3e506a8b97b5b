"""Who imports whom: never upwards, never in a circle (docs/architecture.md). Imports inside of functions count too."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TIERS = (
    ("schemas",),
    ("factory.metrics", "factory.models", "factory.storage", "factory.runtime", "factory.arguments"),
    ("factory.recipe",),
    ("factory.corpora", "factory.actors", "trainers"),
    ("factory.passes", "factory.planning", "factory.audit", "factory.judges"),
    ("factory.report", "factory.listen", "factory.export", "factory.rewards"),
    ("cluster", "factory.rounds", "factory.run_round", "factory.cli"),
)
"""From the lowest tier to the highest: a module imports modules of its own tier and of lower ones."""
PACKAGES = ("factory", "trainers", "schemas", "cluster")
ONLY = {"trainers": ("schemas", "trainers", "factory.models", "factory.storage", "factory.runtime", "factory.recipe")}
"""What a package may import of ours, besides single modules in ALSO."""
ALSO = {"trainers": ("factory.arguments", "factory.corpora.audio", "factory.corpora.base")}


def modules() -> dict[str, Path]:
    """Return every module of ours by its dotted name."""
    files = [file for package in PACKAGES for file in (ROOT / package).rglob("*.py")]
    return {".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file for file in files}


def imports_of(source: str, known: dict[str, Path]) -> Iterator[str]:
    """Yield the modules of ours that a source imports, anywhere in it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, "imports are absolute"
            names = (f"{node.module}.{alias.name}" for alias in node.names)
            yield from (name if name in known else node.module for name in names if node.module in known)


def tier_of(module: str) -> int:
    """Return the tier of a module; -1 for the packages themselves, which hold a docstring only."""
    return next(
        (
            tier
            for tier, names in enumerate(TIERS)
            if any(module == name or module.startswith(f"{name}.") for name in names)
        ),
        -1,
    )


def graph() -> dict[str, set[str]]:
    """Return the imports of every module of ours."""
    known = modules()
    return {name: set(imports_of(file.read_text("utf-8"), known)) for name, file in known.items()}


def test_every_module_has_a_tier() -> None:
    assert [name for name in modules() if tier_of(name) < 0] == ["factory"]


def test_no_import_goes_upwards() -> None:
    found = [(name, other) for name, others in graph().items() for other in others if tier_of(other) > tier_of(name)]
    assert found == []


def test_there_is_no_circle() -> None:
    try:
        TopologicalSorter(graph()).prepare()
    except CycleError as error:
        raise AssertionError(" <- ".join(error.args[1])) from None


def test_trainers_know_no_passes_and_no_actors() -> None:
    for package, allowed in ONLY.items():
        for name, others in graph().items():
            if name == package or name.startswith(f"{package}."):
                foreign = [
                    other
                    for other in others
                    if not any(other == start or other.startswith(f"{start}.") for start in allowed)
                    and other not in ALSO[package]
                ]
                assert foreign == [], name


def test_no_module_is_named_like_a_library() -> None:
    folders = {file.stem for file in (ROOT / "factory").glob("*")}
    assert not folders & set(sys.stdlib_module_names)


def test_the_check_sees_what_it_should() -> None:
    source = "import factory.recipe\ndef f():\n    from factory.storage import files\n"
    source += "    from factory.recipe.typed import build"
    known = {
        name: Path() for name in ("factory.recipe", "factory.storage", "factory.storage.files", "factory.recipe.typed")
    }
    assert set(imports_of(source, known)) == {"factory.recipe", "factory.storage.files", "factory.recipe.typed"}
    assert tier_of("factory.storage.files") < tier_of("factory.recipe.typed") < tier_of("factory.cli")
