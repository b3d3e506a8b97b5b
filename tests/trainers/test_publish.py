"""A policy is published whole and with its identity, and is never taken for another one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from factory.models.weights import policy_digest, weights_digest
from factory.passes.weights import compute_digests
from factory.recipe.training import PreferenceConfig, SftConfig
from factory.storage.files import filesystem
from factory.storage.lease import current
from trainers.errors import TrainingError
from trainers.job import Job, LocalJob
from trainers.preference import train_preference
from trainers.publish import (
    is_published,
    make_identity,
    open_work_folder,
    publish,
    read_summary,
    remove_work_folder,
    saver,
    train_policy,
)
from trainers.sft import train_sft

SUMMARY = {"step": 3, "seed": 1}
CURVE = [{"step": 1, "loss": 2.0}, {"step": 3, "loss": 1.0}]


def local_job(folder: Path) -> LocalJob[None]:
    """Return a training whose work folder holds an identity."""
    work = folder / "policy.work"
    open_work_folder(work, {"seed": 1})
    return LocalJob(None, 1, {}, folder / "policy", work)


def publish_tiny(tiny: Path, job: LocalJob[None]) -> None:
    """Publish the tiny policy."""
    model = AutoModelForCausalLM.from_pretrained(tiny)
    model.config.use_cache = False
    publish(saver(model, AutoTokenizer.from_pretrained(tiny)), job, CURVE, SUMMARY)


def test_the_identity_has_the_settings_that_count_and_all_others() -> None:
    identity = make_identity(SftConfig(lr=0.5, threads=9), ("threads", "compile"), seed=4, workers=None)
    assert identity["lr"] == 0.5 and identity["seed"] == 4 and identity["workers"] is None
    assert "threads" not in identity and "compile" not in identity and "log_every" in identity


def test_manifests_and_identities_name_a_policy_by_the_same_digest(
    tiny: Path, sequences: Path, pairs: Path, tmp_path: Path
) -> None:
    """A policy that a training made is named in the manifests of its candidates and in the identity of the next one."""
    first, second = tmp_path / "first", tmp_path / "second"
    train_sft(sequences, tiny, first, SftConfig(epochs=1, compile=False))
    train_preference(pairs, first, second, PreferenceConfig(batch=12))
    supervised, preferred = (json.loads((policy / "identity.json").read_text()) for policy in (first, second))
    assert supervised["start"] == policy_digest(tiny) == compute_digests({"policy": str(tiny)})["policy"]
    assert preferred["policy"] == policy_digest(first) == compute_digests({"policy": str(first)})["policy"]
    assert supervised["data"] == weights_digest(sequences) and preferred["pairs"] == weights_digest(pairs)
    assert len({policy_digest(policy) for policy in (tiny, first, second)}) == 3


def test_a_policy_is_published_whole(tiny: Path, tmp_path: Path) -> None:
    job = local_job(tmp_path)
    (job.work / "adapter").mkdir()
    (job.work / "adapter/adapter_config.json").write_text("{}")
    job.out.mkdir()
    (job.out / "half a policy").touch()
    publish_tiny(tiny, job)
    assert {path.name for path in job.out.iterdir()} >= {"config.json", "model.safetensors", "tokenizer.json"}
    assert not (job.out / "half a policy").exists() and not (job.work / "policy").exists()
    assert (job.out / "adapter/adapter_config.json").read_text() == "{}" and not (job.work / "adapter").exists()
    assert [json.loads(line) for line in (job.out / "training.jsonl").read_text().splitlines()] == CURVE
    assert json.loads((job.out / "training.json").read_text()) == read_summary(job.out) == SUMMARY
    assert json.loads((job.out / "identity.json").read_text()) == {"seed": 1}
    assert json.loads((job.out / "config.json").read_text())["use_cache"] is True
    assert policy_digest(job.out) == policy_digest(tiny)


def test_only_the_first_worker_publishes(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = local_job(tmp_path)
    monkeypatch.setattr("trainers.workers.rank", lambda: 1)
    publish_tiny(tiny, job)
    assert not job.out.exists()


def test_a_work_folder_belongs_to_one_identity(tmp_path: Path) -> None:
    work = tmp_path / "policy.work"
    for _ in range(2):
        open_work_folder(work, {"lr": 1.0, "seed": 1, "targets": ("a", "b")})
    assert json.loads((work / "identity.json").read_text())["targets"] == ["a", "b"]
    sentence = (
        r"policy.work holds an unfinished .* another lr \(1.0 there, None now\), seed \(1 there, 2 now\); delete it"
    )
    with pytest.raises(TrainingError, match=sentence):
        open_work_folder(work, {"seed": 2, "targets": ["a", "b"]})
    with pytest.raises(TrainingError, match=r"another workers \(None there, 2 now\)"):
        open_work_folder(work, {"lr": 1.0, "seed": 1, "targets": ["a", "b"], "workers": 2})


def test_a_work_folder_has_a_lease_until_it_is_removed(tmp_path: Path) -> None:
    work = tmp_path / "policy.work"
    open_work_folder(work, {"seed": 1})
    assert current(filesystem(str(work))[1]) is not None
    remove_work_folder(work)
    assert current(filesystem(str(work))[1]) is None and not work.exists()


def test_a_published_policy_is_recognized_by_its_last_file_and_its_identity(tmp_path: Path) -> None:
    out, identity = tmp_path / "policy", {"seed": 1, "workers": 1}
    assert not is_published(out, identity)
    out.mkdir()
    (out / "identity.json").write_text(json.dumps(identity))
    assert not is_published(out, identity)
    (out / "config.json").write_text("{}")
    assert is_published(out, identity)
    assert is_published(out, identity | {"workers": 8})
    with pytest.raises(TrainingError, match=r"policy was trained with another seed \(1 there, 2 now\); give another"):
        is_published(out, identity | {"seed": 2})
    (out / "identity.json").unlink()
    assert is_published(out, identity | {"seed": 2})


def test_a_policy_is_trained_once(tiny: Path, tmp_path: Path) -> None:
    calls = []

    def train(job: LocalJob[str]) -> None:
        calls.append(job)
        publish_tiny(tiny, LocalJob(None, job.seed, job.inputs, job.out, job.work))

    job = Job("settings", 1, {"policy": str(tiny)}, tmp_path / "policy")
    for _ in range(2):
        assert train_policy(train, job, {"seed": 1}, None) == SUMMARY
    assert calls == [LocalJob("settings", 1, {"policy": tiny}, tmp_path / "policy", tmp_path / "policy.work")]
    assert [path.name for path in tmp_path.iterdir()] == ["policy"]
