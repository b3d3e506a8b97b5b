"""Rounds as a Ray job: what is sent, what is refused, and the exit codes. The cluster is real, on this machine."""

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

from cluster.submit import (
    SubmitError,
    base_name,
    connect,
    follow,
    main,
    next_name,
    package,
    report_end,
    shared_run,
)
from factory.arguments import INCOMPLETE
from factory.recipe.paths import ROOT
from tests.cluster.nodes import NODE, nodes
from tests.limits import HANG_S
from tests.toy_run import toy_run

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def address(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The dashboard of the cluster, which submissions go to."""
    url = f"http://{cluster.webui_url}"
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", url)
    yield url


@contextmanager
def server_with(status: int, body: str) -> Iterator[str]:
    """Yield the URL of a server that gives the same answer to every request."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    server = HTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def client_with(*jobs: tuple[str | None, str]) -> Any:
    """Return a client of a cluster that has these jobs, each an id and a status."""
    listed = [SimpleNamespace(submission_id=name, status=status) for name, status in jobs]
    return SimpleNamespace(list_jobs=lambda: listed)


def test_the_code_is_sent_and_nothing_else(tmp_path: Path) -> None:
    names = set(zipfile.ZipFile(package(ROOT, tmp_path)).namelist())
    assert names >= {
        "factory/run_round.py",
        "factory/planning/preflight.py",
        "recipes/prost_llm_3b.yaml",
        "trainers/sft.py",
    }
    assert {name.split("/")[0] for name in names} == {"cluster", "factory", "recipes", "schemas", "trainers"}
    assert (tmp_path / "code.zip").stat().st_size < 2e6


def test_data_among_the_code_is_refused(tmp_path: Path) -> None:
    (tmp_path / "root/factory").mkdir(parents=True)
    (tmp_path / "root/factory/speech.bin").write_bytes(os.urandom(6_000_000))
    with pytest.raises(SubmitError, match=r"has 6.0 MB, more than the limit of 5 MB: move everything that is not code"):
        package(tmp_path / "root", tmp_path)


def test_an_address_without_a_cluster_is_an_error(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "unset")  # main sets it, and this test restores it
    assert main(["--round", "1", "--address", "http://127.0.0.1:9"]) == 2
    assert "no Ray cluster answers at http://127.0.0.1:9: start one with" in capsys.readouterr().err


def test_a_driver_without_its_cluster_ends_at_once(tmp_path: Path) -> None:
    command = [sys.executable, "factory/run_round.py", "--round", "1", "--run", str(tmp_path)]
    environment = os.environ | {"RAY_ADDRESS": "127.0.0.1:9"}
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=HANG_S)
    assert done.returncode == 2
    assert "no Ray cluster answers at RAY_ADDRESS=127.0.0.1:9" in done.stderr


def test_a_cluster_of_another_version_is_refused(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "unset")
    with server_with(200, json.dumps({"version": "4", "ray_version": "2.40.0", "ray_commit": ""})) as url:
        assert main(["--round", "1", "--address", url]) == 2
    assert "runs Ray 2.40.0, and this machine has 2." in capsys.readouterr().err


def test_a_cluster_that_requires_a_token_is_refused(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "unset")
    with server_with(401, "Unauthorized: Missing authentication token") as url:
        assert main(["--round", "1", "--address", url]) == 2
    assert f"the cluster at {url} requires a token: set RAY_AUTH_MODE=token" in capsys.readouterr().err


def test_a_job_runs_the_code_that_was_sent(address: str, tmp_path: Path, capsys: Captured) -> None:
    assert main(["--round", "1", "--run", toy_run(tmp_path / "toy").uri]) == 0
    out = capsys.readouterr().out
    assert "submitted as roundtrip-toy-" in out and "round 1 of" in out and "is finished" in out


def test_a_pool_that_no_node_can_hold_is_refused_before_anything_starts(
    address: str, tmp_path: Path, capsys: Captured
) -> None:
    large = ["--set", "resources.translator.num_gpus=7", "--set", "resources.scorer.actors=40"]
    assert main(["--round", "1", "--run", str(tmp_path / "run"), *large]) == 2
    captured = capsys.readouterr()
    assert "produce: no node has room for one translator (1 CPU, 7 GPU)" in captured.out
    assert "2 CPU, 1 GPU, T4" in captured.out and "resources.translator.num_cpus" in captured.out
    assert "ended with exit code 2: the end of its log says what to fix" in captured.err
    assert not (tmp_path / "run/units").exists()


def test_a_running_round_is_not_submitted_twice_and_a_stopped_one_is(
    address: str, tmp_path: Path, capsys: Captured
) -> None:
    client, base = connect(address), base_name(str(tmp_path / "run"), range(1, 2))
    name = next_name(client, base)
    client.submit_job(entrypoint="echo begun; sleep 100", submission_id=name)
    assert main(["--round", "1", "--run", str(tmp_path / "run")]) == 2
    assert f"{name} is running already; follow it with `ray job logs --follow {name}`" in capsys.readouterr().err
    assert client.stop_job(name)
    assert follow(client, name) == 3
    assert "was stopped; finished work is kept: submit it again to continue" in capsys.readouterr().err
    assert next_name(client, base) == f"{base}-try-2"


def test_a_recipe_outside_the_repository_is_refused(address: str, tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "own.yaml").write_text("name: own")
    assert main(["--round", "1", "--recipe", str(tmp_path / "own.yaml")]) == 2
    assert f"own.yaml is not sent with the code: put it into {ROOT / 'recipes'}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("running", "wanted", "common"),
    [
        ((1, 1), (1, 3), " and makes round 1 too"),
        ((1, 3), (3, 3), " and makes round 3 too"),
        ((2, 4), (1, 3), " and makes round 2 too"),
        ((1, 3), (1, 3), ""),
    ],
)
def test_a_round_among_several_is_not_submitted_twice(
    running: tuple[int, int], wanted: tuple[int, int], common: str
) -> None:
    name = f"{base_name('s3://bucket/run/', range(running[0], running[1] + 1))}-try-1"
    base = base_name("s3://bucket/run", range(wanted[0], wanted[1] + 1))
    for status in ("RUNNING", "PENDING"):
        with pytest.raises(SubmitError, match=f"^{name} is running already{common}; follow it"):
            next_name(client_with((name, status)), base)
    for status in ("FAILED", "STOPPED", "SUCCEEDED"):
        assert next_name(client_with((name, status)), base) == f"{base}-try-{1 + (running == wanted)}"


def test_other_rounds_other_runs_and_other_jobs_are_no_duplicates() -> None:
    base = base_name("s3://bucket/run", range(1, 4))
    bases = (base_name("s3://bucket/run", range(4, 5)), base_name("s3://bucket/other", range(1, 4)))
    others = (*bases, "raysubmit_x", "a-round-of-golf", "x-round-3-1", None)
    client = client_with(*((name and f"{name}-try-1", "RUNNING") for name in others))
    assert next_name(client, base) == f"{base}-try-1"


def test_a_slash_at_the_end_of_a_run_changes_nothing(tmp_path: Path) -> None:
    assert shared_run("s3://bucket/run/") == shared_run("s3://bucket/run") == "s3://bucket/run"
    assert shared_run(f"{tmp_path}/") == str(tmp_path)
    name = base_name("s3://bucket/run", range(1, 2))
    assert base_name("s3://bucket/run/", range(1, 2)) == name != base_name("s3://b/run", range(1, 2))


def test_a_job_that_its_cluster_loses_is_reported(address: str, capsys: Captured) -> None:
    client = connect(address)
    assert follow(client, client.submit_job(entrypoint="kill -9 $$")) == 4
    assert "was lost by the cluster (" in capsys.readouterr().err


def test_a_head_that_is_lost_is_reported(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    with nodes(NODE) as lost:
        monkeypatch.setenv("RAY_API_SERVER_ADDRESS", f"http://{lost.webui_url}")
        client = connect(None)
        name = client.submit_job(entrypoint="sleep 100")
        end = threading.Timer(3, lost.remove_node, [lost.head_node], {"allow_graceful": False})
        end.start()
        assert follow(client, name) == 4
        end.join()
    assert f"{name} cannot be followed any more" in capsys.readouterr().err


def test_ray_job_submit_runs_a_round_too(address: str, tmp_path: Path) -> None:
    command = ["job", "submit", "--", "python", "factory/run_round.py", "--round", "3", "--run", str(tmp_path)]
    ray_command = [sys.executable, "-m", "ray.scripts.scripts", *command]
    done = subprocess.run(ray_command, capture_output=True, text=True, timeout=HANG_S)
    assert done.returncode == 1  # the command of Ray has no other exit code
    assert f"python factory/run_round.py --round 2 --run {tmp_path}" in done.stdout


@pytest.mark.parametrize(
    ("driver_code", "code", "words"),
    [
        (2, 2, "ended with exit code 2: the end of its log says what to fix"),
        (INCOMPLETE, 5, "ended with exit code 5: its rounds are finished; its log says what is missing"),
        (1, 1, "ended with exit code 1: the error is at the end of its log; finished work is kept"),
        (7, 1, "ended with exit code 7: the error is at the end of its log; finished work is kept"),
        (-9, 4, "was lost by the cluster (killed); finished work is kept"),
        (None, 4, "was lost by the cluster (killed); finished work is kept"),
    ],
)
def test_the_end_of_a_job_is_a_code_and_a_sentence(
    driver_code: int | None, code: int, words: str, capsys: Captured
) -> None:
    job = JobDetails(
        type=JobType.SUBMISSION,
        status=JobStatus.FAILED,
        entrypoint="x",
        driver_exit_code=driver_code,
        message="killed",
    )
    assert report_end("a job", job) == code
    assert f"roundtrip submit: a job {words}" in capsys.readouterr().err
    finished = JobDetails(type=JobType.SUBMISSION, status=JobStatus.SUCCEEDED, entrypoint="x")
    assert report_end("a job", finished) == 0 and capsys.readouterr().err == ""
