"""What a repository says about itself agrees: version, citation, changelog, commit hooks."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from factory.recipe.typed import RENAMED
from tests.docs.blocks import ROOT
from tests.limits import HANG_S

VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
HOOKS = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]


def test_the_citation_has_the_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= set(citation)  # what the format requires
    assert citation["version"] == VERSION


def test_the_changelog_begins_with_the_version() -> None:
    assert re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)[1] == VERSION


def test_the_changelog_has_every_renamed_key() -> None:
    log = (ROOT / "CHANGELOG.md").read_text()
    assert [old for old, new in RENAMED.items() if f"| `{old}` | `{new}` |" not in log] == []


def test_the_hooks_are_valid() -> None:
    tool = shutil.which("pre-commit", path=str(Path(sys.executable).parent))
    assert tool, "pre-commit comes with requirements/docs.txt (make docs)"
    command = [tool, "validate-config", str(ROOT / ".pre-commit-config.yaml")]
    assert subprocess.run(command, capture_output=True, timeout=HANG_S).returncode == 0
    assert {hook["id"] for hook in HOOKS} >= {"ruff", "ruff-format", "mypy"}


@pytest.mark.parametrize(("subject", "accepted"), [("x" * 72, True), ("x" * 73, False)])
def test_a_long_subject_is_refused(subject: str, accepted: bool) -> None:
    pattern = next(hook["entry"] for hook in HOOKS if hook["id"] == "subject")
    found = re.search(pattern, f"{subject}\n\n{'body ' * 30}\n", re.MULTILINE | re.DOTALL)
    assert (found is None) == accepted


def test_the_dockerfile_and_the_manifests_name_no_old_version() -> None:
    for path in [ROOT / "cluster/Dockerfile", *(ROOT / "cluster/kuberay").rglob("*.yaml")]:
        assert set(re.findall(r"roundtrip:(\d+\.\d+\.\d+)", path.read_text())) <= {VERSION}
