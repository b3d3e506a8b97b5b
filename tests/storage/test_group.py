"""Several datasets that one plan writes."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest
import ray.data

from factory.storage.dataset import DatasetDir
from factory.storage.group import DatasetGroup, write_parts
from factory.storage.manifest import StoreError

SCHEMA = pa.schema([pa.field("utt_id", pa.string()), pa.field("text", pa.string())])
TABLE = pa.table({"utt_id": ["a", "b", "c"], "text": ["1", "2", "3"]}, schema=SCHEMA)


def start(folder: Path) -> DatasetGroup:
    """Return a group of two datasets that this process writes."""
    datasets = {name: DatasetDir(str(folder / name), SCHEMA) for name in ("old", "new")}
    for name, dataset in datasets.items():
        assert dataset.start({"stage": name})
    return DatasetGroup(datasets, "policy")


def test_the_rows_that_each_dataset_lacks_name_it(tmp_path: Path) -> None:
    group = start(tmp_path)
    group.datasets["old"].append(TABLE.slice(1, 1))
    rows = group.unfinished(TABLE)
    assert (len(group), group.num_done) == (2, 1)
    assert rows.schema == SCHEMA.append(pa.field("policy", pa.string()))
    assert rows.select(["utt_id", "policy"]).to_pylist() == [
        {"utt_id": utt_id, "policy": policy}
        for policy, utt_id in (("old", "a"), ("old", "c"), ("new", "a"), ("new", "b"), ("new", "c"))
    ]
    group.datasets["new"].append(TABLE)
    assert group.unfinished(TABLE)["policy"].to_pylist() == ["old", "old"] and group.num_done == 1 + 1 + 3


def test_a_block_becomes_one_part_for_each_dataset_in_it(tmp_path: Path) -> None:
    group = start(tmp_path)
    writers = {name: dataset.writer() for name, dataset in group.datasets.items()}
    reports = write_parts(group.unfinished(TABLE).slice(2, 3), writers, "policy")["report"].to_pylist()
    assert [(json.loads(report)["rows"], json.loads(report)["path"].split("/")[-2]) for report in reports] == [
        (1, "old"),
        (2, "new"),
    ]
    assert group.datasets["old"].done_ids() == {"c"} and group.datasets["new"].done_ids() == {"a", "b"}
    assert write_parts(group.unfinished(TABLE).slice(0, 1), writers, "policy").num_rows == 1, "only the old one lacks a"


def test_every_row_is_written_to_the_dataset_that_it_names(local_ray: None, tmp_path: Path) -> None:
    group = start(tmp_path)
    group.datasets["old"].append(TABLE.slice(1, 1))
    rows = group.unfinished(TABLE)
    mixed = ray.data.from_arrow(rows).repartition(target_num_rows_per_block=2, strict=True)
    reports = list(group.write(mixed))
    assert sum(report.rows for report in reports) == 5
    group.publish(["a", "b", "c"])
    for dataset in group.datasets.values():
        assert sorted(dataset.rows()["text"].to_pylist()) == ["1", "2", "3"]
        assert dataset.rows().schema.names == SCHEMA.names
        assert not Path(dataset.path, "_lease.json").exists()


def test_all_datasets_are_published_with_what_they_were_made_with(tmp_path: Path) -> None:
    group = start(tmp_path)
    for dataset in group.datasets.values():
        dataset.append(TABLE)
    group.publish(iter("abc"), {"dtype": "float32"})
    for dataset in group.datasets.values():
        assert dataset.manifest().rows == 3 and dataset.manifest().versions["dtype"] == "float32"


def test_no_dataset_is_published_that_lacks_a_row(tmp_path: Path) -> None:
    group = start(tmp_path)
    group.datasets["old"].append(TABLE)
    with pytest.raises(StoreError, match="new"):
        group.publish(["a", "b", "c"])
    assert group.datasets["old"].is_finished() and not group.datasets["new"].is_finished()
    group.release()
    assert not Path(group.datasets["new"].path, "_lease.json").exists()
