"""The Croissant metadata of an export, validated and read by mlcroissant."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from factory.export.base import ExportedRound
from factory.export.croissant import CROISSANT, REPOSITORY, render_croissant
from tests.limits import HANG_S
from tests.toy_run import toy_recipe


def exported_round(format: str) -> ExportedRound:
    return {"splits": {}, "bytes": 1, "format": format, "judgements": 0, "section": f"made as {format}"}


READ = f"""
import json, sys
import mlcroissant
file, folder = sys.argv[1:]
dataset = mlcroissant.Dataset(file, mapping={{"{REPOSITORY}": folder}})
issues = dataset.metadata.ctx.issues
rows = [{{key: value.decode() if isinstance(value, bytes) else value for key, value in row.items()}}
        for row in dataset.records("round-1")]
print(json.dumps({{"issues": [*issues.errors, *issues.warnings], "rows": rows}}, default=float))
"""
"""Validates a file and reads its records, in a process of its own: mlcroissant changes the logging of its process."""


def test_mlcroissant_has_nothing_to_correct_and_reads_the_pairs(exported: Path) -> None:
    command = [sys.executable, "-c", READ, str(exported / CROISSANT), str(exported)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=HANG_S)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert not found["issues"] and "not standard" not in done.stderr, "the context is the standard one"
    read = {row["round-1/pair_id"]: row for row in found["rows"]}
    files = (exported / "data/round-1").glob("*.parquet")
    written = {row["pair_id"]: row for file in files for row in pq.read_table(file).to_pylist()}
    assert read.keys() == written.keys() and len(written) > 2
    for pair_id, row in written.items():
        for column in ("prompt", "chosen", "rejected", "chosen_text"):
            assert read[pair_id][f"round-1/{column}"] == row[column]
        assert read[pair_id]["round-1/margin"] == pytest.approx(row["margin"])


def test_it_says_what_the_card_says(exported: Path) -> None:
    metadata = json.loads((exported / CROISSANT).read_text("utf-8"))
    assert metadata["license"] == "apache-2.0" and metadata["inLanguage"] == ["fr", "en"]
    assert metadata["prov:wasDerivedFrom"] == ["assets/phrasebook/mono"]
    assert "selected by bleu with a gap above δ = 0.1" in metadata["rai:dataAnnotationProtocol"]


def test_rounds_are_in_order_and_only_parquet_has_records() -> None:
    rounds = {"10": exported_round("parquet"), "9": exported_round("trl")}
    metadata = json.loads(render_croissant(toy_recipe(), rounds, "https://example.com/set", "mit"))
    assert [part["@id"] for part in metadata["distribution"]] == [REPOSITORY, "files-of-round-9", "files-of-round-10"]
    patterns = [part["includes"] for part in metadata["distribution"][1:]]
    assert patterns == ["data/round-9/**", "data/round-10/*.parquet"]
    assert [part["@id"] for part in metadata["recordSet"]] == ["round-10"] and metadata["version"] == "10.0.0"
    assert metadata["rai:dataAnnotationProtocol"] == "made as trl\n\nmade as parquet"
    assert metadata["url"] == metadata["distribution"][0]["contentUrl"] == "https://example.com/set"
