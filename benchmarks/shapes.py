"""Run the whole product on speech of every format: two rounds, rows, report, audit, listening page, every export.

    python benchmarks/shapes.py [--out runs/shapes] [--only table-text] [--cells 24]

The cells are {folder, table, tar, tars, parquet, hub} x {with, without texts} x {with, without references}, each with a
corpus of six utterances of the embedded world. Without texts the transcripts of the recognizer are scored. A cell runs
the commands of a user; a finished cell is not run again. The last line is JSON: the number of cells, the number of
cells without problems, and the seconds of each.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.shapes_corpora import PER_LANGUAGE, Cell, list_cells, write_corpus  # noqa: E402
from factory.cli import FORMATS  # noqa: E402
from schemas.datasets import Row  # noqa: E402

SETTINGS = {
    "select.delta": "0",
    "translator.n": "6",
    "translator.temperature": "1.0",
    "preference.epochs": "1",
    "evaluate.s2t_utterances": "4",
    "evaluate.asr_utterances": "2",
    "rounds.fresh": "false",
    "rounds.stop": "null",
}
WITHOUT_TEXTS = {
    "translator.back_translate": "speech",
    "translator.unit_temperature": "null",
    "scorer.score_text": "asr",
}
SHARED = ("units/test", "toplines", "round-0/evaluation")
"""Datasets that do not depend on the corpus: a cell copies them from an earlier cell."""


def run_cell(cell: Cell, out: Path) -> list[str]:
    """Run a cell from its corpus to its exports, and return its problems, a line each."""
    folder = out / cell.name
    corpus = write_corpus(cell, folder / "corpus")
    _copy_shared(cell, folder / "run", out)
    changes = SETTINGS | ({} if cell.texts else WITHOUT_TEXTS) | {"corpus.mono": corpus}
    sets = [part for key, value in changes.items() for part in ("--set", f"{key}={value}")]
    command = ["factory/run_round.py", "--round", "1-2", "--run", str(folder / "run"), *sets]
    problems = list(_run(command, folder / "log"))
    return problems or [*_check_rows(folder), *_check_commands(cell, folder), *_check_listening(folder)]


def _copy_shared(cell: Cell, run: Path, out: Path) -> None:
    """Copy the datasets that do not depend on the corpus from another cell with the same kind of scores."""
    others = [other.name for other in list_cells() if other.texts == cell.texts]
    for name in SHARED:
        folders = [out / other / "run" / name for other in others]
        finished = [folder for folder in folders if (folder / "_manifest.json").exists()]
        if finished and not (run / name).exists():
            shutil.copytree(finished[0], run / name)


def _run(arguments: list[str], log: Path, words: str = "") -> Iterator[str]:
    """Run a command; yield its output if it fails, or if `words` are not in it."""
    done = subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True)
    with log.open("a") as file:
        file.write(f"$ {' '.join(arguments)}\n{done.stdout}{done.stderr}")
    if done.returncode or words not in done.stdout or "Traceback" in done.stderr:
        yield f"{' '.join(arguments[:4])}: exit code {done.returncode}, {(done.stderr or done.stdout).strip()[-300:]}"


def _check_rows(folder: Path) -> Iterator[str]:
    """Yield the datasets that do not have exactly one row per utterance."""
    from factory.storage.dataset import DatasetDir

    for name in ("units/mono", "round-1/scored", "round-1/pairs", "round-2/scored", "round-2/pairs"):
        ids = DatasetDir(str(folder / "run" / name)).rows(["utt_id"])["utt_id"].to_pylist()
        if len(ids) != 2 * PER_LANGUAGE or len(set(ids)) != 2 * PER_LANGUAGE:
            yield f"{name}: {len(ids)} rows of {len(set(ids))} utterances, {2 * PER_LANGUAGE} expected"


def _check_commands(cell: Cell, folder: Path) -> Iterator[str]:
    """Yield the problems of `rows`, `report`, `audit` and every `export`."""
    run, log = str(folder / "run"), folder / "log"
    without = "labels could not be measured: no utterance of this round has a reference"
    audit = "utterances with references" if cell.references else without
    yield from _run(["-m", "factory.cli", "rows", f"{run}/round-1/pairs"], log)
    yield from _run(["-m", "factory.cli", "report", "--run", run], log, "report/index.html")
    yield from _run(["-m", "factory.cli", "audit", "--run", run], log, audit)
    for kind in FORMATS:
        to = folder / kind
        shutil.rmtree(to, ignore_errors=True)
        yield from _run(["-m", "factory.cli", "export", "--run", run, "--to", str(to), "--format", kind], log)
        if not (to / "README.md").exists():
            yield f"export --format {kind} wrote no README"


def _check_listening(folder: Path) -> Iterator[str]:
    """Yield the problems of the listening page with two recordings and its state."""
    with _serve_listening(folder) as address:
        for path in ("sound/0/source", "sound/1/source", "state"):
            with urllib.request.urlopen(f"{address}{path}") as answer:
                body = answer.read()
            if answer.status != 200 or not body:
                yield f"listen: {path} answers {answer.status}"


@contextmanager
def _serve_listening(folder: Path) -> Iterator[str]:
    """Serve the listening page, and yield its address."""
    command = [sys.executable, "-m", "factory.cli", "listen"]
    command += ["--run", str(folder / "run"), "--port", "0", "--choose", "random"]
    server = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert server.stdout is not None
    try:
        lines = []
        for line in server.stdout:
            lines.append(line)
            if found := re.search(r"http://[^ ]+", line):
                yield found[0]
                return
        raise RuntimeError(f"roundtrip listen ended: {''.join(lines)[-500:]}")
    finally:
        server.kill()
        server.wait()


def main() -> None:
    """Run the cells that are not finished, and print the summary as the last line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--out", type=Path, default=Path("runs/shapes"), help="folder of the cells (default: %(default)s)"
    )
    parser.add_argument("--only", default="", metavar="PART", help="run only cells with PART in their name")
    parser.add_argument("--cells", type=int, default=99, help="run at most this number of cells")
    options = parser.parse_args()
    results: dict[str, Row] = {}
    for cell in [cell for cell in list_cells() if options.only in cell.name][: options.cells]:
        done = options.out / cell.name / "done.json"
        if not done.exists():
            start = time.monotonic()
            problems = run_cell(cell, options.out.absolute())
            done.write_text(json.dumps({"wrong": problems, "seconds": round(time.monotonic() - start)}))
        results[cell.name] = json.loads(done.read_text())
        print(f"{cell.name:24} {results[cell.name]}", flush=True)
    whole = sum(not result["wrong"] for result in results.values())
    seconds = {name: result["seconds"] for name, result in results.items()}
    print(json.dumps({"cells": len(results), "whole": whole, "seconds": seconds}))


if __name__ == "__main__":
    main()
