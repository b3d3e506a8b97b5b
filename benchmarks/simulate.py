"""Measure how produce scales with GPUs: the real plan on several local Ray nodes, with actors that only wait.

    python benchmarks/simulate.py [--gpus 1 4 16 64] [--crew 8] [--recipe FILE] [--profile FILE | --run URI --round N]

Everything but the models is real: sources, repartition, pools, batches, part files with their leases, publish. The GPUs
are logical, at most sixteen per node. Every GPU gets the same number of rows (weak scaling). An actor waits for its
profile's seconds per row, and all actors start together. The cores of this machine do Ray's work for all nodes, and a
cluster has more cores, so the efficiency is a lower bound.

A small machine cannot hold a process for each actor of 64 GPUs. With `--crew 8` up to eight actors of a pool wait in
one process: the number of calls, blocks, part files and the bookkeeping stay the same, only the processes are fewer;
they request no GPUs. With `--slower 8` every wait takes eight times as long, so that these cores keep up.
`driver_cores` is the share of a core that the driver used, of which a cluster has only one. The driver polls all the
time; the part that grows with the number of GPUs would be eight times as large at the true speed.

A profile is YAML or JSON: seconds per row of one actor (`translator: 0.03`), and under `load_s` the seconds that an
actor takes to load. Without a profile, a row takes what `factory/planning/estimate.py` estimates for the recipe (and
SCORER_S on a core). With `--run`, the slowest pool of that run's round is scaled until it explains the seconds that the
stage produce took.

Pools are sized for the GPUs: as many translators as fit next to the vocoders, and so many vocoders and scorers that
they could process a tenth more than the translators give them. The last line is JSON: for each number of GPUs the rate,
`efficiency` (rate per GPU over that at the smallest number), seconds to the first part file, idle share of each pool,
`driver_cores`, and `pools`, the sizes of the pools.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

os.environ.update(
    RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER="0", RAY_USAGE_STATS_ENABLED="0", RAY_raylet_start_wait_time_s="180"
)
os.environ.update(RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO="0", RAY_prestart_worker_first_driver="0", OMP_NUM_THREADS="1")
ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]
os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "benchmarks")])

import pyarrow as pa  # noqa: E402
import yaml  # noqa: E402

from factory.actors.base import RowActor  # noqa: E402
from factory.passes import execute  # noqa: E402
from factory.passes.produce import Pools, build_plan  # noqa: E402
from factory.planning.estimate import costs  # noqa: E402
from factory.planning.places import Run  # noqa: E402
from factory.recipe.loading import load  # noqa: E402
from factory.recipe.recipe import Recipe  # noqa: E402
from factory.recipe.resources import PoolConfig  # noqa: E402
from factory.storage.dataset import DatasetDir  # noqa: E402
from factory.storage.files import filesystem, get_json  # noqa: E402
from schemas.datasets import SCORED, UNITS, Row  # noqa: E402

SCORER_S = 0.06
"""Seconds of one core a row: BLEU, chrF, METEOR, WER and MCD of two candidates of five seconds."""
SPARE = 1.1
"""How much more than the translators' rate the other pools can do."""
_MANY = 1_000_000
A_NODE = 16
"""GPUs of a node."""


class Profile(NamedTuple):
    """Seconds of one whole actor a row, and seconds until it is loaded, of each pool."""

    row_s: dict[str, float]
    load_s: dict[str, float]

    def times(self, factor: float) -> Profile:
        """Return a profile in which everything takes `factor` times as long."""
        return Profile(*({name: seconds * factor for name, seconds in told.items()} for told in self))


def estimated(recipe: Recipe) -> Profile:
    """Return what an actor takes by the rates of `factory/planning/estimate.py`, when a translator and a vocoder take turns on each GPU."""
    hours = {cost.stage: cost.hours for cost in costs(recipe, 1, _MANY, 0)}
    named = {"translator": "produce", "vocoder": "produce: vocoder"}
    alone = {name: hours[stage] * 3600 / _MANY for name, stage in named.items() if stage in hours}
    return Profile({**dict.fromkeys(alone, sum(alone.values())), "scorer": SCORER_S}, {})


def given(file: Path, recipe: Recipe) -> Profile:
    """Read a profile; raises ValueError where it lacks a pool."""
    told = yaml.safe_load(file.read_text("utf-8"))
    wanted = estimated(recipe).row_s
    if missing := sorted(set(wanted) - set(told)):
        raise ValueError(
            f"{file} lacks the seconds a row of {', '.join(missing)}; it must have those of {', '.join(wanted)}"
        )
    return Profile(
        {name: float(told[name]) for name in wanted}, {name: float(s) for name, s in (told.get("load_s") or {}).items()}
    )


def measured(profile: Profile, recipe: Recipe, run: Run, number: int) -> Profile:
    """Return the profile with its slowest pool set to what a round's stage produce took."""
    fs, path = filesystem(run.place(number))
    seconds, rows = (
        get_json(fs, f"{path}/_stages.json")["wall_s"]["produce"],
        run.dataset(number, "scored").manifest().rows,
    )
    slowest = max(profile.row_s, key=lambda name: profile.row_s[name] / getattr(recipe.resources, name).actors)
    row_s = seconds / rows * getattr(recipe.resources, slowest).actors
    return profile._replace(row_s=profile.row_s | {slowest: row_s})


def sized(recipe: Recipe, profile: Profile, gpus: int) -> dict[str, int]:
    """Return the actors of each pool: the most translators that fit onto the GPUs with the others that keep up with them."""
    best = dict.fromkeys(profile.row_s, 1)
    for translators in range(1, gpus * int(1 / (recipe.resources.translator.num_gpus or 1)) + 1):
        each = SPARE * translators / profile.row_s["translator"]
        pools = {name: math.ceil(each * seconds) for name, seconds in profile.row_s.items()} | {
            "translator": translators
        }
        if sum(number * getattr(recipe.resources, name).num_gpus for name, number in pools.items()) > gpus + 1e-9:
            break
        best = pools
    return best


class Crew(NamedTuple):
    """The processes of a pool, and how many of its actors wait side by side in each."""

    processes: int
    calls: int

    def row_s(self, alone: float, actors: int) -> float:
        """Return the seconds a row of each call with which all of them are as fast as `actors` that take `alone` seconds."""
        return alone * self.processes * self.calls / actors


def crews(pools: dict[str, int], largest: int) -> dict[str, Crew]:
    """Share out the actors of each pool among processes of at most `largest`."""
    processes = {name: math.ceil(actors / largest) for name, actors in pools.items()}
    return {name: Crew(processes[name], math.ceil(actors / processes[name])) for name, actors in pools.items()}


class Waiting(RowActor):
    """Takes `row_s` seconds a row; begins when all `of` processes are there, which a file of each in `meeting` says, and then loads."""

    schema = SCORED

    def __init__(self, *, row_s: float, load_s: float, meeting: str, of: int) -> None:
        """Come to the meeting, and wait for the others."""
        self.row_s = row_s
        Path(meeting, f"{os.getpid()}").touch()
        while len(os.listdir(meeting)) < of:
            time.sleep(0.2)
        time.sleep(load_s)

    def process(self, rows: list[Row]) -> list[Row]:
        """Never asked: tables go through whole."""
        raise NotImplementedError

    def __call__(self, table: pa.Table) -> pa.Table:
        """Wait, and hand the rows on with the columns of SCORED."""
        time.sleep(self.row_s * table.num_rows)
        columns = {name: table[name] for name in table.column_names}
        return pa.table(
            [columns.get(field.name, pa.nulls(table.num_rows, field.type)) for field in SCORED], schema=SCORED
        )


def utterances(place: Path, rows: int) -> DatasetDir:
    """Write a finished dataset of UNITS with as many rows."""
    out = DatasetDir(str(place), UNITS)
    out.start({"stage": "simulated"})
    for start in range(0, rows, 5_000):
        some = [
            {"utt_id": f"u{number:08d}", "lang": ("fr", "en")[number % 2], "units": list(range(125)), "status": "ok"}
            for number in range(start, min(start + 5_000, rows))
        ]
        out.append(pa.Table.from_pylist(some, schema=UNITS))
    out.publish()
    return out


def simulate(recipe: Recipe, profile: Profile, gpus: int, rows: int, largest: int) -> dict[str, Any]:
    """Run produce's plan on `gpus` logical GPUs with `rows` rows for each and crews of at most `largest`; returns what was seen."""
    pools = sized(recipe, profile, gpus)
    manned = crews(pools, largest)
    with tempfile.TemporaryDirectory() as scratch, _nodes(gpus, recipe, pools), side_by_side(manned):
        meeting = Path(scratch, "meeting")
        meeting.mkdir()
        actors: Pools = {
            name: partial(
                Waiting,
                row_s=crew.row_s(profile.row_s[name], pools[name]),
                load_s=profile.load_s.get(name, 0.0),
                meeting=str(meeting),
                of=sum(crew.processes for crew in manned.values()),
            )
            for name, crew in manned.items()
        }
        source, out = utterances(Path(scratch, "units"), rows * gpus), DatasetDir(f"{scratch}/scored", SCORED)
        ids = source.rows(["utt_id"])["utt_id"].combine_chunks()
        out.start({"stage": "produce"})
        planned = build_plan([source], ids, with_crews(recipe, manned), out, actors)
        before = time.process_time()
        ends = [time.time() for _ in out.write(planned)]
        driver = time.process_time() - before
        began = max(file.stat().st_mtime for file in meeting.iterdir())
        assert out.publish(ids.to_pylist()).rows == rows * gpus
    seconds = max(ends) - began
    idle = {
        name: round(1 - profile.row_s[name] * rows * gpus / (number * seconds), 3) for name, number in pools.items()
    }
    told = {"gpus": gpus, "rows_per_s": round(rows * gpus / seconds, 2), "seconds": round(seconds, 1)}
    return told | {
        "first_s": round(min(ends) - began, 1),
        "driver_cores": round(driver / seconds, 3),
        "idle": idle,
        "pools": pools,
    }


def with_crews(recipe: Recipe, manned: dict[str, Crew]) -> Recipe:
    """Return the recipe with a process for each crew, which takes the cores and GPUs of its actors; a crew of several takes cores alone."""
    sizes: dict[str, PoolConfig] = {}
    for name, crew in manned.items():
        pool = getattr(recipe.resources, name)
        gpus = pool.num_gpus if crew.calls == 1 else 0.0  # a process may ask for a share of one GPU, or for whole ones
        sizes[name] = replace(pool, actors=crew.processes, num_cpus=pool.num_cpus * crew.calls, num_gpus=gpus)
    return replace(recipe, resources=replace(recipe.resources, **sizes))


@contextmanager
def side_by_side(manned: dict[str, Crew]) -> Iterator[None]:
    """Let Ray Data call the processes of a crew as often at once as the crew has actors, while the block runs."""
    import ray.data

    strategy, calls = ray.data.ActorPoolStrategy, iter([crew.calls for crew in manned.values()])

    def several(**sizes: Any) -> Any:
        """Return the strategy of the next pool: a plan asks for them in the order of the pools."""
        return strategy(**sizes, max_concurrent_calls_per_actor=next(calls), enable_true_multi_threading=True)

    ray.data.ActorPoolStrategy = several  # type: ignore[assignment,misc]
    try:
        yield
    finally:
        ray.data.ActorPoolStrategy = strategy  # type: ignore[misc]


class _nodes:
    """A local cluster with so many GPUs, and this process in it."""

    def __init__(self, gpus: int, recipe: Recipe, pools: dict[str, int]) -> None:
        shares = [min(A_NODE, gpus - start) for start in range(0, gpus, A_NODE)]
        cores = sum(number * getattr(recipe.resources, name).num_cpus for name, number in pools.items())
        each = math.ceil(cores / len(shares)) + 8
        self.nodes = [{"num_gpus": share, "num_cpus": each, "object_store_memory": 150 * 2**20} for share in shares]

    def __enter__(self) -> None:
        import ray
        from ray.cluster_utils import Cluster

        self.cluster = Cluster(initialize_head=True, head_node_args=self.nodes[0] | {"include_dashboard": False})
        for node in self.nodes[1:]:
            self.cluster.add_node(**node)
        ray.init(self.cluster.address, log_to_driver=False, logging_level="ERROR")
        ray.data.DataContext.get_current().enable_progress_bars = False

    def __exit__(self, *_: object) -> None:
        import ray

        ray.shutdown()
        self.cluster.shutdown()


def main() -> None:
    """Simulate each number of GPUs, and print the summary as the last line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gpus", type=int, nargs="+", default=[1, 4, 16, 64])
    parser.add_argument("--rows", type=int, default=4096, help="utterances for each GPU (default: %(default)s)")
    parser.add_argument(
        "--crew",
        type=int,
        default=1,
        help="actors of a pool that wait side by side in a process (default: %(default)s)",
    )
    parser.add_argument(
        "--slower", type=float, default=1.0, help="how many times as long all waits are (default: %(default)s)"
    )
    parser.add_argument("--recipe", default="recipes/prost_llm_3b.yaml")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="change a key of the recipe; may be repeated"
    )
    parser.add_argument("--profile", type=Path, help="seconds a row of each pool, YAML or JSON")
    parser.add_argument("--run", help="take the rate from a round of this run")
    parser.add_argument("--round", type=int, default=1)
    asked = parser.parse_args()
    recipe = load(asked.recipe, asked.set)
    profile = given(asked.profile, recipe) if asked.profile else estimated(recipe)
    if asked.run:
        profile = measured(profile, recipe, Run(asked.run), asked.round)
    profile = profile.times(asked.slower)
    # a guard's child would only double the processes
    execute.guard_actor = lambda actor, *_: (actor.func, actor.keywords)  # type: ignore[assignment]
    print(json.dumps({"profile": profile._asdict()}), flush=True)
    runs: list[dict[str, Any]] = []
    for gpus in asked.gpus:
        told = simulate(recipe, profile, gpus, asked.rows, asked.crew)
        told["efficiency"] = round(
            told["rows_per_s"] / gpus * (runs or [told])[0]["gpus"] / (runs or [told])[0]["rows_per_s"], 3
        )
        runs.append(told)
        print(json.dumps(told), flush=True)
    asked_for = {"recipe": recipe.name, "rows_a_gpu": asked.rows, "crew": asked.crew, "slower": asked.slower}
    print(json.dumps(asked_for | {"profile": profile.row_s, "runs": runs}))


if __name__ == "__main__":
    import simulate  # by its own name, so that actors' processes find what waits

    simulate.main()
