"""Install lock files into a virtual environment; a lock that is installed already is skipped.

    python3.11 requirements/install.py .venv requirements/cpu.txt [requirements/assets.txt]

Locks are complete, so nothing is resolved (`--no-deps`). uv installs if it is available, with pip's configuration; if
uv fails, pip installs. The output of both goes to VENV/install.log. This needs Python 3.11 and a package index.
"""

from __future__ import annotations

import ast
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
UV = "uv==0.13.9"
PIPS_OWN_INDEX = "from pip._internal.models.index import PyPI; print(PyPI.simple_url)"
PIP_TO_UV = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "no-index": "UV_NO_INDEX",
    "constraint": "UV_CONSTRAINT",
    "trusted-host": "UV_INSECURE_HOST",
    "cert": "SSL_CERT_FILE",
    "proxy": "ALL_PROXY",
}
"""Options of pip's configuration, which uv does not read, and the variables of uv with the same meaning."""


class Environment:
    """A virtual environment and the log of its installations."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.python, self.log = folder, folder / "bin" / "python", folder / "install.log"
        if not self.python.exists():
            venv.create(folder, with_pip=True)
        self.pip = [str(self.python), "-m", "pip", "--disable-pip-version-check", "--no-input"]

    def install(self, *arguments: str) -> None:
        """Install with uv, or else with pip; if both fail, end the program with the last lines of the log."""
        if self._with_uv(*arguments) or self._runs([*self.pip, "install", "--no-compile", *arguments]):
            return
        lines = [line for line in self.log.read_text(errors="replace").splitlines() if not line.startswith("WARNING")]
        sys.exit("\n".join([*lines[-15:], f"pip failed; its whole output is in {self.log}"]))

    def _with_uv(self, *arguments: str) -> bool:
        """Install with the uv on PATH, or with one that is installed into the environment; return True on success."""
        own = self.folder / "bin" / "uv"
        if not (uv := shutil.which("uv")) and not own.exists():
            self._runs([*self.pip, "install", "--no-deps", UV])
        if not (uv or own.exists()):
            return False
        # The cache is on the disk of the environment, so that uv links files. All indexes are searched, as pip does.
        cache = self.folder / "uv-cache"
        settings = {"UV_CACHE_DIR": str(cache), "UV_INDEX_STRATEGY": "unsafe-best-match"}
        settings |= uv_settings(self._output("-m", "pip", "config", "list"), self._output("-c", PIPS_OWN_INDEX).strip())
        succeeded = self._runs([uv or str(own), "pip", "install", "--python", str(self.python), *arguments], settings)
        shutil.rmtree(cache, ignore_errors=True)
        return succeeded

    def _output(self, *arguments: str) -> str:
        return subprocess.run([str(self.python), *arguments], capture_output=True, text=True).stdout

    def _runs(self, command: list[str], settings: dict[str, str] | None = None) -> bool:
        """Run a command with its output in the log; return True on success."""
        with self.log.open("a") as log:
            environment = {**os.environ, **(settings or {})}
            return not subprocess.run(
                command, cwd=ROOT, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL
            ).returncode

    def compile(self) -> None:
        """Compile all packages to bytecode; errors are ignored, because some packages ship files for other Pythons.

        If PYTHONDONTWRITEBYTECODE is set, as in many containers, every process of Ray would compile its imports again:
        seconds each.
        """
        folders = self.folder.glob("lib/python*/site-packages")
        subprocess.run(
            [str(self.python), "-m", "compileall", "-qq", "-j", "0", *map(str, folders)], capture_output=True
        )

    def loads(self, module: str) -> bool:
        """Return whether a module can be imported."""
        return subprocess.run([str(self.python), "-c", f"import {module}"], capture_output=True).returncode == 0


def uv_settings(configured: str, default: str) -> dict[str, str]:
    """Return pip's configuration as variables of uv.

    Args:
        configured: the output of `pip config list`. pip's own variables (`:env:`) come first, then section `install`.
        default: the index that pip uses if none is configured.

    uv takes all files of a version from the first index that has it, and an extra index may lack the files of a
    platform. So the main index comes first.
    """
    options = dict(line.split("=", 1) for line in configured.splitlines() if "=" in line)
    variables = {}
    for option, variable in PIP_TO_UV.items():
        keys = [f"{section}.{option}" for section in (":env:", "install", "global")]
        if values := [options[key] for key in keys if key in options]:
            separator = "," if option == "find-links" else " "
            variables[variable] = separator.join(str(ast.literal_eval(values[0])).split())
    if "UV_INDEX" in variables:
        variables["UV_INDEX"] = f"{variables.get('UV_DEFAULT_INDEX', default)} {variables['UV_INDEX']}"
    return variables


def install(environment: Environment, lock: Path) -> None:
    """Install a lock file, unless the same content is installed already."""
    stamp = environment.folder / f"{lock.stem}.installed"
    files = (lock, ROOT / "pyproject.toml", Path(__file__))
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
    if stamp.exists() and stamp.read_text() == digest:
        return
    start = time.monotonic()
    print(
        f"Installing {lock.relative_to(ROOT)} into {environment.folder} (one to three minutes the first time) ...",
        flush=True,
    )
    environment.install("--no-deps", "--requirement", str(lock))
    _add_cuda_libraries(environment, lock)
    _disable_torchaudio_extension(environment)
    environment.install("--no-deps", "--no-build-isolation", "--editable", ".")
    environment.compile()
    stamp.write_text(digest)
    print(f"Installed in {time.monotonic() - start:.0f} s.", flush=True)


def _add_cuda_libraries(environment: Environment, lock: Path) -> None:
    """Install CUDA's libraries if the index has torch only as a CUDA build: it needs them even without a GPU."""
    if not environment.loads("torch"):
        print(
            "The index has torch as a CUDA build: adding its libraries (an index with torch's CPU build saves 3 GB).",
            flush=True,
        )
        pinned = re.search(r"^torch==\S+", lock.read_text(), re.MULTILINE)
        environment.install(pinned[0] if pinned else "torch")


def _disable_torchaudio_extension(environment: Environment) -> None:
    """Delete torchaudio's compiled extension if it cannot be loaded.

    The wheels on package indexes are CUDA builds. Next to a CPU torch `import torchaudio` fails, and with it `import
    transformers`, which looks for torchaudio, and so vllm, peft and trl. Without the file torchaudio behaves like a
    build without extensions: its Python parts (resample, mel, MFCC) work, `forced_align` does not.
    """
    if not environment.loads("torchaudio"):
        for library in environment.folder.glob("lib/python*/site-packages/torchaudio/lib/*torchaudio*.so"):
            library.unlink()


def main() -> None:
    """Install the locks into the environment, as the command line names them."""
    folder, *locks = sys.argv[1:]
    environment = Environment(Path(folder).absolute())
    for lock in locks:
        install(environment, Path(lock).resolve())


if __name__ == "__main__":
    main()
