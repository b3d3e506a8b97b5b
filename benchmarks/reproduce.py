"""The paper's tables in small, in the embedded world: every cell is a run of factory/run_round.py, every table a part of one Markdown file.

    make reproduce                                      # hours on two cores; killed and called again it goes on where
    it was make reproduce ARGS='limit=20 seeds=[1] epochs=1 --out runs/small --to runs/small'   # smaller; the tables go
    there too .venv/bin/python benchmarks/reproduce.py --list     # the cells, and which are done

Cells that differ only in what is selected or trained share their candidates: those are copied from the cell that made
them. What takes longest ships (`assets/reproduce`): without that folder, or with other sizes, it is made anew. The
speech is the phrasebook's paired corpus,
whose units ship: round 0 learns from its first sentences, rounds translate others, the last ones are the test set.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow.fs import LocalFileSystem

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.reproduce_records import Record, keep, kept, wholly_heard  # noqa: E402
from benchmarks.reproduce_tables import write_tables  # noqa: E402
from factory.recipe.typed import build, override  # noqa: E402
from factory.storage.files import put_table  # noqa: E402

DELTAS = (0.0, 0.05, 0.1, 0.2, 0.3)
SHIPPED = ROOT / "assets/reproduce"
"""What of the cells ships because it takes longest: the start of the chain of modality and candidates, so that most cells need no base."""
BASE = "base"
FIRST = "com-start"
LEARNS = {
    BASE: ("sft.weights={com: 0.0, asr: 1.0, mt: 0.35}", "evaluate.s2t_utterances=1", "evaluate.asr_utterances=1"),
    "com": ("sft.weights={com: 1.0, asr: 0.0, mt: 0.1}",),
    "vanilla": ("policy.tasks={vanilla: 1.0, mt: 1.0}", "sft.weights={mt: 0.1}"),
    "tritask": ("sft.weights={vanilla: 1.0, s2t: 1.0, asr: 1.0, mt: 0.1}",),
}
"""What a cell's round 0 changes: the base stands for the paper's language model, and no variant sees text that another does not. A tenth
of the text is repeated, or the way back through text would be forgotten."""
SPLITS = {"paired": (0, 2_100), "mono": (2_100, 3_000), "test": (3_000, 4_000)}
"""Which sentences of the paired corpus round 0 learns, rounds translate, and policies are tested on."""
MORE = 1_000
"""Sentences a language that are spoken for the rounds with more utterances, `assets/phrasebook/mono_units.parquet`."""
SPOKEN = (
    "translator={n: 2, temperature: 1.0, unit_temperature: null, back_translate: speech}",
    "scorer.metrics=[bleu, chrf, meteor, wer, mcd]",
)
"""The paper's way back, in place of the recipe's: two candidates, and what was said goes back."""
SHARED = ("units", "toplines", "round-0/evaluation", "round-1/scored")
"""What cells share. A cell copies all of it from the cell whose candidates it takes, all but the candidates from its start (without the
test outputs, where another way back is measured), and the first two from any other. The base, which is tested on one
sentence, takes and
gives nothing."""


@dataclass(frozen=True)
class Sizes:
    """How large the whole is."""

    seeds: tuple[int, ...] = (
        1,
        2,
        3,
    )  # of the chain of modality's rounds; the others have the first, as every round 0 has
    limit: int = 900  # utterances a direction and round
    s2t: int = 1_000  # test utterances a direction, read
    asr: int = 300  # of them spoken and heard
    base_epochs: int = 6  # of the base that all variants start from: it reads speech and translates text, and has never translated speech
    epochs: int = 4  # of a variant's round 0; tri-task, whose pairs have twice as many tokens, half of it


@dataclass(frozen=True)
class Cell:
    """One run: its name, its recipe's variant and seed, what it changes, and what it starts from."""

    name: str
    variant: str
    seed: int
    changes: tuple[str, ...] = ()
    rounds: str = "1"
    base: str | None = None  # the cell whose policy of round 0 it starts from, or learns upon in its own round 0
    shares: str | None = None  # the cell whose candidates it selects from


def grid(sizes: Sizes) -> Iterator[Cell]:
    """Yield all cells in the order in which they can be run."""
    yield Cell(
        BASE, BASE, sizes.seeds[0], (*LEARNS[BASE], f"sft.epochs={sizes.base_epochs}", "policy.start=null"), rounds="0"
    )
    for variant in ("com", "vanilla", "tritask"):
        for seed in sizes.seeds if variant == "com" else sizes.seeds[:1]:
            start, main = f"{variant}-start", f"{variant}-s{seed}-bleu"
            epochs = sizes.epochs // 2 if variant == "tritask" else sizes.epochs
            if seed == sizes.seeds[0]:
                yield Cell(start, variant, seed, (*LEARNS[variant], f"sft.epochs={epochs}"), rounds="0", base=BASE)
            yield Cell(main, variant, seed, ("select.metric=bleu",), base=start)
            yield Cell(f"{variant}-s{seed}-meteor", variant, seed, ("select.metric=meteor",), base=start, shares=main)
            if variant == "com":
                more = ("corpus.mono={out}/more.parquet", f"corpus.limit={sizes.limit + MORE}")
                yield Cell(f"com-s{seed}-more", variant, seed, more, base=start)
    yield from _chain(sizes)


def _chain(sizes: Sizes) -> Iterator[Cell]:
    """Yield the cells of tables B to F: the chain of modality with the first seed."""
    seed = sizes.seeds[0]
    main = f"com-s{seed}-bleu"

    def cell(name: str, *changes: str, rounds: str = "1", shares: str | None = main) -> Cell:
        return Cell(f"com-s{seed}-{name}", "com", seed, changes, rounds, FIRST, shares)

    yield cell("paired", "corpus.source=paired", shares=None)
    yield cell("spoken", *SPOKEN, shares=None)
    for metric in ("wer", "chrf"):
        yield cell(metric, f"select.metric={metric}")
    yield cell("mcd", *SPOKEN, "select.metric=mcd", "select.delta=0.25", shares=f"com-s{seed}-spoken")
    yield cell(
        "simpo",
        *(f"preference.{change}" for change in ("loss=simpo", "beta=2.0", "gamma=1.0", "unit_weight=1.0", "unit_kl=0")),
    )
    for share, name in ((4, "quarter"), (2, "half")):
        yield cell(name, f"select.pairs={{pairs_{share}}}")
    yield cell("two-rounds", f"corpus.limit={sizes.limit // 2}", "rounds.stop=null", rounds="1-2", shares=None)
    for delta in DELTAS:
        if delta != 0.1:
            yield cell(f"delta-{delta:g}", f"select.delta={delta}")


def last_round(cell: Cell) -> int:
    """Return the number of the round that a cell ends with."""
    return int(cell.rounds.rpartition("-")[2])


def summary(cell: Cell, out: Path) -> dict | None:
    """Return what a cell found, None where it is not done."""
    place = out / cell.name / f"round-{last_round(cell)}" / "summary.json"
    return json.loads(place.read_text()) if place.exists() else None


def command(cell: Cell, sizes: Sizes, out: Path, given: list[str], pairs: int) -> list[str]:
    """Return the command line of a cell; `{pairs_N}` in its changes is an Nth of `pairs`, `{out}` the folder of the runs."""
    recipe = "phrasebook.yaml" if cell.variant in (BASE, "com") else f"phrasebook_{cell.variant}.yaml"
    changes = [
        f"seed={cell.seed}",
        f"corpus.limit={sizes.limit}",
        *(f"corpus.{name}={out / name}.parquet" for name in SPLITS),
    ]
    changes += [f"evaluate.s2t_utterances={sizes.s2t}", f"evaluate.asr_utterances={sizes.asr}"]
    if cell.base:
        changes.append(f"policy.{'base' if cell.rounds == '0' else 'start'}={out / cell.base}/round-0/policy")
    told = {"{out}": str(out)} | {f"{{pairs_{share}}}": str(max(1, pairs // share)) for share in (2, 4)}
    own = [reduce(lambda text, word: text.replace(word, told[word]), told, change) for change in cell.changes]
    sets = [part for change in (*changes, *own, *given) for part in ("--set", change)]
    return [
        *(sys.executable, "factory/run_round.py", "--recipe", f"recipes/{recipe}"),
        *("--run", str(out / cell.name), "--round", cell.rounds, *sets),
    ]


def split(out: Path) -> None:
    """Write the sentences of each split as a corpus of its own, and those of the rounds with more that are spoken besides."""
    paired = pq.read_table(ROOT / "assets/phrasebook/paired.parquet")
    number = pc.cast(
        pc.struct_field(pc.extract_regex(paired["pair_id"], r"^\w+-\w+-(?P<number>\d+)"), "number"), pa.int32()
    )
    out.mkdir(parents=True, exist_ok=True)
    for name, (first, end) in SPLITS.items():
        _write(paired.filter(pc.and_(pc.greater_equal(number, first), pc.less(number, end))), out / f"{name}.parquet")
    spoken = pq.read_table(ROOT / "assets/phrasebook/mono_units.parquet")
    _write(pa.concat_tables([pq.read_table(out / "mono.parquet"), spoken]), out / "more.parquet")


def _write(table: pa.Table, place: Path) -> None:
    """Write a table whole or not at all: another cell that runs beside this one may be reading what was there."""
    put_table(LocalFileSystem(), str(place), table)


def ship(out: Path) -> None:
    """Take what ships of the cells."""
    for place in sorted(SHIPPED.iterdir()) if SHIPPED.exists() else ():
        _copy(place, out / place.name)


def share(cell: Cell, out: Path) -> None:
    """Copy what the cell has in common with an earlier one."""
    tested_alike = SHARED[
        : 2 if set(SPOKEN) & set(cell.changes) else 3
    ]  # the start's own round trip goes by the recipe's way back
    donors = {FIRST: SHARED[:2], cell.base: tested_alike, cell.shares: SHARED} if cell.name != BASE else {}
    for donor, names in donors.items():
        for name in names if donor not in (None, BASE, cell.name) else ():
            _copy(out / donor / name, out / cell.name / name)


def _copy(source: Path, target: Path) -> None:
    """Copy a folder that is there to where it is not; whole, so that a kill leaves none by halves."""
    if source.exists() and not target.exists():
        part = target.with_name(f".{target.name}.part")
        shutil.rmtree(part, ignore_errors=True)
        shutil.copytree(source, part)
        part.rename(target)


def run(cells: list[Cell], named: dict[str, Cell], sizes: Sizes, out: Path, to: Path, given: list[str]) -> int:
    """Run every cell that is not done, and keep a record of each in `to`; returns how many failed."""
    failed = 0
    for place, cell in enumerate(cells, 1):
        pairs = _pairs(named.get(cell.shares or ""), out, to)
        if not pairs and any("{pairs_" in change for change in cell.changes):
            print(
                f"[{place}/{len(cells)}] {cell.name} is left out: it shares {cell.shares}'s pairs, which is not done",
                flush=True,
            )
            failed += 1
            continue
        began, asked = time.monotonic(), command(cell, sizes, out, given, pairs)
        if not (there := summary(cell, out)):
            print(f"[{place}/{len(cells)}] {cell.name}", flush=True)
            (out / cell.name).mkdir(parents=True, exist_ok=True)
            share(cell, out)
            with (out / cell.name / "log.txt").open("a") as log:
                done = subprocess.run(asked, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)
            failed += done.returncode != 0
            print(
                f"  {'done' if done.returncode == 0 else 'FAILED, see ' + log.name} after {time.monotonic() - began:,.0f} s",
                flush=True,
            )
        if summary(cell, out) and not (there and kept(to, cell.name)):
            made = {
                "start": cell.base if cell.base != BASE else None,
                "command": [part.replace(str(out), "RUNS") for part in asked[1:]],
            }
            keep(to, cell.name, out / cell.name, last_round(cell), made)
    return failed


def _pairs(cell: Cell | None, out: Path, to: Path) -> int:
    """Return how many pairs a direction has at least in a cell that is done or recorded; 0 where it is neither."""
    record = kept(to, cell.name) if cell else None
    found = (summary(cell, out) if cell else None) or (record.summary if record else {"pairs": {}})
    return min(found["pairs"].values(), default=0)


def comparable(cells: list[Cell], to: Path) -> dict[str, Record]:
    """Return the records of cells, without those (they are named) that started from another policy than their start's record; and, as
    `heard/CELL`, what was heard of all test utterances where it was.
    """
    told = {cell.name: record for cell in cells if (record := kept(to, cell.name))}
    rounds = [cell for cell in cells if cell.name in told and cell.base not in (None, BASE)]
    strange = [cell.name for cell in rounds if cell.base not in told or told[cell.base].policy != told[cell.name].start]
    if strange:
        print(f"left out of the tables, because they started from another policy: {', '.join(strange)}", flush=True)
    told = {name: record for name, record in told.items() if name not in strange}
    return told | wholly_heard(to, told)


def main() -> int:
    """Run what is left of the grid and write the tables."""
    parser = argparse.ArgumentParser(
        prog="reproduce", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--out", type=Path, default=ROOT / "runs/reproduce", help="folder of the runs (default: %(default)s)"
    )
    parser.add_argument(
        "--to", type=Path, default=ROOT / "docs/reproduce", help="folder of records and tables (default: %(default)s)"
    )
    parser.add_argument("--list", action="store_true", help="print the cells and which are done")
    parser.add_argument("--only", default="", metavar="PREFIX", help="only cells whose name begins so")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="a key of every cell's recipe; may be repeated"
    )
    parser.add_argument("sizes", nargs="*", metavar="key=value", help="seeds, limit, s2t, asr, base_epochs, epochs")
    asked = parser.parse_args()
    changes: dict = {}
    for change in asked.sizes:
        override(changes, change)
    sizes = build(Sizes, changes, "the sizes")
    grown, out = list(grid(sizes)), asked.out.absolute()
    cells = [cell for cell in grown if cell.name.startswith(asked.only)]
    if asked.list:
        print(
            "\n".join(
                f"{'done' if summary(cell, out) else 'to do':6}{cell.name}  {' '.join(cell.changes)}" for cell in cells
            )
        )
        return 0
    split(out)
    usual = replace(sizes, seeds=()) == replace(Sizes(), seeds=())
    if usual and all(change.startswith("resources.") for change in asked.set):
        ship(out)
    failed = run(cells, {cell.name: cell for cell in grown}, sizes, out, asked.to, asked.set)
    write_tables(comparable(grown, asked.to), sizes.seeds, asked.to / "tables.md", " ".join(asked.sizes))
    print(json.dumps({"cells": len(cells), "failed": failed, "tables": str(asked.to / "tables.md")}))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
