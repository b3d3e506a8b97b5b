"""Build `assets/phrasebook`, `assets/station` and `assets/phrasebook_es` from scratch; a killed build continues when it is started again.

    python -m assets.build [--work build]
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

OUT = Path("assets/phrasebook")
LAYER, UNITS = 4, 200
VOCODERS = {
    OUT / "vocoder-en": "sft-en-heart",
    OUT / "vocoder-fr": "sft-fr-siwis",
    OUT.with_name("phrasebook_es") / "vocoder-es": "sft-es-dora",
}
"""The vocoders, and the recordings that they learn from."""
VOCODER_STEPS = ("--minutes-spectral", "0", "--steps-spectral", "1800", "--minutes-adversarial", "0", "--steps-adversarial", "3000")


def run(*command: str | Path) -> None:
    """Run a module of this repository; stop the build if it fails."""
    print("▶", *command, flush=True)
    subprocess.run([sys.executable, "-m", *map(str, command)], check=True)


def keep(made: Path, shipped: Path) -> None:
    """Copy a trained model without its checkpoints."""
    shutil.copytree(made, shipped, dirs_exist_ok=True, ignore=shutil.ignore_patterns("checkpoint*"))


def speak(speech: Path) -> None:
    """Synthesise the corpus with one process per core."""
    workers = os.cpu_count() or 1
    command = [sys.executable, "-m", "assets.build.corpus", str(speech), "--workers", str(workers), "--worker"]
    processes = [subprocess.Popen([*command, str(worker)]) for worker in range(workers)]
    if any(process.wait() for process in processes):
        raise SystemExit("the corpus could not be synthesised; see the messages above")


def build(work: Path) -> None:
    """Run the steps that are not finished, in order."""
    speech, units, codebook = work / "speech", work / "units", OUT / "codebook.safetensors"
    OUT.mkdir(parents=True, exist_ok=True)
    speak(speech)
    if not codebook.exists():
        run("assets.build.units", speech, "fit", "--layer", str(LAYER), "--units", str(UNITS), "--out", codebook)
    run("assets.build.units", speech, "encode", "--codebook", codebook, "--out", units)
    run("assets.build.align", units)
    for shipped, voice in VOCODERS.items():
        made = work / shipped.name
        out = ("--out", made, "--num-units", str(UNITS), "--seed", "1", *VOCODER_STEPS)
        run("trainers.vocoder.train", "--data", units / voice, *out)
        keep(made, shipped)
    for module in ("pack", "spanish_pack"):
        run(f"assets.build.{module}", speech, units, OUT.parent)
    for name in ("phrasebook", "station"):  # the policy of the station starts from that of the phrasebook
        run("factory.run_round", "--recipe", f"recipes/{name}.yaml", "--round", "0", "--run", work / f"run-{name}")
        keep(work / f"run-{name}" / "round-0" / "policy", OUT.parent / name / "policy")
    run("assets.build.toplines")
    run("assets.build.readme")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("build"), help="folder of recordings and checkpoints (default: %(default)s)")
    build(parser.parse_args().work)
