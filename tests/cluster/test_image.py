"""The image holds the packages of the lock, the CUDA that torch was built for, one compiler, and only public files."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from docker.utils import exclude_paths
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from tests.limits import HANG_S

ROOT = Path(__file__).resolve().parent.parent.parent
DOCKERFILE = ROOT / "cluster/Dockerfile"
BUILD_TOOLS = {
    "autoconf",
    "build-essential",
    "clang",
    "cmake",
    "cuda-nvcc-13-0",
    "g++",
    "git",
    "make",
    "ninja-build",
    "pkg-config",
}
PRIVATE = (
    ".env",
    "kubeconfig",
    "runs/phrasebook/round-1/summary.json",
    ".venv/pyvenv.cfg",
    ".git/config",
    "factory/__pycache__/a.pyc",
)


def instructions(text: str) -> list[tuple[str, str]]:
    """Return every instruction with its arguments, without comments and line breaks."""
    joined = re.sub(r"\\\n", " ", re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE))
    return [
        (word, " ".join(rest.split()))
        for word, _, rest in (line.partition(" ") for line in joined.splitlines() if line.strip())
    ]


def stages() -> list[list[tuple[str, str]]]:
    """Return the instructions of each stage of the Dockerfile; the last one is the image."""
    result: list[list[tuple[str, str]]] = []
    for word, rest in instructions(DOCKERFILE.read_text()):
        result += [[]] if word == "FROM" else []
        result[-1].append((word, rest))
    return result


def locked() -> dict[str, str]:
    """Return the version of every package in the lock of the image."""
    pins = re.findall(r"^([\w.-]+)==(\S+)", (ROOT / "requirements/gpu.txt").read_text(), re.MULTILINE)
    return {canonicalize_name(name): version for name, version in pins}


def test_hadolint_reports_nothing() -> None:
    hadolint = shutil.which("hadolint", path=str(Path(sys.executable).parent))
    assert hadolint, "hadolint comes with requirements/manifests.txt (make test)"
    command = [hadolint, "--no-color", "--failure-threshold", "style", str(DOCKERFILE)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_hadolint_reports_mistakes(tmp_path: Path) -> None:
    bad = tmp_path / "Dockerfile"
    bad.write_text(
        DOCKERFILE.read_text().replace("USER 10001:10001", "USER root").replace(":3.11.14-slim-bookworm", "")
    )
    command = [str(Path(sys.executable).with_name("hadolint")), "--no-color", str(bad)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1 and "DL3002" in done.stdout and "DL3006" in done.stdout


def test_the_base_has_the_cuda_that_torch_was_built_for() -> None:
    pins = locked()
    [(_, base), *_] = stages()[-1]
    version = re.fullmatch(r"nvidia/cuda:(\d+\.\d+)\.\d+-base-ubuntu24\.04", base)
    assert version, f"{base} should be NVIDIA's base image: the lock brings the libraries, -devel brings compilers"
    for package in ("nvidia-cuda-runtime", "nvidia-cuda-nvrtc", "cuda-toolkit"):
        assert pins[package].startswith(f"{version[1]}."), (
            f"{package} {pins[package]} in the lock, CUDA {version[1]} in the base image"
        )


def test_python_is_that_of_the_lock() -> None:
    [(_, base), *_] = stages()[0]
    version = re.match(r"python:(\d+\.\d+\.\d+)-slim-bookworm", base)
    assert version and version[1].startswith("3.11.")
    assert version[1] in SpecifierSet(
        tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    )


def test_only_the_lock_is_installed() -> None:
    words = [(word, rest) for stage in stages() for word, rest in stage]
    installs = [rest for word, rest in words if word == "RUN" and re.search(r"\bpip\b|install\.py|\buv\b|conda", rest)]
    [only] = installs
    assert " python requirements/install.py /usr/local requirements/gpu.txt && " in only
    assert [rest for word, rest in stages()[-1] if word == "COPY"] == ["--from=packages /usr/local /usr/local", ". ."]


def test_the_lock_satisfies_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pins = locked()
    for line in (*project["dependencies"], *project["optional-dependencies"]["gpu"]):
        required = Requirement(line)
        pinned = pins[canonicalize_name(required.name)]
        assert pinned in required.specifier, f"{line} in pyproject.toml, {pinned} in requirements/gpu.txt"


def test_every_process_finds_the_code() -> None:
    image = stages()[-1]
    [home] = [rest for word, rest in image if word == "WORKDIR"]
    [environment] = [rest.split() for word, rest in image if word == "ENV"]
    assert {f"PYTHONPATH={home}", f"ROUNDTRIP_HOME={home}"} <= set(environment)


def test_the_user_is_not_root_and_one_compiler_is_left() -> None:
    image = stages()[-1]
    users = [rest for word, rest in image if word == "USER"]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", users[-1]), "a number, or Kubernetes cannot tell that it is not root"
    packages = set(
        re.findall(r"[\w.+-]+", " ".join(rest for word, rest in image if word == "RUN" and "apt-get" in rest))
    )
    assert not packages & BUILD_TOOLS
    assert {"gcc", "libc6-dev", "bash", "wget"} <= packages, (
        "Triton's launchers need the first two, KubeRay's probes the others"
    )
    [environment] = [rest for word, rest in image if word == "ENV"]
    assert "VLLM_USE_FLASHINFER_SAMPLER=0" in environment, "it would be compiled with an nvcc that is not there"


def test_the_health_check_needs_a_running_ray(local_ray: None) -> None:
    [check] = [rest for word, rest in stages()[-1] if word == "HEALTHCHECK"]
    command = re.findall(r'"([^"]+)"', check.partition("CMD ")[2])
    check_here = [str(Path(sys.executable).with_name(command[0])), *command[1:]]
    import ray

    # short limits where nothing answers
    soon = {"RAY_gcs_rpc_server_connect_timeout_s": "1", "RAY_gcs_rpc_server_reconnect_timeout_s": "1"}
    codes = []
    for changes in ({"RAY_ADDRESS": ray.get_runtime_context().gcs_address}, {"RAY_ADDRESS": "127.0.0.1:9", **soon}):
        codes.append(
            subprocess.run(check_here, env=os.environ | changes, capture_output=True, timeout=HANG_S).returncode == 0
        )
    assert codes == [True, False]


@pytest.fixture(scope="module")
def context() -> set[str]:
    """The files that a build receives."""
    patterns = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    return {path for path in exclude_paths(str(ROOT), patterns) if (ROOT / path).is_file()}


def test_a_build_receives_the_code_and_little_else(context: set[str]) -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    for folder in ("factory/", "trainers/", "schemas/", "recipes/", "assets/phrasebook/", "requirements/"):
        assert {path for path in tracked if path.startswith(folder)} <= context
    assert {path.split("/")[0] for path in context} & {"runs", "tests", "docs", "benchmarks", ".git", ".venv"} == set()
    assert sum((ROOT / path).stat().st_size for path in context) < 60e6


def test_private_files_stay_out(tmp_path: Path) -> None:
    for name in (*PRIVATE, "factory/run_round.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("private")
    patterns = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    sent = {path for path in exclude_paths(str(tmp_path), patterns) if (tmp_path / path).is_file()}
    assert sent - {".dockerignore", "Dockerfile"} == {"factory/run_round.py"}
