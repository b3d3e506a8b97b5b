"""The record of a reproduction's cell, small enough to be kept next to the tables.

Tables are made from records, so a grid may take many days and machines. A record is `CELL.json`, the summary of the
cell's last round with the command that made it, and `CELL.parquet`, the translation and the transcript of every test
utterance.
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
"""The folder next to the records where `benchmarks/hear_all.py` keeps its transcripts."""
SAID = ["utt_id", "src_lang", "tgt_lang", "text", "asr_text", "reference"]


@dataclass(frozen=True)
class Record:
    """The record of a cell.

    Attributes:
        place: the path of its Parquet file.
        summary: the summary of its last round.
        start: the digest of the policy that its rounds started from; None if it made one.
        policy: the digest of its own policy.
        learned: the number of pairs that the last round learned from.
        text_share: of the words of the speech that round 0 learned from (0..1), how many were text; None without any.
    """

    place: Path
    summary: Summary
    start: str | None
    policy: str
    learned: int
    text_share: float | None = None

    def said(self, direction: str) -> list[dict[str, Any]]:
        """Return the test utterances of a direction (`fr-en`), ordered by id, with the columns of SAID."""
        rows = pq.read_table(self.place).sort_by("utt_id").to_pylist()
        return [row for row in rows if f"{row['src_lang']}-{row['tgt_lang']}" == direction]


def keep(folder: Path, name: str, run: Path, number: int, made: dict[str, Any]) -> None:
    """Write the record of a finished run. The JSON is written last, so a record is complete or missing.

    Args:
        folder: the folder of the records.
        name: the name of the cell.
        run: the folder of the run.
        number: its last round.
        made: the `command` that made the run, and the name of the cell that it `start`ed from.
    """
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
    training = json.loads((policy / "training.json").read_text())
    told |= {"learned": training.get("pairs", 0), "text_share": training.get("text_share")}
    told["summary"] = json.loads((run / f"round-{number}" / "summary.json").read_text())
    part = folder / f".{name}.json.part"
    part.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n")
    os.replace(part, folder / f"{name}.json")


def kept(folder: Path, name: str) -> Record | None:
    """Return the record of a cell; None if it has none."""
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
        told.get("text_share"),  # records of tables A to F have none
    )


def wholly_heard(folder: Path, told: dict[str, Record]) -> dict[str, Record]:
    """Return, as `heard/CELL`, the records of cells with a transcript of every test utterance.

    Transcripts of other texts than the record's belong to another run and are left out.
    """
    files = {name: folder / HEARD / f"{name}.parquet" for name in told}
    found = {name: replace(told[name], place=place) for name, place in files.items() if place.exists()}
    return {
        f"{HEARD}/{name}": record for name, record in found.items() if texts(record.place) == texts(told[name].place)
    }


def texts(place: Path) -> dict[str, str]:
    """Return the translation of each test utterance by id, from a Parquet file with the columns of SAID."""
    return {row["utt_id"]: row["text"] for row in pq.read_table(place, columns=["utt_id", "text"]).to_pylist()}
