"""Weights and folders in an object store: fetched once, fetched anew when they change, and never taken half."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from factory.models.weights import WeightsError, resolve, weights_digest
from factory.storage import transfer
from factory.storage.dataset import DatasetDir
from factory.storage.files import exists, filesystem, put
from factory.storage.manifest import StoreError
from factory.storage.transfer import fetched, remove, upload
from tests.s3 import s3_server


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """An S3 server, and a cache folder of this test."""
    monkeypatch.setenv("ROUNDTRIP_CACHE", str(tmp_path / "cache"))
    with s3_server() as uri:
        yield uri


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    """A folder with files in two levels."""
    (tmp_path / "policy/adapter").mkdir(parents=True)
    for name, content in (("config.json", "{}"), ("model.safetensors", "w" * 100), ("adapter/a.json", "[]")):
        (tmp_path / "policy" / name).write_text(content)
    return tmp_path / "policy"


def test_weights_of_a_store_are_fetched_once_and_again_when_they_change(store: str, policy: Path) -> None:
    uri = f"{store}/runs/policy"
    upload(policy, uri, "config.json")
    place = resolve(uri)
    assert place.name == "policy" and weights_digest(place) == weights_digest(policy)
    (place / "mine").touch()
    assert (resolve(uri) / "mine").exists()  # the same copy
    fs, path = filesystem(uri)
    put(fs, f"{path}/model.safetensors", b"others")
    assert (resolve(uri) / "model.safetensors").read_bytes() == b"others"
    assert resolve(f"{uri}/config.json").read_text() == "{}"
    assert resolve(f"{uri}/adapter/a.json#sha256={weights_digest(policy / 'adapter/a.json')}").read_text() == "[]"


def test_nothing_there_is_said_and_nothing_is_left(store: str, tmp_path: Path) -> None:
    with pytest.raises(
        WeightsError, match=r"the weights s3://roundtrip/none cannot be downloaded: nothing is at s3://roundtrip/none"
    ):
        resolve(f"{store}/none")
    assert not (tmp_path / "cache/fetched").exists()
    remove(f"{store}/none")


def test_the_last_file_says_that_a_folder_is_whole(store: str, policy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uri, push = f"{store}/policy", transfer.push
    with monkeypatch.context() as patched:

        def torn(file: Path, *given: object) -> None:
            if file.name != "model.safetensors":
                push(file, *given)  # type: ignore[arg-type]

        patched.setattr(transfer, "push", torn)
        with pytest.raises(StoreError, match=r"policy did not arrive whole \(model.safetensors\)"):
            upload(policy, uri, "config.json")
    assert not exists(f"{uri}/config.json")


def test_any_storage_that_fsspec_knows_serves_as_well(tmp_path: Path, policy: Path) -> None:
    upload(policy, "memory://bucket/policy", "config.json")
    assert weights_digest(fetched("memory://bucket/policy", tmp_path / "kept")) == weights_digest(policy)
    assert not DatasetDir("memory://bucket/units").is_finished()
    with pytest.raises(StoreError, match=r"nowhere://x leads to no storage that is known here .*give a path, s3://"):
        filesystem("nowhere://x")
