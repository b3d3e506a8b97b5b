"""Commands that know the Hub of a test; they run in one process of their own, because clients read its address once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from factory.planning.places import Round
from tests.export.hub import TOKEN, Hub
from tests.limits import HANG_S
from tests.toy_run import ROOT

RUN = """
import contextlib, io, json, os, sys
from factory.cli import main
results = []
for arguments, token in json.loads(sys.argv[1]):
    os.environ["HF_TOKEN"] = token
    with contextlib.redirect_stderr(io.StringIO()) as error:
        code = main(arguments)
    results.append([code, error.getvalue()])
print(json.dumps(results))
"""


class Result(NamedTuple):
    """The exit code of a command, and what it printed on stderr."""

    code: int
    error: str


def environment(hub: Hub, tmp_path: Path) -> dict[str, str]:
    """Return the environment of a machine that knows the Hub and has a token."""
    own = {"HF_ENDPOINT": hub.endpoint, "HF_TOKEN": TOKEN, "HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "0"}
    return os.environ | own | {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_IMPLICIT_TOKEN": "0"}


def export_arguments(round_: Round, to: str, *more: str) -> list[str]:
    """Return the arguments of `roundtrip` that export a round."""
    return ["export", "--run", round_.run.uri, "--round", str(round_.number), "--to", to, *more]


def run_exports(hub: Hub, tmp_path: Path, *commands: tuple[list[str], str]) -> list[Result]:
    """Run commands (their arguments and the token) one after the other."""
    process = [sys.executable, "-c", RUN, json.dumps(commands)]
    done = subprocess.run(
        process, cwd=ROOT, env=environment(hub, tmp_path), capture_output=True, text=True, timeout=HANG_S
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [Result(*result) for result in json.loads(done.stdout.splitlines()[-1])]
