"""roundtrip submit: rounds as a Ray job. It sends the code, refuses duplicates, follows the log and reports the end.

    roundtrip submit --round 2 --run s3://bucket/runs/station --address http://HEAD:8265

Exit codes:
    0  the rounds are finished
    1  any other end; the log has the traceback
    2  an error that you can fix, described in one sentence
    3  the job was stopped
    4  the cluster lost the job, or cannot be reached any more
    5  the rounds are finished, but samples, report or history could not be written
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
from typing import TYPE_CHECKING

from factory.arguments import INCOMPLETE, INTERRUPTED, run_command, run_parser
from factory.recipe.paths import ROOT, locate
from factory.runtime.local_ray import TOKEN_HINT
from factory.runtime.redact import redact
from schemas.errors import RoundtripError
from schemas.fingerprint import json_digest

if TYPE_CHECKING:
    from ray.job_submission import JobDetails, JobSubmissionClient

MAX_MB = 5.0
"""The code has about 1 MB; a larger package contains data, which belongs on a volume or in an object store."""
FINAL = ("SUCCEEDED", "FAILED", "STOPPED")
"""The statuses of a job that is over."""
STOPPED, LOST = 3, 4
RESUME = "finished work is kept: submit it again to continue"


class SubmitError(RoundtripError):
    """A job that cannot be submitted; the message says what to do."""


def main(argv: list[str] | None = None) -> int:
    """Submit rounds and follow them; return the exit code, see above."""
    parser = run_parser("roundtrip submit", __doc__)
    address = "the dashboard of the cluster, http://HEAD:8265 (default: $RAY_API_SERVER_ADDRESS)"
    parser.add_argument("--address", metavar="URL", help=address)
    arguments = parser.parse_args(argv)
    logging.getLogger("ray").setLevel(logging.WARNING)
    return run_command("roundtrip submit", lambda: _submit_and_follow(arguments))


def _submit_and_follow(arguments: argparse.Namespace) -> int:
    client = connect(arguments.address)
    name = submit(client, arguments)
    print(f"submitted as {name}; to follow it from another machine: ray job logs --follow {name}", flush=True)
    return follow(client, name)


def connect(address: str | None) -> JobSubmissionClient:
    """Return a client of the cluster's job server.

    Raises SubmitError if none answers, if it requires a token, or if it has another version of Ray.
    """
    import ray
    from ray.exceptions import AuthenticationError
    from ray.job_submission import JobSubmissionClient

    if address:
        os.environ["RAY_API_SERVER_ADDRESS"] = address  # for Ray, its variable is stronger than the argument
    name = address or "this machine"
    try:
        client = JobSubmissionClient(address)
    except AuthenticationError as error:
        raise SubmitError(f"the cluster at {name} requires a token: {TOKEN_HINT}") from error
    except ConnectionError as error:
        hint = "start one with `ray start --head`, or name its dashboard with --address http://HEAD:8265"
        raise SubmitError(f"no Ray cluster answers at {name}: {hint}") from error
    version = client._server_ray_version  # the client has asked for it; no public name has it without asking again
    if version != ray.__version__:
        hint = f"install ray[default]=={ray.__version__} on its nodes (requirements/*.txt), or Ray {version} here"
        raise SubmitError(
            f"the cluster at {client.get_address()} runs Ray {version}, and this machine has {ray.__version__}: {hint}"
        )
    return client


def submit(client: JobSubmissionClient, arguments: argparse.Namespace) -> str:
    """Send the code and start the rounds as a job; return its submission id.

    Raises SubmitError while another job makes one of these rounds of the run.
    """
    from factory.recipe.loading import load

    recipe = load(arguments.recipe, arguments.set)
    run = shared_run(arguments.run or f"runs/{recipe.name}")
    name = next_name(client, base_name(run, arguments.round))
    environment = {"ROUNDTRIP_HOME": f"${{ROUNDTRIP_HOME}}{os.pathsep}{ROOT}"}
    with tempfile.TemporaryDirectory() as scratch:
        code = package(ROOT, Path(scratch))
        try:
            return client.submit_job(
                entrypoint=shlex.join(["python", "factory/run_round.py", *_job_arguments(arguments, run)]),
                submission_id=name,
                runtime_env={"working_dir": str(code), "env_vars": environment},
                metadata={"run": redact(run), "round": _format_rounds(arguments.round), "recipe": recipe.name},
            )
        except RuntimeError as error:
            if "already exists" in str(error):  # another submission was faster
                raise _duplicate(name) from error
            raise


def shared_run(run: str) -> str:
    """Return the URI of a run as all nodes know it: relative paths lead to the folder of the job, which is removed."""
    return run.rstrip("/") if "://" in run else str(Path(run).expanduser().absolute())


def base_name(run: str, rounds: range) -> str:
    """Return the start of the submission ids of these rounds of a run."""
    run = run.rstrip("/")  # a slash at the end does not make another run
    slug = re.sub(r"[^A-Za-z0-9]+", "-", run.rpartition("/")[2]).strip("-")
    return f"roundtrip-{slug}-{json_digest(run)[:8]}-round-{_format_rounds(rounds)}"


def next_name(client: JobSubmissionClient, base: str) -> str:
    """Return the submission id of the next try: Ray takes no id twice, and a job that failed may be submitted again.

    Raises SubmitError while a job of the same run runs, or waits to run, with one of these rounds.
    """
    tries, (run, rounds) = 0, _split_base(base)
    for job in client.list_jobs():
        other_base = (job.submission_id or "").rpartition("-try-")[0]
        tries += other_base == base
        other_run, other_rounds = _split_base(other_base)
        common = sorted({*rounds} & {*other_rounds})
        if other_run == run and job.status not in FINAL and common:
            raise _duplicate(str(job.submission_id), None if other_base == base else common[0])
    return f"{base}-try-{tries + 1}"


def _split_base(base: str) -> tuple[str, range]:
    """Return the run in the start of a submission id, and its rounds; no rounds for a job that is not ours."""
    match = re.fullmatch(r"(.+)-round-(\d+)(?:-(\d+))?", base)
    return (match[1], range(int(match[2]), int(match[3] or match[2]) + 1)) if match else (base, range(0))


def package(root: Path, folder: Path) -> Path:
    """Zip the files of the repository that `.rayignore` allows; raises SubmitError if that is more than code."""
    from ray._private.runtime_env.packaging import create_package

    code = folder / "code.zip"
    create_package(str(root), code, include_gitignore=True)
    size = code.stat().st_size / 1e6
    if size > MAX_MB:
        hint = (
            "move everything that is not code out of cluster, factory, recipes, schemas and trainers; "
            "data belongs on a volume or in an object store"
        )
        raise SubmitError(f"the code in {root} has {size:.1f} MB, more than the limit of {MAX_MB:g} MB: {hint}")
    return code


def follow(client: JobSubmissionClient, name: str) -> int:
    """Print the log of a job as it grows; return the exit code when the job is over. Ctrl-C does not stop the job."""
    from aiohttp import ClientError

    try:
        asyncio.run(_print_log(client, name))
        while (job := client.get_job_info(name)).status not in FINAL:
            time.sleep(1)
    except KeyboardInterrupt:
        print(f"\n{name} continues; to stop it: ray job stop {name}", file=sys.stderr)
        return INTERRUPTED
    except (OSError, RuntimeError, ClientError) as error:
        print(f"roundtrip submit: {name} cannot be followed any more ({error}); {RESUME}", file=sys.stderr)
        return LOST
    return report_end(name, job)


async def _print_log(client: JobSubmissionClient, name: str) -> None:
    async for lines in client.tail_job_logs(name):
        print(lines, end="", flush=True)


def report_end(name: str, job: JobDetails) -> int:
    """Print in one sentence how a job ended, unless it succeeded; return the exit code."""
    if job.status == "SUCCEEDED":
        return 0
    code, sentence = _describe_end(job)
    print(f"roundtrip submit: {name} {sentence}", file=sys.stderr)
    return code


def _describe_end(job: JobDetails) -> tuple[int, str]:
    """Return the exit code of a job that did not succeed, and the end of a sentence about it."""
    driver_code = job.driver_exit_code
    if job.status == "STOPPED":
        return STOPPED, f"was stopped; {RESUME}"
    if driver_code is None or driver_code < 0:
        return LOST, f"was lost by the cluster ({job.message}); {RESUME}"
    if driver_code == 2:
        return 2, "ended with exit code 2: the end of its log says what to fix"
    if driver_code == INCOMPLETE:
        return INCOMPLETE, f"ended with exit code {driver_code}: its rounds are finished; its log says what is missing"
    return 1, f"ended with exit code {driver_code}: the error is at the end of its log; {RESUME}"


def _job_arguments(arguments: argparse.Namespace, run: str) -> list[str]:
    """Return the arguments of run_round.py in the job's folder; raises SubmitError for a recipe that is not sent."""
    recipe, recipes = Path(locate(arguments.recipe)).resolve(), ROOT / "recipes"
    if not recipe.is_relative_to(recipes):
        raise SubmitError(f"the recipe {arguments.recipe} is not sent with the code: put it into {recipes}")
    return [
        *("--round", _format_rounds(arguments.round), "--recipe", str(recipe.relative_to(ROOT)), "--run", run),
        *(word for change in arguments.set for word in ("--set", change)),
        *(["--dry-run"] if arguments.dry_run else []),
    ]


def _format_rounds(rounds: range) -> str:
    return str(rounds[0]) if len(rounds) == 1 else f"{rounds[0]}-{rounds[-1]}"


def _duplicate(name: str, common_round: int | None = None) -> SubmitError:
    also = "" if common_round is None else f" and makes round {common_round} too"
    return SubmitError(
        f"{name} is running already{also}; follow it with `ray job logs --follow {name}`, "
        f"or stop it with `ray job stop {name}`"
    )
