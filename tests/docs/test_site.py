"""The documentation builds without a warning, has every page in its menu, and loads nothing from the web."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.blocks import ROOT, blocks_of
from tests.limits import HANG_S


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the site; a missing page, anchor or link target is an error."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=HANG_S)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_every_page_is_built(site: Path) -> None:
    pages = {path.relative_to(ROOT / "docs").with_suffix(".html") for path in (ROOT / "docs").rglob("*.md")}
    assert pages == {path.relative_to(site) for path in site.rglob("*.html")} - {Path("404.html")}


def test_nothing_is_loaded_from_the_web(site: Path) -> None:
    for page in site.rglob("*.html"):
        loaded = re.findall(r'<(?:script|img|iframe)[^>]+src="([^"]+)"', page.read_text("utf-8"))
        loaded += re.findall(
            r'<link[^>]+rel="(?:stylesheet|preconnect|preload)"[^>]+href="([^"]+)"', page.read_text("utf-8")
        )
        assert loaded and not [address for address in loaded if re.match(r"(https?:)?//", address)], page


def test_only_pages_and_their_assets_are_published(site: Path) -> None:
    assert not [path for path in site.rglob("*") if path.suffix in (".py", ".parquet", ".pyc")]


def test_a_link_to_the_code_becomes_text(site: Path) -> None:
    page = (site / "scaling.html").read_text("utf-8")
    assert "<code>factory/planning/estimate.py</code>" in page
    assert 'href="../' not in page


def test_the_plan_in_the_quickstart_is_the_real_one(tmp_path: Path) -> None:
    (tmp_path / "assets").symlink_to(ROOT / "assets")
    blocks = blocks_of(ROOT / "docs/quickstart.md")
    at = next(number for number, block in enumerate(blocks) if "--dry-run" in block.text)
    command = [sys.executable, *blocks[at].text.replace("factory/", f"{ROOT}/factory/").split()[1:]]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=HANG_S)
    assert done.stdout == blocks[at + 1].text, done.stderr
