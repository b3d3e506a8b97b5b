"""Makes the virtual environment from a lock file; does nothing where that was done already.

    python3.11 requirements/install.py .venv requirements/cpu.txt [requirements/assets.txt]

Locks are complete, so pip resolves nothing (`--no-deps`). What pip says goes to VENV/install.log. Needs Python 3.11 and a package index.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import time
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


class Environment:
    """A virtual environment and the log of what was done to it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.python, self.log = folder, folder / "bin" / "python", folder / "install.log"
        if not self.python.exists():
            venv.create(folder, with_pip=True)

    def pip(self, *arguments: str) -> None:
        """Run pip quietly; ends the program with the tail of the log when it fails."""
        with self.log.open("a") as log:
            command = [str(self.python), "-m", "pip", "--disable-pip-version-check", "--no-input", *arguments]
            failed = subprocess.run(command, cwd=ROOT, stdout=log, stderr=log, stdin=subprocess.DEVNULL).returncode
        if failed:
            told = [line for line in self.log.read_text(errors="replace").splitlines() if not line.startswith("WARNING")]
            sys.exit("\n".join([*told[-15:], f"pip failed; all it said is in {self.log}"]))

    def compile(self) -> None:
        """Keep the bytecode of all packages; files for other Pythons, which some packages ship, do not compile and nobody imports them.

        Where PYTHONDONTWRITEBYTECODE is set, as in many containers, every process of Ray would compile again what it imports: seconds each.
        """
        folders = self.folder.glob("lib/python*/site-packages")
        subprocess.run([str(self.python), "-m", "compileall", "-qq", "-j", "0", *map(str, folders)], capture_output=True)

    def loads(self, module: str) -> bool:
        """Whether a module can be imported."""
        return subprocess.run([str(self.python), "-c", f"import {module}"], capture_output=True).returncode == 0


def install(environment: Environment, lock: Path) -> None:
    """Install a lock file unless its very content is installed already."""
    stamp = environment.folder / f"{lock.stem}.installed"
    wanted = hashlib.sha256(lock.read_bytes() + (ROOT / "pyproject.toml").read_bytes() + Path(__file__).read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted:
        return
    start = time.monotonic()
    print(f"Installing {lock.relative_to(ROOT)} into {environment.folder} (about three minutes the first time) ...", flush=True)
    environment.pip("install", "--no-deps", "--no-compile", "--requirement", str(lock))
    _mend_torch(environment, lock)
    _mend_torchaudio(environment)
    environment.pip("install", "--no-deps", "--no-build-isolation", "--editable", ".")
    environment.compile()
    stamp.write_text(wanted)
    print(f"Installed in {time.monotonic() - start:.0f} s.", flush=True)


def _mend_torch(environment: Environment, lock: Path) -> None:
    """Add CUDA's libraries where the index has torch only as a CUDA build: it does not load without them, GPU or not."""
    if not environment.loads("torch"):
        print("The index has torch as a CUDA build: adding its libraries (an index with torch's CPU build saves 3 GB).", flush=True)
        pinned = re.search(r"^torch==\S+", lock.read_text(), re.MULTILINE)
        environment.pip("install", "--no-compile", pinned[0] if pinned else "torch")


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
