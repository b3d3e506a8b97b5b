"""A push to a Hub is one commit: it can be interrupted and repeated, and a refusal publishes nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from factory.export.hub import MAX_WAIT_S, wait_s
from factory.planning.places import Round
from tests.export.client import environment, export_arguments, run_exports
from tests.export.hub import TOKEN, Hub
from tests.export.test_export import load
from tests.limits import HANG_S
from tests.toy_run import ROOT

LOAD = """
import json, sys
from pathlib import Path
from tests.export.test_export import load
print(json.dumps([row["pair_id"] + row["chosen"] for row in load(sys.argv[1], Path(sys.argv[2]))["train"]]))
"""


def test_an_interrupted_push_is_repeated_and_loaded_back(
    round_: Round, exported: Path, hub: Hub, tmp_path: Path
) -> None:
    arguments = export_arguments(round_, "hf://datasets/someone/set")
    hub.hang_after = 1  # of three files: train, test and the judgements
    command = [sys.executable, "-m", "factory.cli", *arguments]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, cwd=ROOT, env=environment(hub, tmp_path), **quiet) as first:
        while not hub.hanging.wait(1):
            assert first.poll() is None, "the export ended before the Hub could hang"
        first.kill()
    assert hub.files("someone/set") == {}
    assert len(hub.uploaded) == 1  # one file is uploaded, nothing is published
    hub.hang_after, hub.busy = None, 2
    [again] = run_exports(hub, tmp_path, (arguments, TOKEN))
    assert again.code == 0, again.error
    repository = hub.repositories["dataset", "someone/set"]
    assert repository.private and repository.commits == 1 and hub.busy == 0
    assert len(hub.uploaded) == len(set(hub.uploaded)) == 3  # the first file was not uploaded again
    done = subprocess.run(
        [sys.executable, "-c", LOAD, "someone/set", str(tmp_path)],
        cwd=ROOT,
        env=environment(hub, tmp_path),
        capture_output=True,
        text=True,
        timeout=HANG_S,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    expected = load(str(exported), tmp_path / "local")["train"]
    assert json.loads(done.stdout.splitlines()[-1]) == [row["pair_id"] + row["chosen"] for row in expected]


def test_a_refusal_is_one_sentence_and_nothing_is_published(round_: Round, hub: Hub, tmp_path: Path) -> None:
    arguments = export_arguments(round_, "hf://datasets/someone/other", "--format", "trl")
    without, wrong = run_exports(hub, tmp_path, (arguments, ""), (arguments, "hf_wrong"))
    assert without.code == 2 and "there is no token to write hf://datasets/someone/other" in without.error
    assert wrong.code == 2 and "does not accept the token" in wrong.error and "hf_wrong" not in wrong.error
    hub.read_only = True
    [refused] = run_exports(hub, tmp_path, (arguments, TOKEN))
    hub.read_only = False
    assert refused.code == 2 and "use a token with write access" in refused.error and refused.error.count("\n") == 1
    assert ("dataset", "someone/other") not in hub.repositories


@pytest.mark.parametrize(
    ("headers", "attempt", "seconds"),
    [
        ({"Retry-After": "7"}, 0, 7.0),
        ({"Retry-After": "0.5"}, 3, 0.5),
        ({}, 0, 1.0),
        ({}, 3, 8.0),
        ({"Retry-After": "soon"}, 2, 4.0),
        ({"Retry-After": "9999"}, 0, MAX_WAIT_S),
        ({"ratelimit": '"api";r=0;t=200', "Retry-After": "7"}, 0, 201.0),
        ({"ratelimit": '"api";r=0;t=300'}, 0, MAX_WAIT_S),
        ({"ratelimit": '"api";r=3;t=200', "Retry-After": "7"}, 0, 7.0),  # another limit: requests are left of this one
        ({"ratelimit": '"api";r=3;t=200'}, 2, 4.0),
        ({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, 5, 0.0),
    ],
)
def test_a_busy_hub_says_how_long_to_wait(headers: dict[str, str], attempt: int, seconds: float) -> None:
    assert wait_s(headers, attempt) == seconds


def test_a_busy_hub_may_name_a_date() -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    assert 95 < wait_s({"Retry-After": later}, 0) <= 100
