"""A round as a Ray job: what is shipped, what is refused, what the exit codes say. The cluster is real, its nodes are on this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.job_submission import JobDetails, JobStatus, JobType

from cluster.submit import SubmitError, _ended, base_name, connect, follow, free_name, main, package, shared
from factory.arguments import UNMADE
from factory.run_round import ROOT
from tests.cluster.nodes import NODE, nodes
from tests.limits import HANG_S
from tests.toy_run import toy_run

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def address(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    url = f"http://{cluster.webui_url}"
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", url)
    yield url


@contextmanager
def answering(status: int, told: str) -> Iterator[str]:
    """Yield the URL of a server that gives the same answer to everything."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(told.encode())

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def jobs(*told: tuple[str | None, str]) -> Any:
    """Return a client of a cluster that has these jobs, each with its status."""
    listed = [SimpleNamespace(submission_id=name, status=status) for name, status in told]
    return SimpleNamespace(list_jobs=lambda: listed)


def test_the_code_is_shipped_and_nothing_else(tmp_path: Path) -> None:
    names = set(zipfile.ZipFile(package(ROOT, tmp_path)).namelist())
    assert {
        "factory/run_round.py",
        "factory/planning/preflight.py",
        "recipes/prost_llm_3b.yaml",
        "trainers/sft.py",
    } <= names
    assert {name.split("/")[0] for name in names} == {"cluster", "factory", "recipes", "schemas", "trainers"}
    assert (tmp_path / "code.zip").stat().st_size < 1e6


def test_data_among_the_code_is_refused(tmp_path: Path) -> None:
    (tmp_path / "root/factory").mkdir(parents=True)
    (tmp_path / "root/factory/speech.bin").write_bytes(os.urandom(6_000_000))
    with pytest.raises(
        SubmitError, match=r"would be 6.0 MB to ship, and 5 MB is the most: move what is no code out of"
    ):
        package(tmp_path / "root", tmp_path)


def test_an_address_without_a_cluster_is_said(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "unset")  # put back afterwards: submit sets it
    assert main(["--round", "1", "--address", "http://127.0.0.1:9"]) == 2
    assert "no Ray cluster answers at http://127.0.0.1:9: start one with" in capsys.readouterr().err


def test_a_driver_without_its_cluster_is_told_at_once(tmp_path: Path) -> None:
    command = [sys.executable, "factory/run_round.py", "--round", "1", "--run", str(tmp_path)]
    environment = os.environ | {"RAY_ADDRESS": "127.0.0.1:9"}
    told = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=HANG_S)
    assert told.returncode == 2
    assert "no Ray cluster answers at RAY_ADDRESS=127.0.0.1:9" in told.stderr


def test_a_cluster_of_another_version_is_refused(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "unset")
    with answering(200, json.dumps({"version": "4", "ray_version": "2.40.0", "ray_commit": ""})) as url:
        assert main(["--round", "1", "--address", url]) == 2
    assert "runs Ray 2.40.0, and this machine has 2." in capsys.readouterr().err


def test_a_cluster_that_asks_for_a_token_says_so(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "unset")
    with answering(401, "Unauthorized: Missing authentication token") as url:
        assert main(["--round", "1", "--address", url]) == 2
    assert f"the cluster at {url} asks for a token: set RAY_AUTH_MODE=token" in capsys.readouterr().err


def test_a_job_runs_the_code_that_was_shipped(address: str, tmp_path: Path, capsys: Captured) -> None:
    assert main(["--round", "1", "--run", toy_run(tmp_path / "toy").uri]) == 0
    told = capsys.readouterr().out
    assert "submitted as roundtrip-toy-" in told and "round 1 of" in told and "is finished" in told


def test_a_pool_that_no_node_can_hold_is_named_before_anything_starts(
    address: str, tmp_path: Path, capsys: Captured
) -> None:
    large = ["--set", "resources.translator.num_gpus=7", "--set", "resources.scorer.actors=40"]
    assert main(["--round", "1", "--run", str(tmp_path / "run"), *large]) == 2
    told = capsys.readouterr().out
    assert (
        "produce: no node has room for one translator (1 CPU, 7 GPU); of 3 nodes the largest have 2 CPU, 1 GPU, T4: lower"
        in told
    )
    assert "resources.translator.num_cpus, num_gpus or memory_gib" in told
    assert not (tmp_path / "run/units").exists()


def test_a_round_that_runs_is_not_submitted_twice_and_one_that_was_stopped_is(
    address: str, tmp_path: Path, capsys: Captured
) -> None:
    client, base = connect(address), base_name(str(tmp_path / "run"), range(1, 2))
    name = free_name(client, base)
    client.submit_job(entrypoint="echo begun; sleep 100", submission_id=name)
    assert main(["--round", "1", "--run", str(tmp_path / "run")]) == 2
    assert f"{name} is running already; follow it with `ray job logs --follow {name}`" in capsys.readouterr().err
    assert client.stop_job(name)
    assert follow(client, name) == 3
    assert "was stopped; what is written is kept: submit it again" in capsys.readouterr().err
    assert free_name(client, base) == f"{base}-try-2"


@pytest.mark.parametrize(
    ("running", "asked", "common"),
    [
        ((1, 1), (1, 3), " and makes round 1 too"),
        ((1, 3), (3, 3), " and makes round 3 too"),
        ((2, 4), (1, 3), " and makes round 2 too"),
        ((1, 3), (1, 3), ""),
    ],
)
def test_a_round_among_several_is_not_submitted_twice(
    running: tuple[int, int], asked: tuple[int, int], common: str
) -> None:
    name = f"{base_name('s3://bucket/run/', range(running[0], running[1] + 1))}-try-1"
    base = base_name("s3://bucket/run", range(asked[0], asked[1] + 1))
    with pytest.raises(SubmitError, match=f"^{name} is running already{common}; follow it"):
        free_name(jobs((name, "RUNNING")), base)
    assert free_name(jobs((name, "FAILED")), base) == f"{base}-try-{1 + (running == asked)}"


def test_other_rounds_other_runs_and_jobs_of_others_stop_nobody() -> None:
    base = base_name("s3://bucket/run", range(1, 4))
    ours = (base_name("s3://bucket/run", range(4, 5)), base_name("s3://bucket/other", range(1, 4)))
    others = (*ours, "raysubmit_x", "a-round-of-golf", "x-round-3-1", None)
    assert free_name(jobs(*((name and f"{name}-try-1", "RUNNING") for name in others)), base) == f"{base}-try-1"


def test_a_slash_at_the_end_of_a_run_changes_nothing(tmp_path: Path) -> None:
    assert shared("s3://bucket/run/") == shared("s3://bucket/run") and shared(f"{tmp_path}/") == str(tmp_path)
    assert (
        base_name("s3://bucket/run/", range(1, 2))
        == base_name("s3://bucket/run", range(1, 2))
        != base_name("s3://b/run", range(1, 2))
    )


def test_a_job_that_its_cluster_loses_is_told(address: str, capsys: Captured) -> None:
    client = connect(address)
    assert follow(client, client.submit_job(entrypoint="kill -9 $$")) == 4
    assert "the cluster lost" in capsys.readouterr().err


def test_a_head_that_is_lost_is_told(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    with nodes(NODE) as lost:
        monkeypatch.setenv("RAY_API_SERVER_ADDRESS", f"http://{lost.webui_url}")
        client = connect(None)
        name = client.submit_job(entrypoint="sleep 100")
        end = threading.Timer(3, lost.remove_node, [lost.head_node], {"allow_graceful": False})
        end.start()
        assert follow(client, name) == 4
        end.join()
    assert f"{name} cannot be followed any more" in capsys.readouterr().err


def test_ray_job_submit_by_itself_runs_a_round(address: str, tmp_path: Path) -> None:
    command = ["job", "submit", "--", "python", "factory/run_round.py", "--round", "3", "--run", str(tmp_path)]
    told = subprocess.run(
        [sys.executable, "-m", "ray.scripts.scripts", *command], capture_output=True, text=True, timeout=HANG_S
    )
    assert told.returncode == 1  # Ray's own command knows no other
    assert f"make it first: python factory/run_round.py --round 2 --run {tmp_path}" in told.stdout


@pytest.mark.parametrize(
    ("code", "ends", "words"),
    [(2, 2, "what to mend"), (UNMADE, UNMADE, "rounds are finished"), (1, 1, "the error"), (7, 1, "the error")],
)
def test_how_a_job_ended_is_said_and_handed_on(code: int, ends: int, words: str, capsys: Captured) -> None:
    job = JobDetails(type=JobType.SUBMISSION, status=JobStatus.FAILED, entrypoint="x", driver_exit_code=code)
    assert _ended("a job", job) == ends and words in capsys.readouterr().err
