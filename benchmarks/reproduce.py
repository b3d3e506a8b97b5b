"""Reproduce the paper's tables in small, in the embedded world. A cell is a run of factory/run_round.py.

    make reproduce                                      # hours on two cores; a killed call continues when called again
    make reproduce ARGS='limit=20 seeds=[1] epochs=1 --out runs/small --to runs/small'   # smaller, with its own tables
    .venv/bin/python benchmarks/reproduce.py --list     # the cells, and their states

Cells that differ only in selection or training share their candidates: these are copied from the cell that made them.
The slowest parts ship (`assets/reproduce`); without that folder, or with other sizes, they are made again. The speech
is the paired corpus of the phrasebook, whose units ship: round 0 learns from its first sentences, rounds translate
others, and the last ones are the test set.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow.fs import LocalFileSystem

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.interleave_grid import FIRST_SPOKEN, TEXT  # noqa: E402
from benchmarks.part_grid import FIRST_PART  # noqa: E402
from benchmarks.part_tables import OUTPUTS, UNITS  # noqa: E402
from benchmarks.reproduce_cells import INTERLEAVE, PART, Cell, Sizes  # noqa: E402
from benchmarks.reproduce_grid import (  # noqa: E402
    BASE,
    FIRST,
    INTERLEAVE_TEST,
    INTERLEAVE_TESTED,
    SPLITS,
    SPOKEN,
    make_command,
    make_grid,
)
from benchmarks.reproduce_records import Record, keep, kept, wholly_heard  # noqa: E402
from benchmarks.reproduce_tables import write_tables  # noqa: E402
from factory.recipe.typed import build, override  # noqa: E402
from factory.report.summary_types import Summary  # noqa: E402
from factory.storage.files import put_table  # noqa: E402

SHIPPED = ROOT / "assets/reproduce"
"""The slowest parts of the cells: the start of chain of modality, and candidates. With them most cells need no base."""
SHARED = ("units", "toplines", "round-0/evaluation", "round-1/scored")
"""What cells share. A cell copies all of it from the cell whose candidates it selects from. From its start it copies
all but the candidates, and no evaluation if it translates back in another way. From FIRST it copies the first two. The
base is evaluated on one sentence and shares nothing."""


def split_corpus(out: Path) -> None:
    """Write a corpus for each split, that of the rounds with more utterances, and the test set of tables G and H."""
    spoken = pq.read_table(ROOT / "assets/phrasebook/mono_units.parquet")
    # its columns: without the words of the speech, because the candidates that ship were made when there were none
    paired = pq.read_table(ROOT / "assets/phrasebook/paired.parquet", columns=spoken.column_names)
    number = _number(paired)
    out.mkdir(parents=True, exist_ok=True)
    for name, (first, end) in SPLITS.items():
        _write(paired.filter(pc.and_(pc.greater_equal(number, first), pc.less(number, end))), out / f"{name}.parquet")
    _write(pa.concat_tables([pq.read_table(out / "mono.parquet"), spoken]), out / "more.parquet")
    spanish = pq.read_table(ROOT / "assets/phrasebook_es/test_units.parquet", columns=spoken.column_names)
    tested = pc.is_in(_number(spoken), pa.array(range(*INTERLEAVE_TESTED), pa.int32()))
    _write(pa.concat_tables([spoken.filter(tested), spanish]), out / f"{INTERLEAVE_TEST}.parquet")


def _number(paired: pa.Table) -> pa.Array:
    """Return the number of each row's sentence."""
    found = pc.extract_regex(paired["pair_id"], r"^\w+-\w+-(?P<number>\d+)")
    return pc.cast(pc.struct_field(found, "number"), pa.int32())


def _write(table: pa.Table, path: Path) -> None:
    """Write a table completely or not at all, because another process may read the file meanwhile."""
    put_table(LocalFileSystem(), str(path), table)


def copy_shipped(out: Path) -> None:
    """Copy the parts of cells that ship."""
    for folder in sorted(SHIPPED.iterdir()) if SHIPPED.exists() else ():
        _copy(folder, out / folder.name)


def copy_shared(cell: Cell, out: Path) -> None:
    """Copy the parts that the cell has in common with earlier cells."""
    # the round trip in the evaluation of a start uses the recipe's back-translation
    from_start = SHARED[: 2 if set(SPOKEN) & set(cell.changes) else 3]
    donors = {FIRST: SHARED[:2], cell.base: from_start, cell.shares: SHARED} if cell.name != BASE else {}
    if cell.variant == PART:
        donors = {FIRST_PART: ("speech",)}
    if cell.variant == INTERLEAVE:  # a round of table H is tested in more directions than its start
        donors = {FIRST_SPOKEN: SHARED[:2]} if cell.base == TEXT else {}
    for donor, names in donors.items():
        if donor is None or donor in (BASE, cell.name):
            continue
        for name in names:
            _copy(out / donor / name, out / cell.name / name)


def _copy(source: Path, target: Path) -> None:
    """Copy a folder if it exists and its copy does not. A kill leaves no incomplete copy."""
    if source.exists() and not target.exists():
        part = target.with_name(f".{target.name}.part")
        shutil.rmtree(part, ignore_errors=True)
        shutil.copytree(source, part)
        part.rename(target)


def read_summary(cell: Cell, out: Path) -> Summary | None:
    """Return the summary of a cell's last round, None if it is not finished."""
    path = out / cell.name / f"round-{cell.last_round}" / "summary.json"
    summary: Summary | None = json.loads(path.read_text()) if path.exists() else None
    return summary


def run_cells(cells: list[Cell], sizes: Sizes, out: Path, to: Path, changes: list[str]) -> int:
    """Run every cell that is not finished, and keep a record of each.

    Args:
        cells: the cells, in an order in which they can run.
        sizes: the sizes of the reproduction.
        out: the folder of the runs.
        to: the folder of the records.
        changes: changes of every recipe.

    Returns:
        The number of cells that failed.
    """
    failed = 0
    sharing = {cell.name: cell for cell in make_grid(sizes)}
    for number, cell in enumerate(cells, 1):
        pairs = count_pairs(sharing.get(cell.shares or ""), out, to)
        title = f"[{number}/{len(cells)}] {cell.name}"
        if not pairs and any("{pairs_" in change for change in cell.changes):
            print(f"{title} is left out, because {cell.shares}, whose pairs it needs, is not finished", flush=True)
            failed += 1
            continue
        command = make_command(cell, sizes, out, changes, pairs)
        was_finished = read_summary(cell, out) is not None
        if not was_finished:
            print(title, flush=True)
            failed += not run_cell(cell, out, command)
        if read_summary(cell, out) and not (was_finished and kept(to, cell.name)):
            parts = [part.replace(str(out), "RUNS") for part in command[1:]]
            origin = {"start": cell.base if cell.base != BASE else None, "command": parts}
            keep(to, cell.name, out / cell.name, cell.last_round, origin)
        if cell.variant == PART and read_summary(cell, out):
            failed += not write_outputs(cell.name, "phrasebook_part", out / cell.name / "round-0" / "policy", to)
            failed += not write_outputs(UNITS, "phrasebook", ROOT / "assets/phrasebook/policy", to)
    return failed


def write_outputs(name: str, recipe: str, policy: Path, to: Path) -> bool:
    """Keep what a policy writes for the recordings of table I; return whether that is done."""
    path = to / OUTPUTS / f"{name}.parquet"
    script = [sys.executable, "benchmarks/speech_to_text.py", "--recipe", f"recipes/{recipe}.yaml"]
    if path.exists():
        return True
    return subprocess.run([*script, "--policy", str(policy), "--to", str(path.absolute())], cwd=ROOT).returncode == 0


def run_cell(cell: Cell, out: Path, command: list[str]) -> bool:
    """Run a cell; return whether it succeeded."""
    start, folder = time.monotonic(), out / cell.name
    folder.mkdir(parents=True, exist_ok=True)
    copy_shared(cell, out)
    with (folder / "log.txt").open("a") as log:
        done = subprocess.run(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)
    state = "done" if done.returncode == 0 else f"FAILED, see {log.name}"
    print(f"  {state} after {time.monotonic() - start:,.0f} s", flush=True)
    return done.returncode == 0


def count_pairs(cell: Cell | None, out: Path, to: Path) -> int:
    """Return the smaller number of pairs of both directions, from the run or the record; 0 if a cell has neither."""
    if cell is None:
        return 0
    record = kept(to, cell.name)
    summary = read_summary(cell, out) or (record.summary if record else None)
    return min(summary["pairs"].values(), default=0) if summary else 0


def comparable(cells: list[Cell], to: Path) -> dict[str, Record]:
    """Return the records by name of the cell, and complete transcripts as `heard/CELL`.

    A cell whose rounds started from another policy than the recorded start is left out, and printed.
    """
    records = {cell.name: record for cell in cells if (record := kept(to, cell.name))}
    rounds = [cell for cell in cells if cell.name in records and cell.base and cell.base != BASE]
    others = [
        cell.name
        for cell in rounds
        if cell.base not in records or records[cell.base].policy != records[cell.name].start
    ]
    if others:
        print(f"left out of the tables, because they started from another policy: {', '.join(others)}", flush=True)
    records = {name: record for name, record in records.items() if name not in others}
    return records | wholly_heard(to, records)


def parse_options() -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(
        prog="reproduce", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--out", type=Path, default=ROOT / "runs/reproduce", help="folder of the runs (default: %(default)s)"
    )
    parser.add_argument(
        "--to", type=Path, default=ROOT / "docs/reproduce", help="folder of records and tables (default: %(default)s)"
    )
    parser.add_argument("--list", action="store_true", help="print the cells and their states")
    parser.add_argument("--only", default="", metavar="PREFIX", help="run only cells whose name starts with PREFIX")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="change a key of every recipe; may be repeated"
    )
    parser.add_argument("sizes", nargs="*", metavar="key=value", help="seeds, limit, s2t, asr, base_epochs, epochs")
    return parser.parse_args()


def main() -> int:
    """Run the cells that are not finished, and write the tables."""
    options = parse_options()
    changes: dict[str, Any] = {}
    for change in options.sizes:
        override(changes, change)
    sizes = build(Sizes, changes, "the sizes")
    grid, out = list(make_grid(sizes)), options.out.absolute()
    cells = [cell for cell in grid if cell.name.startswith(options.only)]
    if options.list:
        for cell in cells:
            print(f"{'done' if read_summary(cell, out) else 'to do':6}{cell.name}  {' '.join(cell.changes)}")
        return 0
    split_corpus(out)
    has_usual_sizes = replace(sizes, seeds=()) == replace(Sizes(), seeds=())
    if has_usual_sizes and all(change.startswith("resources.") for change in options.set):
        copy_shipped(out)
    failed = run_cells(cells, sizes, out, options.to, options.set)
    write_tables(comparable(grid, options.to), sizes.seeds, options.to / "tables.md", " ".join(options.sizes))
    print(json.dumps({"cells": len(cells), "failed": failed, "tables": str(options.to / "tables.md")}))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
