"""Several datasets that one plan writes."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
import ray.data

from factory.storage.dataset import DatasetDir
from factory.storage.group import DatasetGroup
from factory.storage.manifest import StoreError

SCHEMA = pa.schema([pa.field("utt_id", pa.string()), pa.field("text", pa.string())])
TABLE = pa.table({"utt_id": ["a", "b", "c"], "text": ["1", "2", "3"]}, schema=SCHEMA)


def start(folder: Path) -> DatasetGroup:
    """Return a group of two datasets that this process writes."""
    datasets = {name: DatasetDir(str(folder / name), SCHEMA) for name in ("old", "new")}
    for name, dataset in datasets.items():
        assert dataset.start({"stage": name})
    return DatasetGroup(datasets, "policy")


def test_every_row_is_written_to_the_dataset_that_it_names(local_ray: None, tmp_path: Path) -> None:
    group = start(tmp_path)
    group.datasets["old"].append(TABLE.slice(1, 1))
    rows = group.unfinished(TABLE)
    assert (len(group), group.num_done) == (2, 1)
    assert rows.select(["utt_id", "policy"]).to_pylist() == [
        {"utt_id": utt_id, "policy": policy}
        for policy, utt_id in (("old", "a"), ("old", "c"), ("new", "a"), ("new", "b"), ("new", "c"))
    ]
    mixed = ray.data.from_arrow(rows).repartition(target_num_rows_per_block=2, strict=True)
    reports = list(group.write(mixed))
    assert sum(report.rows for report in reports) == 5
    group.publish(["a", "b", "c"], {"dtype": "float32"})
    for dataset in group.datasets.values():
        assert dataset.manifest().rows == 3 and dataset.manifest().versions["dtype"] == "float32"
        assert sorted(dataset.rows()["text"].to_pylist()) == ["1", "2", "3"]
        assert dataset.rows().schema.names == SCHEMA.names
        assert not Path(dataset.path, "_lease.json").exists()


def test_no_dataset_is_published_that_lacks_a_row(tmp_path: Path) -> None:
    group = start(tmp_path)
    group.datasets["old"].append(TABLE)
    with pytest.raises(StoreError, match="new"):
        group.publish(["a", "b", "c"])
    assert group.datasets["old"].is_finished() and not group.datasets["new"].is_finished()
    group.release()
    assert not Path(group.datasets["new"].path, "_lease.json").exists()
