"""The wheel works without the repository: in an empty environment and folder it prints the plan of a round."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from tests.limits import HANG_S

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ("pyproject.toml", "README.md", "LICENSE", "factory", "trainers", "cluster", "schemas", "recipes")
PACKAGES = ("factory", "trainers", "cluster", "schemas")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from a copy of the sources, because setuptools would reuse old files of a `build/` folder."""
    copy, out = tmp_path_factory.mktemp("sources"), tmp_path_factory.mktemp("wheel")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, copy / name)
    run(sys.executable, "-m", "pip", "wheel", str(copy), "--no-deps", "--no-build-isolation", "-w", str(out))
    return next(out.glob("roundtrip_s2st-*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the `bin` folder of a new environment that has the wheel, and the dependencies of this environment."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=True)
    run(sys.executable, "-m", "pip", "--python", str(folder / "bin/python"), "install", "--no-deps", str(wheel))
    # A .pth file inside a folder that another .pth names is not read: this environment's editable install stays out.
    site = next(folder.glob("lib/python*/site-packages"))
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "bin"


def run(*command: str, cwd: Path | None = None, **variables: str) -> str:
    """Run a command without the repository on Python's path; return its output."""
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "ROUNDTRIP_HOME")}
    done = subprocess.run(command, cwd=cwd, env=kept | variables, capture_output=True, text=True, timeout=HANG_S)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_wheel_holds_every_file_of_the_packages(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for package in (*PACKAGES, "recipes"):
        files = [path for path in (ROOT / package).rglob("*") if path.is_file() and "__pycache__" not in path.parts]
        missing = {str(path.relative_to(ROOT)) for path in files} - names - {"cluster/Dockerfile"}
        assert files and not missing, f"{package} lacks {missing}"
    assert {f"{package}/py.typed" for package in PACKAGES} <= names


def test_wheel_holds_nothing_else(wheel: Path) -> None:
    tops = {name.partition("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {name for name in tops if not name.endswith(".dist-info")} == {*PACKAGES, "recipes"}


def test_code_comes_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    code = "import factory, cluster, recipes, schemas, trainers; print(factory.__file__, recipes.__file__)"
    for path in run(str(installed / "python"), "-c", code, cwd=tmp_path).split():
        assert Path(path).is_relative_to(installed.parent)


def test_dry_run_prints_the_plan_in_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    plan = run(str(installed / "roundtrip"), "run", "--round", "1", "--dry-run", cwd=tmp_path)
    assert "round 1 of runs/station; recipe station; directions fr-en, en-fr" in plan
    assert [
        stage for stage in ("tokenize mono", "produce", "select", "train", "evaluate round 1") if stage not in plan
    ] == []
    assert plan.count("set ROUNDTRIP_HOME to the checkout") == 1
    assert not list(tmp_path.iterdir())


def test_assets_are_found_in_a_checkout(installed: Path, tmp_path: Path) -> None:
    command = (str(installed / "roundtrip"), "run", "--round", "1", "--dry-run")
    plan = run(*command, cwd=tmp_path, ROUNDTRIP_HOME=str(ROOT))
    assert "missing" not in plan and "ROUNDTRIP_HOME" not in plan
    assert f"policy: {ROOT}/assets/station/policy" in plan


def test_own_recipe_in_the_current_folder_comes_first(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes/station.yaml").write_text("name: mine\n")
    plan = run(str(installed / "roundtrip"), "run", "--round", "1", "--dry-run", cwd=tmp_path)
    assert "round 1 of runs/mine; recipe mine" in plan
