"""The environment of a judge: a virtual environment with the packages that its script names (PEP 723)."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
import tomllib
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from factory.runtime.redact import redact
from schemas.errors import RoundtripError
from schemas.fingerprint import json_digest

HERE = Path(__file__).resolve().parent
SHIPPED = ("comet", "chrf")
PARQUET = "pyarrow==21.0.0"
"""What every judge needs besides its own packages: the last pyarrow that takes numpy 1, which COMET pins."""
LAST_LINES = 15
_BLOCK = re.compile(r"^# /// script$\s(?P<content>(?:^#(?:| .*)$\s)+)^# ///$", re.MULTILINE)
"""The metadata of a script, as PEP 723 defines them."""


class JudgeError(RoundtripError):
    """A judge that cannot be installed, fails, or gave no usable scores."""


def find_script(judge: str) -> Path:
    """Return the script of a judge: one of SHIPPED, or the path of a file. Raises JudgeError if there is none."""
    script = HERE / f"{judge}.py" if judge in SHIPPED else Path(judge).absolute()
    if not script.is_file():
        raise JudgeError(f"--judge {judge} is no file, and none of {', '.join(SHIPPED)}: see docs/how-to/judge.md")
    return script


def find_model(model: str) -> str:
    """Return the absolute path of a model that is here, because a judge runs in a folder of its own; else its name."""
    return str(Path(model).absolute()) if model and Path(model).exists() else model


def read_dependencies(script: Path) -> list[str]:
    """Return the packages that a script names in its block `# /// script`. Raises JudgeError if it names none."""
    expected = '# /// script, # dependencies = ["PACKAGE==VERSION"], # ///'
    block = _BLOCK.search(script.read_text("utf-8"))
    if block is None:
        raise JudgeError(f"{script} does not name its packages: begin it with the lines {expected}")
    text = "".join(line[2:] if line.startswith("# ") else line[1:] for line in block["content"].splitlines(True))
    try:
        return [str(name) for name in tomllib.loads(text)["dependencies"]]
    except (tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise JudgeError(f"the block # /// script of {script} cannot be read ({error}): expected {expected}") from error


def make_environment(script: Path) -> Path:
    """Return the Python of the environment of a script, which is made at the first call.

    It is in `$XDG_CACHE_HOME/roundtrip/judges` (`~/.cache`), one for each list of packages, and shares nothing with the
    environment of this program. An installation that was killed is begun again. pip's configuration applies.

    Raises:
        JudgeError: pip fails; the message has its last lines.
    """
    packages = [*read_dependencies(script), PARQUET]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "roundtrip/judges"
    folder = cache / f"{script.stem}-{json_digest([packages, sys.version_info[:2]])}"
    python, stamp = folder / "bin/python", folder / "installed"
    cache.mkdir(parents=True, exist_ok=True)
    with _locked(folder.with_suffix(".lock")):
        if not stamp.exists():
            print(f"installing {', '.join(packages)} into {folder}", file=sys.stderr, flush=True)
            shutil.rmtree(folder, ignore_errors=True)
            venv.create(folder, with_pip=True)
            _install(python, packages, folder / "install.log")
            stamp.touch()
    return python


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Let one process at a time pass; the lock of a killed process is free."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _install(python: Path, packages: list[str], log: Path) -> None:
    command = [
        str(python),
        "-m",
        "pip",
        "install",
        "--disable-pip-version-check",
        "--no-input",
        "--no-compile",
        *packages,
    ]
    with log.open("wb") as output:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
    if done.returncode:
        raise JudgeError(f"pip could not install {', '.join(packages)}; the end of {log}:\n{read_end(log)}")


def read_end(log: Path) -> str:
    """Return the last lines of a log, without secrets."""
    lines = log.read_text("utf-8", errors="replace").splitlines()
    return redact("\n".join(lines[-LAST_LINES:]))
