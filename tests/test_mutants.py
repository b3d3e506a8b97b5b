"""The page about tests names functions that exist, and the settings of mutmut name files that exist."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def test_each_explained_survivor_is_in_a_function_that_exists() -> None:
    for name in re.findall(r"^\s*- `([\w.]+)`: .* → ", (ROOT / "docs/testing.md").read_text(), re.MULTILINE):
        module = next(path for path in list_modules(name) if path.exists())
        assert re.search(rf"def {name.rpartition('.')[2]}\(", module.read_text()), name


def list_modules(name: str) -> list[Path]:
    """List the files that may define a function or a method of this full name."""
    parts = name.split(".")
    return [ROOT.joinpath(*parts[:end]).with_suffix(".py") for end in (-1, -2)]


def test_mutmut_finds_all_files_and_tests_of_its_settings() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mutmut"]
    for pattern in settings["only_mutate"] + settings["source_paths"] + settings["also_copy"]:
        assert list(ROOT.glob(pattern)), pattern
    for path in settings["pytest_add_cli_args_test_selection"]:
        assert not path.startswith("tests/") or (ROOT / path).exists(), path
