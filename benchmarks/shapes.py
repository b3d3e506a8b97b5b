"""Speech of every shape through the whole product: two rounds, rows, report, audit, two recordings heard, every export.

    python benchmarks/shapes.py [--out runs/shapes] [--only table-text] [--cells 24]

The cells are {folder, table, tar, tars, parquet, hub} x {with, without texts} x {with, without references}, each a
corpus of six utterances of the embedded world. Without texts the recognizer judges. Every cell is a run of the commands
that a user calls; a cell that is done is
not run again. The last line is JSON: the cells, which are whole, and the seconds of each.
"""

from __future__ import annotations

import argparse
import csv
import io
import itertools
import json
import re
import shutil
import subprocess
import sys
import tarfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from factory.cli import FORMATS  # noqa: E402
from schemas.datasets import UTTERANCE, Row  # noqa: E402

EACH = 3
"""Utterances of each language."""
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
BY_EAR = {"translator.back_translate": "speech", "translator.unit_temperature": "null", "scorer.score_text": "asr"}
SHARED = ("units/test", "toplines", "round-0/evaluation")
"""What does not depend on the corpus: a cell takes it from one that was run before."""


class Cell(NamedTuple):
    """A shape of speech, and what it has."""

    shape: str
    texts: bool
    references: bool

    @property
    def name(self) -> str:
        """The cell's name, as `table-text` or `tars-reference`."""
        told = [word for word, there in (("text", self.texts), ("reference", self.references)) if there]
        return "-".join([self.shape, *(told or ["bare"])])


def cells() -> list[Cell]:
    """Return all cells; the cheapest way to break first: those without anything."""
    return [Cell(*cell) for cell in itertools.product(WRITERS, (False, True), (False, True))]


# ---- the corpora


def utterances(cell: Cell) -> list[Row]:
    """Return the first utterances of each language, with what the cell has."""
    lost = [name for name, there in (("text", cell.texts), ("reference", cell.references)) if not there]
    tables = [pq.read_table(ROOT / f"assets/phrasebook/mono/{lang}.parquet").slice(0, EACH) for lang in ("fr", "en")]
    rows = [row | dict.fromkeys(lost) for table in tables for row in table.to_pylist()]
    return [row | {"utt_id": row["utt_id"].replace("/", "_")} for row in rows]


def write_corpus(cell: Cell, place: Path) -> str:
    """Write the cell's corpus below `place` and return what a recipe calls it."""
    place.mkdir(parents=True, exist_ok=True)
    return WRITERS[cell.shape](utterances(cell), place)


def _known(row: Row, *names: str) -> Row:
    return {name: row[name] for name in names if row[name] is not None}


def _sounds(rows: list[Row], place: Path) -> list[str]:
    """Write the recordings as `LANG/NAME.opus`, and return their paths from `place`."""
    paths = [f"{row['lang']}/{row['utt_id']}.opus" for row in rows]
    for row, path in zip(rows, paths, strict=True):
        (place / path).parent.mkdir(parents=True, exist_ok=True)
        (place / path).write_bytes(row["audio"]["bytes"])
    return paths


def _folder(rows: list[Row], place: Path) -> str:
    """A folder of audio files with transcripts beside them; references need the metadata of an audio folder."""
    paths = _sounds(rows, place)
    if any(row["reference"] for row in rows):
        lines = [
            {"file_name": path} | _known(row, "lang", "text", "reference")
            for row, path in zip(rows, paths, strict=True)
        ]
        (place / "metadata.csv").write_text(_separated(lines, ","), "utf-8")
        return str(place)
    for row, path in zip(rows, paths, strict=True):
        if row["text"] is not None:
            (place / path).with_suffix(".txt").write_text(row["text"], "utf-8")
    return str(place)


def _separated(lines: list[Row], sign: str) -> str:
    sink = io.StringIO()
    table = csv.DictWriter(sink, list(lines[0]), delimiter=sign, lineterminator="\n", quoting=csv.QUOTE_MINIMAL)
    table.writeheader()
    table.writerows(lines)
    return sink.getvalue()


def _table(rows: list[Row], place: Path) -> str:
    paths = _sounds(rows, place)
    told = [
        {"path": path} | _known(row, "utt_id", "lang", "text", "reference")
        for row, path in zip(rows, paths, strict=True)
    ]
    (place / "all.tsv").write_text(_separated(told, "\t"), "utf-8")
    return str(place / "all.tsv")


def _packed(rows: list[Row], place: Path) -> str:
    with tarfile.open(place, "w") as archive:
        for row in rows:
            files = {
                "opus": row["audio"]["bytes"],
                "json": json.dumps(_known(row, "lang", "text", "reference")).encode(),
            }
            for suffix, content in files.items():
                member = tarfile.TarInfo(f"{row['lang']}/{row['utt_id']}.{suffix}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    return str(place)


def _tar(rows: list[Row], place: Path) -> str:
    return _packed(rows, place / "one.tar")


def _tars(rows: list[Row], place: Path) -> str:
    for number in range(2):
        _packed(rows[number::2], place / f"{number:05d}.tar")
    return str(place)


def _parquet(rows: list[Row], place: Path) -> str:
    pq.write_table(pa.Table.from_pylist(rows, schema=UTTERANCE), place / "all.parquet")
    return str(place)


def _hub(rows: list[Row], place: Path) -> str:
    import datasets

    told = [{"audio": row["audio"]} | _known(row, "utt_id", "lang", "text", "reference") for row in rows]
    made = datasets.Dataset.from_list(told).cast_column("audio", datasets.Audio(decode=False))
    made.save_to_disk(place / "set")
    return f"hf://{place.absolute()}/set"


WRITERS = {"folder": _folder, "table": _table, "tar": _tar, "tars": _tars, "parquet": _parquet, "hub": _hub}


# ---- what a user does with it


def run_cell(cell: Cell, out: Path) -> list[str]:
    """Run a cell from its corpus to its exports; returns what went wrong, a line each."""
    place = out / cell.name
    corpus = write_corpus(cell, place / "corpus")
    _share(cell, place / "run", out)
    changes = SETTINGS | ({} if cell.texts else BY_EAR) | {"corpus.mono": corpus}
    sets = [part for key, value in changes.items() for part in ("--set", f"{key}={value}")]
    wrong = list(_said(["factory/run_round.py", "--round", "1-2", "--run", str(place / "run"), *sets], place / "log"))
    return wrong or [*_rows(place), *_commands(cell, place), *_heard(place)]


def _share(cell: Cell, run: Path, out: Path) -> None:
    """Take what does not depend on the corpus from a run that has it and judges in the same way, by texts or by ear."""
    alike = [other.name for other in cells() if other.texts == cell.texts]
    for name in SHARED:
        donors = [
            path for path in (out / other / "run" / name for other in alike) if (path / "_manifest.json").exists()
        ]
        if donors and not (run / name).exists():
            shutil.copytree(donors[0], run / name)


def _said(arguments: list[str], log: Path, words: str = "") -> Iterator[str]:
    """Call a command of ours; yield what it says where it fails, or lacks words that it should say."""
    done = subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True)
    with log.open("a") as file:
        file.write(f"$ {' '.join(arguments)}\n{done.stdout}{done.stderr}")
    if done.returncode or words not in done.stdout or "Traceback" in done.stderr:
        yield f"{' '.join(arguments[:4])}: exit code {done.returncode}, {(done.stderr or done.stdout).strip()[-300:]}"


def _rows(place: Path) -> Iterator[str]:
    """Every utterance is a row of every dataset, exactly once."""
    from factory.storage.dataset import DatasetDir

    for name in ("units/mono", "round-1/scored", "round-1/pairs", "round-2/scored", "round-2/pairs"):
        ids = DatasetDir(str(place / "run" / name)).rows(["utt_id"])["utt_id"].to_pylist()
        if len(ids) != 2 * EACH or len(set(ids)) != 2 * EACH:
            yield f"{name}: {len(ids)} rows of {len(set(ids))} utterances, {2 * EACH} expected"


def _commands(cell: Cell, place: Path) -> Iterator[str]:
    """Rows, report, audit and every export."""
    run, log = str(place / "run"), place / "log"
    lost = "labels could not be measured: no utterance of this round has a reference"
    audited = "utterances with references" if cell.references else lost
    yield from _said(["-m", "factory.cli", "rows", f"{run}/round-1/pairs"], log)
    yield from _said(["-m", "factory.cli", "report", "--run", run], log, "report/index.html")
    yield from _said(["-m", "factory.cli", "audit", "--run", run], log, audited)
    for kind in FORMATS:
        shutil.rmtree(place / kind, ignore_errors=True)
        yield from _said(
            ["-m", "factory.cli", "export", "--run", run, "--to", str(place / kind), "--format", kind], log
        )
        if not (place / kind / "README.md").exists():
            yield f"export --format {kind} wrote no README"


def _heard(place: Path) -> Iterator[str]:
    """Two recordings through the listening page, and the page itself after them."""
    with _listening(place) as address:
        for path in ("sound/0/source", "sound/1/source", "state"):
            with urllib.request.urlopen(f"{address}{path}") as answer:
                body = answer.read()
            if answer.status != 200 or not body:
                yield f"listen: {path} answers {answer.status}"


@contextmanager
def _listening(place: Path) -> Iterator[str]:
    """Serve the listening page; yields its address."""
    command = [
        sys.executable,
        "-m",
        "factory.cli",
        "listen",
        "--run",
        str(place / "run"),
        "--port",
        "0",
        "--choose",
        "random",
    ]
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
    """Run the cells that are not done."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--out", type=Path, default=Path("runs/shapes"), help="where everything is written (default: %(default)s)"
    )
    parser.add_argument("--only", default="", help="only cells whose name has this in it")
    parser.add_argument("--cells", type=int, default=99, help="at most so many")
    asked = parser.parse_args()
    told: dict[str, Any] = {}
    for cell in [cell for cell in cells() if asked.only in cell.name][: asked.cells]:
        done = asked.out / cell.name / "done.json"
        if not done.exists():
            began = time.monotonic()
            wrong = run_cell(cell, asked.out.absolute())
            done.write_text(json.dumps({"wrong": wrong, "seconds": round(time.monotonic() - began)}))
        told[cell.name] = json.loads(done.read_text())
        print(f"{cell.name:24} {told[cell.name]}", flush=True)
    whole = sum(not found["wrong"] for found in told.values())
    print(
        json.dumps(
            {"cells": len(told), "whole": whole, "seconds": {name: found["seconds"] for name, found in told.items()}}
        )
    )


if __name__ == "__main__":
    main()
