"""Python blocks of README and docs compile, and every name that they import from us exists."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.docs.blocks import ROOT, Block, all_blocks, blocks_of, is_executed
from tests.limits import HANG_S

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


def test_units_are_joined_with_their_audio(tmp_path: Path) -> None:
    block = next(block for block in blocks_of(ROOT / "docs/how-to/add-a-language.md") if block.title == "join_audio.py")
    (tmp_path / block.title).write_text(block.text, "utf-8")
    head = {"durations": [2, 1], "units": [4, 7]}
    units = [
        {"utt_id": "b", "lang": "es", "status": "ok", **head},
        {"utt_id": "a", "lang": "es", "status": "failed", **head},
        {"utt_id": "c", "lang": "en", "status": "ok", **head},
    ]
    audio = [{"utt_id": name, "audio": {"bytes": name.encode(), "path": None}} for name in "abc"]
    pq.write_table(pa.Table.from_pylist(units), tmp_path / "units.parquet")
    pq.write_table(pa.Table.from_pylist(audio), tmp_path / "corpus.parquet")
    command = [sys.executable, block.title, "units.parquet", "corpus.parquet", "out.parquet", "es"]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=HANG_S)
    (row,) = pq.read_table(tmp_path / "out.parquet").to_pylist()
    assert row == {"utt_id": "b", "lang": "es", **head, "audio": {"bytes": b"b", "path": None}}
