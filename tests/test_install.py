"""The installer: uv gets the configuration of pip, and pip installs if uv cannot."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.limits import HANG_S

ROOT = Path(__file__).resolve().parent.parent
_spec = importlib.util.spec_from_file_location("install", ROOT / "requirements/install.py")
assert _spec is not None and _spec.loader is not None
installer = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(installer)


def test_uv_gets_the_configuration_of_pip(tmp_path: Path) -> None:
    config = tmp_path / "pip.conf"
    config.write_text(
        "[global]\nindex-url = https://a.example/simple\nfind-links =\n  /one\n  /two\ntimeout = 7\n"
        "[install]\nextra-index-url = https://b.example/simple https://c.example/simple\nno-binary = x\n"
    )
    others = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    environment = others | {"PIP_CONFIG_FILE": str(config), "PIP_INDEX_URL": "https://d.example/simple"}
    command = [sys.executable, "-m", "pip", "config", "list"]
    configured = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=HANG_S).stdout
    expected = {
        "UV_DEFAULT_INDEX": "https://d.example/simple",
        "UV_INDEX": "https://d.example/simple https://b.example/simple https://c.example/simple",
        "UV_FIND_LINKS": "/one,/two",
    }
    assert expected.items() <= installer.uv_settings(configured, "https://pip.example").items()
    assert installer.uv_settings("", "https://pip.example") == {}
    extra = "global.extra-index-url='https://b.example'"
    assert installer.uv_settings(extra, "https://pip.example") == {"UV_INDEX": "https://pip.example https://b.example"}


def test_pip_installs_if_uv_cannot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uv = tmp_path / "bin/uv"
    uv.parent.mkdir()
    uv.write_text("#!/bin/sh\necho no such platform\nexit 2\n")
    uv.chmod(0o755)
    monkeypatch.setenv("PATH", f"{uv.parent}{os.pathsep}{os.environ['PATH']}")
    environment = installer.Environment(tmp_path / "venv")
    environment.install("--no-deps", str(write_wheel(tmp_path)))
    assert environment.loads("tinything")
    assert "no such platform" in environment.log.read_text()


def write_wheel(folder: Path) -> Path:
    """Write the wheel of a package with one empty module, and return its path."""
    path, info = folder / "tinything-1.0-py3-none-any.whl", "tinything-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as package:
        package.writestr("tinything.py", "")
        package.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tinything\nVersion: 1.0\n")
        package.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        package.writestr(f"{info}/RECORD", "")
    return path
