"""The fenced code blocks of Markdown pages."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").rglob("*.md"))]
SHELL = ("bash", "sh", "shell", "console")
_FENCE = re.compile(
    r"^(?P<indent> *)```(?P<lang>[\w-]*)(?P<info>[^\n`]*)\n(?P<text>.*?)^(?P=indent)```[ ]*$", re.MULTILINE | re.DOTALL
)


@dataclass(frozen=True)
class Block:
    """One fenced block: its page, the line that it starts in, its language, its `title="…"` and its text."""

    page: Path
    line: int
    lang: str
    title: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks_of(page: Path) -> list[Block]:
    """Return the blocks of a page, in their order."""
    content, found = page.read_text("utf-8"), []
    for match in _FENCE.finditer(content):
        title = re.search(r'title="([^"]*)"', match["info"])
        line = content.count("\n", 0, match.start()) + 1
        found.append(Block(page, line, match["lang"], title[1] if title else "", match["text"]))
    return found


def is_executed(page: Path) -> bool:
    """Return whether a page brings a test: then test_how_to.py runs all of its commands."""
    return any(block.title.startswith("tests/") for block in blocks_of(page))


def all_blocks() -> list[Block]:
    """Return the blocks of all pages."""
    return [block for page in PAGES if page.is_file() for block in blocks_of(page)]
