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
import os
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

os.environ.update(
    RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER="0", RAY_USAGE_STATS_ENABLED="0", RAY_raylet_start_wait_time_s="180"
)
os.environ.update(RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO="0", RAY_prestart_worker_first_driver="0", OMP_NUM_THREADS="1")
ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]
os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "benchmarks")])

import pyarrow as pa  # noqa: E402
from simulate_world import (  # noqa: E402
    Crew,
    Profile,
    Waiting,
    concurrent_calls,
    estimate_profile,
    local_cluster,
    make_crews,
    read_profile,
    scale_profile,
    size_pools,
    with_crews,
)

from factory.passes import execute  # noqa: E402
from factory.passes.produce import Pools, build_plan  # noqa: E402
from factory.planning.places import Round, Run  # noqa: E402
from factory.recipe.loading import load  # noqa: E402
from factory.recipe.recipe import Recipe  # noqa: E402
from factory.storage.dataset import DatasetDir  # noqa: E402
from schemas.datasets import SCORED, UNITS  # noqa: E402


def write_units(folder: Path, number: int) -> DatasetDir:
    """Write a finished dataset of UNITS with `number` rows."""
    out = DatasetDir(str(folder), UNITS)
    out.start({"stage": "simulated"})
    for start in range(0, number, 5_000):
        rows = [
            {"utt_id": f"u{index:08d}", "lang": ("fr", "en")[index % 2], "units": list(range(125)), "status": "ok"}
            for index in range(start, min(start + 5_000, number))
        ]
        out.append(pa.Table.from_pylist(rows, schema=UNITS))
    out.publish()
    return out


def make_actors(profile: Profile, pools: dict[str, int], crews: dict[str, Crew], meeting: Path) -> Pools:
    """Return the waiting actors of each pool, which meet in the folder `meeting`."""
    return {
        name: partial(
            Waiting,
            row_s=crew.row_s(profile.row_s[name], pools[name]),
            load_s=profile.load_s.get(name, 0.0),
            meeting=str(meeting),
            processes=sum(crew.processes for crew in crews.values()),
        )
        for name, crew in crews.items()
    }


def simulate(recipe: Recipe, profile: Profile, gpus: int, rows: int, largest: int) -> dict[str, Any]:
    """Run the plan of produce on logical GPUs, and return its figures.

    Args:
        recipe: the experiment.
        profile: how long actors take.
        gpus: logical GPUs.
        rows: rows per GPU.
        largest: actors per process.
    """
    pools = size_pools(recipe, profile, gpus)
    crews = make_crews(pools, largest)
    with tempfile.TemporaryDirectory() as scratch, local_cluster(gpus, recipe, pools), concurrent_calls(crews):
        meeting = Path(scratch, "meeting")
        meeting.mkdir()
        actors = make_actors(profile, pools, crews, meeting)
        source, out = write_units(Path(scratch, "units"), rows * gpus), DatasetDir(f"{scratch}/scored", SCORED)
        ids = source.rows(["utt_id"])["utt_id"].combine_chunks()
        out.start({"stage": "produce"})
        plan = build_plan([source], ids, with_crews(recipe, crews), out, actors)
        before = time.process_time()
        ends = [time.time() for _ in out.write(plan)]
        driver_s = time.process_time() - before
        start = max(file.stat().st_mtime for file in meeting.iterdir())
        assert out.publish(ids.to_pylist()).rows == rows * gpus
    seconds = max(ends) - start
    busy = {name: profile.row_s[name] * rows * gpus / (number * seconds) for name, number in pools.items()}
    return {
        "gpus": gpus,
        "rows_per_s": round(rows * gpus / seconds, 2),
        "seconds": round(seconds, 1),
        "first_s": round(min(ends) - start, 1),
        "driver_cores": round(driver_s / seconds, 3),
        "idle": {name: round(1 - share, 3) for name, share in busy.items()},
        "pools": pools,
    }


def parse_options() -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gpus", type=int, nargs="+", default=[1, 4, 16, 64])
    parser.add_argument("--rows", type=int, default=4096, help="utterances per GPU (default: %(default)s)")
    parser.add_argument("--crew", type=int, default=1, help="actors that wait in one process (default: %(default)s)")
    parser.add_argument("--slower", type=float, default=1.0, help="factor of all waits (default: %(default)s)")
    parser.add_argument("--recipe", default="recipes/prost_llm_3b.yaml")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="change a key of the recipe; may be repeated"
    )
    parser.add_argument("--profile", type=Path, help="seconds per row of each pool, YAML or JSON")
    parser.add_argument("--run", help="take the rate from a round of this run")
    parser.add_argument("--round", type=int, default=1)
    return parser.parse_args()


def main() -> None:
    """Simulate each number of GPUs, and print the summary as the last line."""
    options = parse_options()
    recipe = load(options.recipe, options.set)
    profile = read_profile(options.profile, recipe) if options.profile else estimate_profile(recipe)
    if options.run:
        profile = scale_profile(profile, Round(Run(options.run), options.round, recipe))
    profile = profile.times(options.slower)
    # without guards: their children would only double the processes
    execute.guard_actor = lambda actor, *_: (actor.func, actor.keywords)  # type: ignore[assignment]
    print(json.dumps({"profile": profile._asdict()}), flush=True)
    runs: list[dict[str, Any]] = []
    for gpus in options.gpus:
        figures = simulate(recipe, profile, gpus, options.rows, options.crew)
        first = runs[0] if runs else figures
        efficiency = figures["rows_per_s"] / gpus * first["gpus"] / first["rows_per_s"]
        runs.append(figures | {"efficiency": round(efficiency, 3)})
        print(json.dumps(runs[-1]), flush=True)
    setting = {"recipe": recipe.name, "rows_a_gpu": options.rows, "crew": options.crew, "slower": options.slower}
    print(json.dumps(setting | {"profile": profile.row_s, "runs": runs}))


if __name__ == "__main__":
    main()
