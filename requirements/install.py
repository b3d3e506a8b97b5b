"""Makes the virtual environment from a lock file; does nothing where that was done already.

    python3.11 requirements/install.py .venv requirements/cpu.txt [requirements/assets.txt]

Locks are complete, so nothing is resolved (`--no-deps`). uv installs where it can be had, from where pip's configuration says; what it
cannot install pip does. What both say goes to VENV/install.log. Needs Python 3.11 and a package index.
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
"""What pip is configured with, and the variable by which uv, which does not read that, is told the same."""


class Environment:
    """A virtual environment and the log of what was done to it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.python, self.log = folder, folder / "bin" / "python", folder / "install.log"
        if not self.python.exists():
            venv.create(folder, with_pip=True)
        self.pip = [str(self.python), "-m", "pip", "--disable-pip-version-check", "--no-input"]

    def install(self, *arguments: str) -> None:
        """Install with uv, or else with pip; ends the program with the tail of the log when both fail."""
        if self._with_uv(*arguments) or self._runs([*self.pip, "install", "--no-compile", *arguments]):
            return
        told = [line for line in self.log.read_text(errors="replace").splitlines() if not line.startswith("WARNING")]
        sys.exit("\n".join([*told[-15:], f"pip failed; all it said is in {self.log}"]))

    def _with_uv(self, *arguments: str) -> bool:
        """Install with the uv on PATH, or one that is put into the environment; whether that went well."""
        own = self.folder / "bin" / "uv"
        if not (uv := shutil.which("uv")) and not own.exists():
            self._runs([*self.pip, "install", "--no-deps", UV])
        if not (uv or own.exists()):
            return False
        cache = (
            self.folder / "uv-cache"
        )  # on the environment's own disk, so that files are linked and take no room twice
        settings = {"UV_CACHE_DIR": str(cache), "UV_INDEX_STRATEGY": "unsafe-best-match"}  # in all indexes, as pip does
        settings |= uv_settings(self._output("-m", "pip", "config", "list"), self._output("-c", PIPS_OWN_INDEX).strip())
        went = self._runs([uv or str(own), "pip", "install", "--python", str(self.python), *arguments], settings)
        shutil.rmtree(cache, ignore_errors=True)
        return went

    def _output(self, *arguments: str) -> str:
        return subprocess.run([str(self.python), *arguments], capture_output=True, text=True).stdout

    def _runs(self, command: list[str], settings: dict[str, str] | None = None) -> bool:
        """Run a command quietly; whether it ended well."""
        with self.log.open("a") as log:
            environment = {**os.environ, **(settings or {})}
            return not subprocess.run(
                command, cwd=ROOT, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL
            ).returncode

    def compile(self) -> None:
        """Keep the bytecode of all packages; files for other Pythons, which some packages ship, do not compile and nobody imports them.

        Where PYTHONDONTWRITEBYTECODE is set, as in many containers, every process of Ray would compile again what it imports: seconds each.
        """
        folders = self.folder.glob("lib/python*/site-packages")
        subprocess.run(
            [str(self.python), "-m", "compileall", "-qq", "-j", "0", *map(str, folders)], capture_output=True
        )

    def loads(self, module: str) -> bool:
        """Whether a module can be imported."""
        return subprocess.run([str(self.python), "-c", f"import {module}"], capture_output=True).returncode == 0


def uv_settings(configured: str, default: str) -> dict[str, str]:
    """Return what `pip config list` prints as uv's variables; what pip reads from its own variables counts most, then `install`'s.

    `default` is the index that pip asks where none is configured. Of one version uv takes the files of the first index that has it,
    and an extra index may lack those of a platform: the main index comes first.
    """
    told = dict(line.split("=", 1) for line in configured.splitlines() if "=" in line)
    found = {}
    for option, variable in PIP_TO_UV.items():
        values = [told[key] for section in (":env:", "install", "global") if (key := f"{section}.{option}") in told]
        if values:
            separator = "," if option == "find-links" else " "
            found[variable] = separator.join(str(ast.literal_eval(values[0])).split())
    if "UV_INDEX" in found:
        found["UV_INDEX"] = f"{found.get('UV_DEFAULT_INDEX', default)} {found['UV_INDEX']}"
    return found


def install(environment: Environment, lock: Path) -> None:
    """Install a lock file unless its very content is installed already."""
    stamp = environment.folder / f"{lock.stem}.installed"
    wanted = hashlib.sha256(
        lock.read_bytes() + (ROOT / "pyproject.toml").read_bytes() + Path(__file__).read_bytes()
    ).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted:
        return
    start = time.monotonic()
    print(
        f"Installing {lock.relative_to(ROOT)} into {environment.folder} (one to three minutes the first time) ...",
        flush=True,
    )
    environment.install("--no-deps", "--requirement", str(lock))
    _mend_torch(environment, lock)
    _mend_torchaudio(environment)
    environment.install("--no-deps", "--no-build-isolation", "--editable", ".")
    environment.compile()
    stamp.write_text(wanted)
    print(f"Installed in {time.monotonic() - start:.0f} s.", flush=True)


def _mend_torch(environment: Environment, lock: Path) -> None:
    """Add CUDA's libraries where the index has torch only as a CUDA build: it does not load without them, GPU or not."""
    if not environment.loads("torch"):
        print(
            "The index has torch as a CUDA build: adding its libraries (an index with torch's CPU build saves 3 GB).",
            flush=True,
        )
        pinned = re.search(r"^torch==\S+", lock.read_text(), re.MULTILINE)
        environment.install(pinned[0] if pinned else "torch")


def _mend_torchaudio(environment: Environment) -> None:
    """Take torchaudio's compiled extension away where it cannot load.

    The wheels on package indexes are CUDA builds. Beside a CPU torch `import torchaudio` fails, and a torchaudio that is there but does
    not load breaks `import transformers`, which looks for it, and so vllm, peft and trl. Without the file torchaudio takes itself for
    built without extensions, and its Python parts (resample, mel, MFCC) work; `forced_align` does not.
    """
    if not environment.loads("torchaudio"):
        for library in environment.folder.glob("lib/python*/site-packages/torchaudio/lib/*torchaudio*.so"):
            library.unlink()


def main() -> None:
    """Make the environment named first with the locks named after it."""
    folder, *locks = sys.argv[1:]
    environment = Environment(Path(folder).absolute())
    for lock in locks:
        install(environment, Path(lock).resolve())


if __name__ == "__main__":
    main()
