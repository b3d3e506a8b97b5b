"""The how-to pages work: their files and changes are applied to a copy of the sources, and their commands run there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.blocks import ROOT, SHELL, Block, blocks_of, is_executed
from tests.docs.shell import lines_of
from tests.limits import HANG_S

PAGES = sorted(page for page in (ROOT / "docs/how-to").glob("*.md") if is_executed(page))
COPIED = (
    "factory",
    "trainers",
    "cluster",
    "schemas",
    "recipes",
    "pyproject.toml",
    "tests/conftest.py",
    "tests/limits.py",
)


def copy_sources(folder: Path) -> None:
    """Copy the sources; the assets are a link, because nothing changes them."""
    for name in COPIED:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, target)
    (folder / "assets").symlink_to(ROOT / "assets")


def apply(block: Block, folder: Path) -> None:
    """Write a titled block as a new file, or make the change of a titled diff, whose `-` text occurs exactly once."""
    path = folder / block.title
    if block.lang != "diff":
        assert not path.exists(), f"{block}: {block.title} exists already"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.text, "utf-8")
        return
    lines = block.text.splitlines()
    old = "\n".join(line[1:] for line in lines if line.startswith("-"))
    new = "\n".join(line[1:] for line in lines if line.startswith("+"))
    content = path.read_text("utf-8")
    assert content.count(old) == 1, f"{block}: {block.title} has this text {content.count(old)} times:\n{old}"
    path.write_text(content.replace(old, new), "utf-8")


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run one command line of a page in the copy; `python` is the Python of this test."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = os.environ | {"PYTHONPATH": str(folder), "PATH": path}
    return subprocess.run(
        command, shell=True, cwd=folder, env=environment, capture_output=True, text=True, timeout=HANG_S
    )


@pytest.mark.service  # the test of the actor's page starts Ray
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_page_works(page: Path, tmp_path: Path) -> None:
    copy_sources(tmp_path)
    blocks = blocks_of(page)
    for block in blocks:
        if block.title:
            apply(block, tmp_path)
    commands = [line for block in blocks if block.lang in SHELL for line in lines_of(block.text)]
    for command in commands:
        done = run(command, tmp_path)
        assert done.returncode == 0, f"{page.name}: {command}\n{done.stdout}{done.stderr}"


def test_there_are_pages_with_code() -> None:
    assert {page.stem for page in PAGES} >= {"add-a-metric", "add-an-actor", "add-an-encoder"}
