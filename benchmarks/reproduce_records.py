"""What a cell of a reproduction found, small enough to lie beside the tables: they are made from records, so a grid may take many days
and machines.

A record is `CELL.json`, the summary of the cell's last round and what made it, and `CELL.parquet`, what its policy wrote and what was heard
of it for every test utterance.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import pyarrow.compute as pc
import pyarrow.parquet as pq

from factory.models.weights import policy_digest
from factory.report.summary_types import Summary
from factory.storage.dataset import DatasetDir
from schemas.datasets import OK

HEARD = "heard"
"""The folder beside the records in which `benchmarks/hear_all.py` keeps what it heard."""
SAID = ["utt_id", "src_lang", "tgt_lang", "text", "asr_text", "reference"]


@dataclass(frozen=True)
class Record:
    """A cell's `summary`, the digests of the policy that its rounds `start`ed from (None: it made one) and of its own `policy`.

    `learned` is how many pairs the last round learned from.
    """

    place: Path
    summary: Summary
    start: str | None
    policy: str
    learned: int

    def said(self, direction: str) -> list[dict[str, Any]]:
        """Return the test utterances of a direction (`fr-en`), ordered by id, with the columns of SAID."""
        rows = pq.read_table(self.place).sort_by("utt_id").to_pylist()
        return [row for row in rows if f"{row['src_lang']}-{row['tgt_lang']}" == direction]


def keep(folder: Path, name: str, run: Path, number: int, made: dict[str, Any]) -> None:
    """Write the record of a finished run, with what `made` it; the JSON last, so that a record is whole or not there."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = DatasetDir(str(run / f"round-{number}" / "evaluation")).rows([*SAID, "status"])
    said = pc.if_else(pc.equal(rows["status"], OK), rows["text"], "")  # a lost row's text is the source's
    rows = rows.set_column(SAID.index("text"), "text", said).select(SAID)
    pq.write_table(
        rows.sort_by([("src_lang", "ascending"), ("utt_id", "ascending")]),
        folder / f"{name}.parquet",
        compression="zstd",
    )
    start = policy_digest(run.parent / made["start"] / "round-0" / "policy") if made.get("start") else None
    policy = run / f"round-{number}" / "policy"
    told = made | {"digests": {"start": start, "policy": policy_digest(policy)}}
    told["learned"] = json.loads((policy / "training.json").read_text()).get("pairs", 0)
    told["summary"] = json.loads((run / f"round-{number}" / "summary.json").read_text())
    part = folder / f".{name}.json.part"
    part.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n")
    os.replace(part, folder / f"{name}.json")


def kept(folder: Path, name: str) -> Record | None:
    """Return the record of a cell; None where there is none."""
    place = folder / f"{name}.json"
    if not place.exists():
        return None
    told = json.loads(place.read_text())
    return Record(
        place.with_suffix(".parquet"),
        cast(Summary, told["summary"]),
        told["digests"]["start"],
        told["digests"]["policy"],
        told["learned"],
    )


def wholly_heard(folder: Path, told: dict[str, Record]) -> dict[str, Record]:
    """Return, as `heard/CELL`, the records of those cells of which every test utterance was heard, not a part of them.

    What was heard of a policy that wrote other texts than the record's is another run's, and left out.
    """
    files = {name: folder / HEARD / f"{name}.parquet" for name in told}
    found = {name: replace(told[name], place=place) for name, place in files.items() if place.exists()}
    return {
        f"{HEARD}/{name}": record for name, record in found.items() if texts(record.place) == texts(told[name].place)
    }


def texts(place: Path) -> dict[str, str]:
    """Return what was written for each test utterance, from a file of SAID."""
    return {row["utt_id"]: row["text"] for row in pq.read_table(place, columns=["utt_id", "text"]).to_pylist()}
