"""Trainings whose policy lies in an object store: whole there or not there, and none lost with its machine.

On Ray Train they run in `tests/test_run_round.py`.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file

from factory.models.weights import resolve
from factory.storage.files import exists, filesystem
from tests.s3 import s3_server
from trainers.preference import train_preference
from trainers.remote import Keeper
from trainers.sft import Sft, train_sft

SETTINGS = {"epochs": 4, "tokens": 512, "save_every": 5, "log_every": 5, "compile": False, "threads": 1}


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """An S3 server, and a cache folder of this test."""
    monkeypatch.setenv("ROUNDTRIP_CACHE", str(tmp_path / "cache"))
    with s3_server() as uri:
        yield uri


def files(uri: str) -> set[str]:
    """Return the names of all files below a URI."""
    fs, path = filesystem(uri)
    found = fs.get_file_info(pafs.FileSelector(path, recursive=True, allow_not_found=True))
    return {info.path.removeprefix(path + "/") for info in found if info.is_file}


def test_a_training_that_lost_its_machine_goes_on_on_another(
    store: str, tiny: Path, sequences: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train_sft(sequences, tiny, tmp_path / "whole", settings=SETTINGS, seed=4)
    out = f"{store}/run/round-0/policy"
    with monkeypatch.context() as patched:
        learn = Sft._learn

        def until(self: Sft, batch: object) -> float:
            if self.step == 12:
                raise KeyboardInterrupt
            return learn(self, batch)

        patched.setattr(Sft, "_learn", until)
        with pytest.raises(KeyboardInterrupt):
            train_sft(sequences, tiny, out, settings=SETTINGS, seed=4)
    assert {"checkpoint.pt", "identity.json", "pulse"} <= files(f"{out}.work")
    assert files(out) == set()
    shutil.rmtree(tmp_path / "cache")
    with pytest.raises(
        ValueError, match=r"s3://roundtrip/run/round-0/policy.work holds .* another seed \(4 there, 5 now\)"
    ):
        train_sft(sequences, tiny, out, settings=SETTINGS, seed=5)

    told = train_sft(sequences, tiny, out, settings=SETTINGS | {"log_every": 1}, seed=4)
    whole, made = load_file(tmp_path / "whole/model.safetensors"), load_file(resolve(out) / "model.safetensors")
    for name, weight in whole.items():
        assert torch.equal(weight, made[name]), name
    steps = [json.loads(line)["step"] for line in (resolve(out) / "training.jsonl").read_text().splitlines()]
    assert steps[:4] == [5, 10, 11, 12]  # the two steps behind the checkpoint were done again
    assert files(f"{out}.work") == set() and not list((tmp_path / "cache/training").iterdir())
    assert train_sft(sequences, tiny, out, settings=SETTINGS, seed=4) == told  # published: left alone


def test_checkpoint_folders_are_kept_whole(
    store: str, tiny: Path, tmp_path: Path, interrupted: Callable[[], Any]
) -> None:
    said = "<|com|><|fr|><|sosp|><|u1|><|eosp|><|en|>"
    rows = [{"prompt": said, "chosen": f"gare <|sosp|><|u{n}|><|eosp|>", "rejected": "train"} for n in range(16)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "pairs.parquet")
    settings: dict[str, Any] = {"batch": 4, "epochs": 2, "held_out": 0.0, "save_every": 2, "precision": "fp32"}
    out = f"{store}/policy"
    with interrupted():
        train_preference(tmp_path / "pairs.parquet", tiny, out, settings=settings)
    assert {name.split("/")[0] for name in files(f"{out}.work") if name.startswith("checkpoint")} == {"checkpoint-4"}
    told = train_preference(tmp_path / "pairs.parquet", tiny, out, settings=settings)
    steps = [json.loads(line)["step"] for line in (resolve(out) / "training.jsonl").read_text().splitlines()]
    assert told["step"] == 8 and steps[:8] == list(range(1, 9)) and exists(f"{out}/adapter/adapter_config.json")


def test_the_newest_checkpoint_replaces_the_one_before(store: str, tmp_path: Path) -> None:
    keeper = Keeper(tmp_path, f"{store}/work")
    for number in (2, 4):
        folder = tmp_path / f"checkpoint-{number}"
        folder.mkdir()
        (folder / "weights").write_bytes(b"x" * number)
        keeper.keep()  # not whole yet
        assert f"checkpoint-{number}/weights" not in files(f"{store}/work")
        (folder / "trainer_state.json").write_text(json.dumps({"global_step": number}))
        keeper.keep()
        assert files(f"{store}/work") == {f"checkpoint-{number}/weights", f"checkpoint-{number}/trainer_state.json"}
