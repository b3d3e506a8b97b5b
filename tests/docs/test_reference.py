"""The recipe reference agrees with the code, has every key, and reads the comments above fields."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, fields, is_dataclass
from types import ModuleType
from typing import get_type_hints

import pytest

from factory.recipe.recipe import Recipe
from tests.docs.blocks import ROOT


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    """Return the script as a module."""
    spec = importlib.util.spec_from_file_location("reference", ROOT / "docs/reference.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_up_to_date(reference: ModuleType) -> None:
    assert (ROOT / "docs/recipe.md").read_text("utf-8") == reference.render(), "run: make docs"


def test_every_key_has_a_meaning(reference: ModuleType) -> None:
    assert [key for key, meaning in reference.list_meanings() if not meaning] == []


def test_every_key_is_on_the_page(reference: ModuleType) -> None:
    keys = {key for key, _ in reference.list_meanings()}

    def check(cls: type, prefix: str) -> int:
        hints, count = get_type_hints(cls), 0
        for field in fields(cls):
            hint = reference.SECTIONS.get(f"{prefix}{field.name}", hints[field.name])
            if is_dataclass(hint):
                inner = "resources.POOL" if hint.__name__ == "PoolConfig" else f"{prefix}{field.name}"
                count += check(hint, f"{inner}.")
            else:
                assert f"{prefix}{field.name}" in keys
                count += 1
        return count

    assert check(Recipe, "") > 100


def test_defaults_are_written_as_yaml(reference: ModuleType) -> None:
    page = reference.render()
    assert "| `translator.n` | whole number | `2` |" in page
    assert "| `corpus.limit` | whole number or null | null |" in page
    assert "| `select.delta` | number or `auto` | `0.1` |" in page
    assert "| `scorer.metrics` | list of text | `[bleu, chrf, meteor, wer, mcd]` |" in page
    assert "`resources.translator.batch_size` `256`" in page


@dataclass
class _Above:
    # first
    one: int = 1
    # second,
    # on two lines
    two: tuple[str, ...] = (  # not this one
        "# nor this one",
    )
    three: int = 3

    # a comment of the method
    def method(self) -> None:
        """Do nothing."""


def test_comments_above_a_field_are_its_meaning(reference: ModuleType) -> None:
    assert reference.comments(_Above) == {"one": "first", "two": "second, on two lines", "three": ""}


def test_an_outdated_page_is_told(
    reference: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    page = tmp_path_factory.mktemp("docs") / "recipe.md"
    monkeypatch.setattr(reference, "PAGE", page)
    assert reference.main(["--check"]) == 1
    assert reference.main([]) == 0
    assert reference.main(["--check"]) == 0
    page.write_text(page.read_text("utf-8").replace("`0.1`", "`0.2`"))
    assert reference.main(["--check"]) == 1
