"""The parts of benchmarks/simulate.py: how long actors take, how many fit onto the GPUs, and actors that only wait."""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import yaml

from factory.actors.base import RowActor
from factory.planning.estimate import Amounts, costs
from factory.planning.places import Round
from factory.recipe.recipe import Recipe
from factory.storage.files import filesystem, get_json
from schemas.datasets import SCORED, Row

SCORER_S = 0.06
"""Seconds of one core per row: BLEU, chrF, METEOR, WER and MCD of two candidates of five seconds."""
SPARE = 1.1
"""How much faster than the translators the other pools can be."""
MANY = 1_000_000
GPUS_PER_NODE = 16


class Profile(NamedTuple):
    """How long one actor of each pool takes."""

    row_s: dict[str, float]  # seconds per row
    load_s: dict[str, float]  # seconds to load

    def times(self, factor: float) -> Profile:
        """Return a profile in which everything takes `factor` times as long."""
        return Profile(*({name: value * factor for name, value in seconds.items()} for seconds in self))


def estimate_profile(recipe: Recipe) -> Profile:
    """Return the times of factory/planning/estimate.py, if a translator and a vocoder take turns on each GPU."""
    hours = {cost.stage: cost.hours for cost in costs(recipe, 1, Amounts(rows=MANY, tokenized=0))}
    stages = {"translator": "produce", "vocoder": "produce: vocoder"}
    row_s = {name: hours[stage] * 3600 / MANY for name, stage in stages.items() if stage in hours}
    return Profile({**dict.fromkeys(row_s, sum(row_s.values())), "scorer": SCORER_S}, {})


def read_profile(file: Path, recipe: Recipe) -> Profile:
    """Read a profile, YAML or JSON; raises ValueError if it lacks a pool."""
    content = yaml.safe_load(file.read_text("utf-8"))
    pools = estimate_profile(recipe).row_s
    if missing := sorted(set(pools) - set(content)):
        raise ValueError(f"{file} lacks the seconds per row of {', '.join(missing)}; it needs {', '.join(pools)}")
    load_s = {name: float(seconds) for name, seconds in (content.get("load_s") or {}).items()}
    return Profile({name: float(content[name]) for name in pools}, load_s)


def scale_profile(profile: Profile, round_: Round) -> Profile:
    """Return the profile with its slowest pool set to the time that the stage produce of a round took."""
    fs, path = filesystem(round_.uri)
    seconds = get_json(fs, f"{path}/_stages.json")["wall_s"]["produce"]
    actors = {name: getattr(round_.recipe.resources, name).actors for name in profile.row_s}
    slowest = max(profile.row_s, key=lambda name: profile.row_s[name] / actors[name])
    row_s = seconds / round_.scored.manifest().rows * actors[slowest]
    return profile._replace(row_s=profile.row_s | {slowest: row_s})


def size_pools(recipe: Recipe, profile: Profile, gpus: int) -> dict[str, int]:
    """Return the actors of each pool: the most translators that fit onto the GPUs with the others that keep up."""
    best = dict.fromkeys(profile.row_s, 1)
    for translators in range(1, gpus * int(1 / (recipe.resources.translator.num_gpus or 1)) + 1):
        rate = SPARE * translators / profile.row_s["translator"]
        pools = {name: math.ceil(rate * seconds) for name, seconds in profile.row_s.items()}
        pools["translator"] = translators
        if sum(number * getattr(recipe.resources, name).num_gpus for name, number in pools.items()) > gpus + 1e-9:
            break
        best = pools
    return best


class Crew(NamedTuple):
    """The processes of a pool, and the number of actors that wait in each."""

    processes: int
    calls: int

    def row_s(self, alone: float, actors: int) -> float:
        """Return the seconds per row of one call, if all calls are as fast as `actors` with `alone` seconds each."""
        return alone * self.processes * self.calls / actors


def make_crews(pools: Mapping[str, int], largest: int) -> dict[str, Crew]:
    """Divide the actors of each pool among processes with at most `largest` actors each."""
    processes = {name: math.ceil(actors / largest) for name, actors in pools.items()}
    return {name: Crew(processes[name], math.ceil(actors / processes[name])) for name, actors in pools.items()}


def with_crews(recipe: Recipe, crews: Mapping[str, Crew]) -> Recipe:
    """Return the recipe with a process for each crew, which takes the cores and GPUs of its actors."""
    sizes: dict[str, Any] = {}
    for name, crew in crews.items():
        pool = getattr(recipe.resources, name)
        gpus = pool.num_gpus if crew.calls == 1 else 0.0  # Ray gives a share of one GPU, or whole GPUs, to a process
        sizes[name] = replace(pool, actors=crew.processes, num_cpus=pool.num_cpus * crew.calls, num_gpus=gpus)
    return replace(recipe, resources=replace(recipe.resources, **sizes))


class Waiting(RowActor):
    """Takes `row_s` seconds per row, and starts when all processes of the plan have met."""

    schema = SCORED

    def __init__(self, *, row_s: float, load_s: float, meeting: str, processes: int) -> None:
        """Write a file to the folder `meeting`, wait until it has `processes` files, and load for `load_s` seconds."""
        self.row_s = row_s
        Path(meeting, f"{os.getpid()}").touch()
        while len(os.listdir(meeting)) < processes:
            time.sleep(0.2)
        time.sleep(load_s)

    def process(self, rows: list[Row]) -> list[Row]:
        """Never called: `__call__` takes whole tables."""
        raise NotImplementedError

    def __call__(self, table: pa.Table) -> pa.Table:
        """Wait, and return the rows with the columns of SCORED."""
        time.sleep(self.row_s * table.num_rows)
        columns = {name: table[name] for name in table.column_names}
        arrays = [columns.get(field.name, pa.nulls(table.num_rows, field.type)) for field in SCORED]
        return pa.table(arrays, schema=SCORED)


@contextmanager
def concurrent_calls(crews: Mapping[str, Crew]) -> Iterator[None]:
    """Let Ray Data make as many calls at once to a process as its crew has actors, inside the block."""
    import ray.data

    strategy, calls = ray.data.ActorPoolStrategy, iter([crew.calls for crew in crews.values()])

    def make_strategy(**sizes: Any) -> Any:
        """Return the strategy of the next pool; a plan makes them in the order of its pools."""
        return strategy(**sizes, max_concurrent_calls_per_actor=next(calls), enable_true_multi_threading=True)

    ray.data.ActorPoolStrategy = make_strategy  # type: ignore[assignment,misc]
    try:
        yield
    finally:
        ray.data.ActorPoolStrategy = strategy  # type: ignore[misc]


@contextmanager
def local_cluster(gpus: int, recipe: Recipe, pools: Mapping[str, int]) -> Iterator[None]:
    """Start a local cluster of nodes with logical GPUs, and connect this process to it, inside the block."""
    import ray
    from ray.cluster_utils import Cluster

    shares = [min(GPUS_PER_NODE, gpus - start) for start in range(0, gpus, GPUS_PER_NODE)]
    cores = sum(number * getattr(recipe.resources, name).num_cpus for name, number in pools.items())
    per_node = math.ceil(cores / len(shares)) + 8
    nodes = [{"num_gpus": share, "num_cpus": per_node, "object_store_memory": 150 * 2**20} for share in shares]
    cluster = Cluster(initialize_head=True, head_node_args=nodes[0] | {"include_dashboard": False})
    try:
        for node in nodes[1:]:
            cluster.add_node(**node)
        ray.init(cluster.address, log_to_driver=False, logging_level=logging.ERROR)
        ray.data.DataContext.get_current().enable_progress_bars = False
        yield
    finally:
        ray.shutdown()
        cluster.shutdown()
