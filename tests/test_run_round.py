"""The main job as a user runs it, on a few utterances of the embedded world: real speech, real models, every stage.

The round and its corpora are on an S3 server. The round starts on one machine and ends as a job of a Ray cluster.
`test_rounds.py` has round 0 and the other variants.
"""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from factory.export.export import export_policy
from factory.models.weights import policy_digest
from factory.planning.places import Round, Run
from factory.recipe.loading import load
from factory.run_round import main
from factory.storage.dataset import DatasetDir
from factory.storage.files import exists, filesystem, get_json
from tests.cluster.nodes import NODE, nodes
from tests.limits import HANG_S
from tests.s3 import s3_server

ROOT = Path(__file__).resolve().parent.parent
SMALL = {
    "corpus.limit": "6",
    "evaluate.s2t_utterances": "4",
    "evaluate.asr_utterances": "2",
    "select.delta": "0.0",
    "preference.epochs": "1",
}
STORED = {"corpus.mono": "s3://roundtrip/mono", "corpus.test": "s3://roundtrip/test"}


def make_command(*arguments: str, **changes: str) -> list[str]:
    """Return the command line of the main job with the phrasebook; `changes` are keys of the recipe."""
    settings = [part for key, value in (SMALL | changes).items() for part in ("--set", f"{key}={value}")]
    return [sys.executable, "factory/run_round.py", "--recipe", "recipes/phrasebook.yaml", *arguments, *settings]


def run_here(*arguments: str, **changes: str) -> int:
    """Run the main job in this process, and return its exit code."""
    return main(make_command(*arguments, **changes)[2:])


def read_json(uri: str) -> Any:
    """Return the content of a JSON file."""
    return get_json(*filesystem(uri))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, subprocess.CompletedProcess[str]]]:
    """Yield a round in an object store that was killed in produce and continued on a cluster."""
    with s3_server() as bucket:
        for name in ("mono", "test"):
            fs, path = filesystem(f"{bucket}/{name}")
            for lang in ("fr", "en"):
                speech = pq.read_table(ROOT / f"assets/phrasebook/{name}/{lang}.parquet").slice(0, 8)
                pq.write_table(speech, f"{path}/{lang}.parquet", filesystem=fs)
        yield _run_twice(f"{bucket}/runs/toy", tmp_path_factory.mktemp("first") / "log")


def _run_twice(uri: str, log: Path) -> tuple[str, subprocess.CompletedProcess[str]]:
    """Kill a round in produce, and continue it on a cluster; return its URI and the job."""
    first = subprocess.Popen(
        make_command("--round", "1", "--run", uri, **STORED),
        cwd=ROOT,
        start_new_session=True,
        stdout=log.open("w"),
        stderr=subprocess.STDOUT,
    )
    deadline = time.monotonic() + HANG_S
    while not exists(f"{uri}/round-1/scored/_progress.json") and time.monotonic() < deadline:
        assert first.poll() is None, log.read_text()[-3000:]
        time.sleep(0.2)
    os.killpg(first.pid, signal.SIGKILL)
    node = NODE | {"num_cpus": 6, "object_store_memory": 300 * 2**20}
    with nodes(node) as cluster:  # one node: a second one on this machine would delete the code of the job
        submit = [sys.executable, "-m", "factory.cli", "submit", "--address", f"http://{cluster.webui_url}"]
        arguments = make_command("--round", "1", "--run", uri, **STORED)[2:]
        return uri, subprocess.run([*submit, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=HANG_S)


@pytest.mark.slow
def test_a_killed_round_continues_and_loses_nothing(finished: tuple[str, subprocess.CompletedProcess[str]]) -> None:
    uri, again = finished
    assert again.returncode == 0, again.stdout[-5000:] + again.stderr[-3000:]
    for name in ("scored", "pairs"):
        ids = DatasetDir(f"{uri}/round-1/{name}").rows(["utt_id"])["utt_id"].to_pylist()
        assert len(ids) == len(set(ids)) == 12
    assert DatasetDir(f"{uri}/round-1/scored").manifest().attempts == 2


@pytest.mark.slow
def test_the_summary_has_all_scores_and_times(finished: tuple[str, subprocess.CompletedProcess[str]]) -> None:
    uri, again = finished
    summary = read_json(f"{uri}/round-1/summary.json")
    assert sum(summary["rows"].values()) == 12
    assert set(summary["pairs"]) == {"fr-en", "en-fr"}
    for score in ("s2t_bleu", "asr_bleu"):
        for direction in ("fr-en", "en-fr"):
            assert {"before", "after", "ci", "difference_ci", "signature"} <= set(summary[score][direction])
    assert set(summary["toplines"]) == {"fr", "en"}
    assert {"tokenize", "produce", "select", "train", "evaluate"} <= set(summary["wall_s"])
    assert summary["peak_rss_mb"] > 0
    assert "S2T BLEU" in again.stdout and "difference" in again.stdout
    assert "Starting execution of Dataset" not in again.stdout + again.stderr, "Ray Data's own log is not shown"
    assert exists(f"{uri}/round-1/samples/texts.tsv")
    assert exists(f"{uri}/round-1/report/index.html")


@pytest.mark.slow
def test_the_policy_of_a_run_in_an_object_store_is_exported(
    finished: tuple[str, subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    round_ = Round(Run(finished[0]), 1, load(ROOT / "recipes/phrasebook.yaml"))
    export_policy(round_, str(tmp_path / "policy"))
    assert {"config.json", "model.safetensors", "README.md"} <= {path.name for path in (tmp_path / "policy").iterdir()}
    recorded = round_.evaluation.manifest().inputs["policy"]
    assert recorded == policy_digest(round_.policy_uri) == policy_digest(tmp_path / "policy")


@pytest.mark.slow
def test_manifests_and_the_training_name_a_policy_by_the_same_digest(
    finished: tuple[str, subprocess.CompletedProcess[str]],
) -> None:
    uri, _ = finished
    identity = read_json(f"{uri}/round-1/policy/identity.json")
    assert identity["policy"] == DatasetDir(f"{uri}/round-1/scored").manifest().inputs["policy"]
    assert identity["policy"] != DatasetDir(f"{uri}/round-1/evaluation").manifest().inputs["policy"]


@pytest.mark.slow
def test_a_finished_round_does_nothing_and_another_recipe_is_refused(
    local_ray: None, finished: tuple[str, subprocess.CompletedProcess[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    uri, _ = finished
    assert run_here("--round", "1", "--run", uri, **STORED) == 0
    assert "is finished" in capsys.readouterr().out
    fs, path = filesystem(f"{uri}/round-1/summary.json")
    fs.delete_file(path)
    assert run_here("--round", "1", "--run", uri, **STORED, **{"translator.temperature": "0.5"}) == 2
    assert "translator.temperature: 0.7 in the folder, 0.5 in the recipe" in capsys.readouterr().err


def test_help_is_fast() -> None:
    before = cpu_s()
    timed = [sys.executable, "-X", "importtime", "factory/run_round.py", "--help"]
    done = subprocess.run(timed, cwd=ROOT, capture_output=True, text=True, timeout=HANG_S)
    assert done.returncode == 0 and "--dry-run" in done.stdout
    assert not any(heavy in done.stderr for heavy in (" torch\n", " ray\n", " vllm\n", " transformers\n"))
    assert cpu_s() - before < 10  # a second on most machines


def cpu_s() -> float:
    """Return the CPU seconds of all finished subprocesses."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_the_error_of_a_missing_round_names_its_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_here("--round", "3", "--run", str(tmp_path)) == 2
    assert f"python factory/run_round.py --round 2 --run {tmp_path}" in capsys.readouterr().err


def test_a_dry_run_prints_the_plan_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_here("--round", "1", "--run", str(tmp_path / "new"), "--dry-run") == 0
    printed = capsys.readouterr().out
    for word in ("tokenize mono", "produce", "select", "train", "evaluate", "1 translator"):
        assert word in printed
    assert not (tmp_path / "new").exists()


def test_the_error_of_an_unknown_key_names_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_here("--round", "1", **{"select.dleta": "0.2"}) == 2
    printed = capsys.readouterr().err
    assert "dleta" in printed and "delta" in printed
