"""roundtrip submit: a round as a Ray job. It ships the code, refuses what runs already, follows the log and says how it ended.

    roundtrip submit --round 2 --run s3://bucket/runs/phrasebook --address http://HEAD:8265

The exit code is 0 when the round is finished; 2 when there is something to mend, said in a sentence; 3 when the job was
stopped; 4 when the cluster lost it, or cannot be reached any more; 5 when the round is finished and a part of it
(samples, report, history) could not be made; 1 for any other end, with the traceback in the log.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import re
import shlex
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from factory.arguments import UNMADE, run_command, running_parser
from factory.run_round import ROOT
from factory.runtime.local_ray import TOKEN_HINT
from factory.runtime.redact import redact
from schemas.errors import RoundtripError
from schemas.fingerprint import json_digest

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

MOST_MB = 5.0
"""The code is some 0.6 MB: what is larger has data in it, which belongs on a volume or in an object store."""
OVER = ("SUCCEEDED", "FAILED", "STOPPED")
LOST, STOPPED = 4, 3


class SubmitError(RoundtripError):
    """A job that cannot be submitted; the message says what to do."""


def main(argv: list[str] | None = None) -> int:
    """Submit a round and follow it; returns the exit code: the job's, or 2 with one sentence on stderr where it cannot be submitted."""
    parser = running_parser("roundtrip submit", __doc__)
    parser.add_argument(
        "--address", metavar="URL", help="the cluster's dashboard, http://HEAD:8265 (default: $RAY_API_SERVER_ADDRESS)"
    )
    asked = parser.parse_args(argv)
    logging.getLogger("ray").setLevel(logging.WARNING)
    return run_command("roundtrip submit", lambda: _submitted(asked))


def _submitted(asked: argparse.Namespace) -> int:
    client = connect(asked.address)
    name = submit(client, asked)
    print(f"submitted as {name}; follow it from anywhere with: ray job logs --follow {name}", flush=True)
    return follow(client, name)


def connect(address: str | None) -> JobSubmissionClient:
    """Return a client of the cluster's job server.

    Raises SubmitError where none answers, or one that asks for a token or has another version of Ray.
    """
    import ray
    from ray.exceptions import AuthenticationError
    from ray.job_submission import JobSubmissionClient

    if address:
        os.environ["RAY_API_SERVER_ADDRESS"] = address  # Ray lets its variables win over the argument
    try:
        client = JobSubmissionClient(address)
    except AuthenticationError as error:
        raise SubmitError(f"the cluster at {address or 'this machine'} asks for a token: {TOKEN_HINT}") from error
    except ConnectionError as error:
        hint = "start one with `ray start --head`, or name its dashboard with --address http://HEAD:8265"
        raise SubmitError(f"no Ray cluster answers at {address or 'this machine'}: {hint}") from error
    theirs = client._server_ray_version  # the client asked for it; there is no other way without asking again
    if theirs != ray.__version__:
        hint = (
            f"install ray[default]=={ray.__version__} on its nodes (requirements/*.txt), or the cluster's version here"
        )
        raise SubmitError(
            f"the cluster at {client.get_address()} runs Ray {theirs}, and this machine has {ray.__version__}: {hint}"
        )
    return client


def submit(client: JobSubmissionClient, asked: argparse.Namespace) -> str:
    """Ship the code and start the round as a job; returns its submission id. Raises SubmitError where that round of the run goes on."""
    from factory.recipe.loading import load

    recipe = load(asked.recipe, asked.set)
    run = shared(asked.run or f"runs/{recipe.name}")
    name = free_name(client, base_name(run, asked.round))
    with tempfile.TemporaryDirectory() as scratch:
        code = package(ROOT, Path(scratch))
        try:
            return client.submit_job(
                entrypoint=shlex.join(["python", "factory/run_round.py", *_arguments(asked, run)]),
                submission_id=name,
                runtime_env={
                    "working_dir": str(code),
                    "env_vars": {"ROUNDTRIP_HOME": f"${{ROUNDTRIP_HOME}}{os.pathsep}{ROOT}"},
                },
                metadata={"run": redact(run), "round": _told(asked.round), "recipe": recipe.name},
            )
        except RuntimeError as error:
            if "already exists" in str(error):  # another submission came in between
                raise SubmitError(_twice(name)) from error
            raise


def shared(run: str) -> str:
    """Return the place of a run as every node will read it: a job's own folder goes when the job ends."""
    return run.rstrip("/") if "://" in run else str(Path(run).expanduser().absolute())


def base_name(run: str, rounds: range) -> str:
    """Return what the submission ids of these rounds of a run begin with."""

    run = run.rstrip("/")  # the same place, with or without
    slug = re.sub(r"[^A-Za-z0-9]+", "-", run.rpartition("/")[2]).strip("-")
    return f"roundtrip-{slug}-{json_digest(run)[:8]}-round-{_told(rounds)}"


def free_name(client: JobSubmissionClient, base: str) -> str:
    """Return the id for the next try of a round: Ray takes none twice, and a round that was killed or has failed may go on.

    Raises SubmitError while a job of the same run that has one of these rounds runs, or waits to.
    """
    tries, (run, asked) = 0, _parts(base)
    for job in client.list_jobs():
        other = (job.submission_id or "").rpartition("-try-")[0]
        tries += other == base
        their_run, theirs = _parts(other)
        if their_run == run and job.status not in OVER and (both := sorted({*asked} & {*theirs})):
            raise SubmitError(
                _twice(str(job.submission_id), "" if other == base else f" and makes round {both[0]} too")
            )
    return f"{base}-try-{tries + 1}"


def _parts(base: str) -> tuple[str, range]:
    """Return which run a submission id speaks of, and its rounds; none for a job of somebody else."""
    told = re.fullmatch(r"(.+)-round-(\d+)(?:-(\d+))?", base)
    return (told[1], range(int(told[2]), int(told[3] or told[2]) + 1)) if told else (base, range(0))


def package(root: Path, folder: Path) -> Path:
    """Zip what `.rayignore` leaves of the repository; raises SubmitError when that is more than code."""
    from ray._private.runtime_env.packaging import create_package

    code = folder / "code.zip"
    create_package(str(root), code, include_gitignore=True)
    size = code.stat().st_size / 1e6
    if size > MOST_MB:
        hint = "move what is no code out of cluster, factory, recipes, schemas and trainers; data belongs on a volume or in an object store"
        raise SubmitError(f"the code in {root} would be {size:.1f} MB to ship, and {MOST_MB:g} MB is the most: {hint}")
    return code


def follow(client: JobSubmissionClient, name: str) -> int:
    """Print a job's log as it is written; returns the exit code once it is over. Ctrl-C leaves the job alone."""
    from aiohttp import ClientError

    try:
        asyncio.run(_print_log(client, name))
        while (job := client.get_job_info(name)).status not in OVER:
            time.sleep(1)
    except KeyboardInterrupt:
        print(f"\n{name} goes on; end it with: ray job stop {name}", file=sys.stderr)
        return 130
    except (OSError, RuntimeError, ClientError) as error:
        print(
            f"roundtrip submit: {name} cannot be followed any more ({error}); what it wrote is kept: submit it again",
            file=sys.stderr,
        )
        return LOST
    return _ended(name, job)


async def _print_log(client: JobSubmissionClient, name: str) -> None:
    async for lines in client.tail_job_logs(name):
        print(lines, end="", flush=True)


def _ended(name: str, job: Any) -> int:
    """Say how a job ended, in a sentence and a number."""
    again = "what is written is kept: submit it again, and it goes on from there"
    if job.status == "SUCCEEDED":
        return 0
    if job.status == "STOPPED":
        print(f"roundtrip submit: {name} was stopped; {again}", file=sys.stderr)
        return STOPPED
    if job.driver_exit_code is None or job.driver_exit_code < 0:
        print(f"roundtrip submit: the cluster lost {name} ({job.message}); {again}", file=sys.stderr)
        return LOST
    ends = {
        2: "its log ends with what to mend",
        UNMADE: "its rounds are finished; its log says what could not be made of them",
    }
    end = ends.get(job.driver_exit_code, f"its log ends with the error; {again}")
    print(f"roundtrip submit: {name} ended with exit code {job.driver_exit_code}: {end}", file=sys.stderr)
    return int(job.driver_exit_code) if job.driver_exit_code in ends else 1


def _arguments(asked: argparse.Namespace, run: str) -> list[str]:
    """Return the round's arguments as they are where the code lies; raises SubmitError for a recipe that is not shipped."""
    from factory.recipe.paths import locate

    recipe = Path(locate(asked.recipe)).resolve()
    if not recipe.is_relative_to(ROOT / "recipes"):
        raise SubmitError(f"the recipe {asked.recipe} is not shipped: put it into {ROOT / 'recipes'}")
    told = ["--round", _told(asked.round), "--recipe", str(recipe.relative_to(ROOT)), "--run", run]
    return [
        *told,
        *(part for change in asked.set for part in ("--set", change)),
        *(["--dry-run"] if asked.dry_run else []),
    ]


def _told(rounds: range) -> str:
    return str(rounds[0]) if len(rounds) == 1 else f"{rounds[0]}-{rounds[-1]}"


def _twice(name: str, more: str = "") -> str:
    return f"{name} is running already{more}; follow it with `ray job logs --follow {name}`, or end it with `ray job stop {name}`"
