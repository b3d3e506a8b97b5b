"""Python blocks of README and docs compile, and every name that they import from us exists."""

from __future__ import annotations

import ast
import importlib

import pytest

from tests.docs.blocks import Block, all_blocks, is_executed

PACKAGES = {"factory", "trainers", "cluster", "schemas"}
BLOCKS = [block for block in all_blocks() if block.lang == "python" and not (block.title and is_executed(block.page))]


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_imports_of_a_block_exist(block: Block) -> None:
    for node in ast.walk(ast.parse(block.text)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in PACKAGES:
            module = importlib.import_module(node.module or "")
            if not is_executed(block.page):  # such a page adds names of its own
                assert [alias.name for alias in node.names if not hasattr(module, alias.name)] == []


def test_there_are_python_blocks() -> None:
    assert {block.page.stem for block in BLOCKS} >= {"add-an-encoder", "add-a-language"}
