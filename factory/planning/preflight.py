"""Compares what a round asks for with what the cluster has, before anything starts: a sentence for each shortfall, with the key to change.

    python -m factory.planning.preflight --round 2 --recipe recipes/prost_llm_3b.yaml --run s3://bucket/run   # on RAY_ADDRESS

A round does it by itself. A cluster that lacks something is asked for it first: its autoscaler hears of every actor that found no room,
and has as long for the whole plan as one stage would have (`factory.runtime.watch.growth_s`).
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

from factory.arguments import round_parser, run_command, stay_local
from factory.models.weights import near_folder
from factory.passes.execute import list_demands
from factory.planning.estimate import GIB, costs, parameters
from factory.planning.places import Run
from factory.planning.plan import Stage, missing, reckoned, stages
from factory.recipe.recipe import Recipe
from factory.runtime.watch import MARK, Resources, Stalled, Wanted, amounts, await_places, fits, growth_s, nodes
from schemas.errors import RoundtripError

T = TypeVar("T")
GPU_GIB = {
    "T4": 15,
    "V100": 16,
    "L4": 22,
    "A10G": 22,
    "A100": 40,
    "L40S": 45,
    "H100": 80,
    "H20": 96,
    "H200": 140,
    "B200": 180,
}
"""Memory (GiB) of the GPUs that Ray tells apart, the smaller one of two; `expected.gpu_gib` counts for others."""
ROW_BYTES = {
    "tokenize": 500,
    "utterances": 500,
    "sequences": 1_500,
    "produce": 1_000,
    "select": 1_500,
    "toplines": 400,
    "evaluate": 1_000,
}
"""Bytes that a row of each stage takes on the disk, for utterances of 3 s (twice what the embedded world's few units take)."""
PARAMETER_BYTES = {"sft": 16, "preference": 5}
"""Bytes that a parameter takes on the disk: the policy, and a checkpoint beside it (weights and Adam's moments, or LoRA's)."""
SEEN_S = 300.0
"""Seconds that the nodes have to answer, each in a new process."""


class Shortfall(RoundtripError):
    """A round that cannot run here; a line for each file that is missing, or each thing that the cluster lacks."""


def all_there(run: Run, numbers: Collection[int], recipe: Recipe) -> None:
    """Raise Shortfall with a sentence for each thing that rounds read from a disk and that is not there; takes no cluster."""
    if found := missing(run, numbers, recipe):
        raise _shortfall(found)


def preflight(run: Run, number: int, recipe: Recipe) -> None:
    """Return when the cluster that Ray is connected to can carry the round; raises Shortfall with a sentence for each thing it lacks."""
    found = shortfalls(run, number, recipe, nodes())
    if found and growth_s():
        print("\n".join([*found, f"waiting for nodes, at most {growth_s():g} s"]), flush=True)
        end = time.monotonic() + growth_s()  # one for all stages: a node that never comes is waited for once
        with suppress(Stalled):
            for stage in _placed(run, number, recipe):
                await_places(stage.name, list_demands(recipe.resources, stage.actors), end)
        found = shortfalls(run, number, recipe, nodes())
    found = found or [*unseen(run), *narrow(run, number, recipe)]
    if found:
        raise _shortfall(found)


def _shortfall(found: list[str]) -> Shortfall:
    return Shortfall("the round cannot run here:\n" + "\n".join(f"  {sentence}" for sentence in found))


def shortfalls(run: Run, number: int, recipe: Recipe, there: list[Resources]) -> list[str]:
    """Return a sentence for each thing that nodes with these resources, and this machine's disk, lack for what is left of a round."""
    left = _placed(run, number, recipe)
    found = [
        sentence
        for stage in left
        for sentence in unplaced(stage.name, list_demands(recipe.resources, stage.actors), there)
    ]
    found += [*cramped(number, recipe, there), *full(run, number, recipe)]
    return list(dict.fromkeys(found))


def _placed(run: Run, number: int, recipe: Recipe) -> list[Stage]:
    """Return the stages that are not done and have actors."""
    todo = [stage for stage in stages(run, number, recipe) if stage.actors]
    return [stage for stage in todo if not (run.has_policy(number) if stage.out is None else stage.out.is_finished())]


def unplaced(stage: str, wanted: Wanted, there: list[Resources]) -> Iterator[str]:
    """Tell the actors of a stage that find no room: those that are too large for every node, or else of which kind there are too many."""
    if fits(wanted, there):
        return
    large = [name for name, (_, each) in wanted.items() if not fits({name: (1, each)}, there)]
    for name in large:
        each = wanted[name][1]
        yield f"{stage}: no node has room for one {name} ({amounts(each)}); {_biggest(there)}: lower {_key(name, each)}"
    if large:
        return
    counted = [(name, number) for name, (number, _) in wanted.items() if number > 1]
    for name, number in counted:
        room = [fewer for fewer in range(1, number) if fits({**wanted, name: (fewer, wanted[name][1])}, there)]
        if room:
            yield f"{stage}: {number} {name} do not fit beside the others, {room[-1]} would: lower resources.{name}.actors, or add nodes"
            return
    asked = ", ".join(f"{number} {name} ({amounts(each)} each)" for name, (number, each) in wanted.items())
    yield f"{stage}: {asked} do not fit together; {_biggest(there)}: lower their num_cpus and num_gpus in resources, or add nodes"


def _key(name: str, each: Resources) -> str:
    marked = any(resource.startswith(MARK) for resource in each)
    return f"resources.{name}.num_cpus, num_gpus or memory_gib{', change its accelerator' if marked else ''}, or add such a node"


def _biggest(there: list[Resources]) -> str:
    most = {name: max((node.get(name, 0) for node in there), default=0) for name in ("CPU", "GPU")}
    kinds = {name: 1.0 for node in there for name in node if name.startswith(MARK)}
    return f"of {len(there)} nodes the largest have {amounts(most | kinds)}"


def cramped(number: int, recipe: Recipe, there: list[Resources]) -> Iterator[str]:
    """Tell the stages whose model and what it keeps do not fit into their share of a GPU (`factory.planning.estimate`, good to a factor of two)."""
    for cost in costs(recipe, number, *reckoned(number, recipe)):
        pool = getattr(recipe.resources, cost.pool)
        share = min(1.0, pool.num_gpus)
        has = _gpu_gib(pool.accelerator, recipe, there)
        smaller = _SIZES.get(cost.pool, "its model")
        if share and cost.gib > share * has:
            yield (
                f"{cost.stage}: some {cost.gib:.0f} GiB of GPU memory are needed, and {share:g} of a GPU of {has:g} GiB is there: "
                + _TRAINING.get(
                    cost.stage, f"raise resources.{cost.pool}.num_gpus, take a larger accelerator, or lower {smaller}"
                )
            )


_TRAINING = {
    "sft": "take a larger accelerator, share the weights out (sft.sharded: true, then more resources.trainer.actors), train LoRA "
    "(sft.rank) or lower sft.tokens",
    "train": "take a larger accelerator, share preference.batch out among more resources.trainer.actors, or lower it",
}
"""What helps a training: its workers have a whole GPU each, so that there is no larger share of one to ask for."""
_SIZES = {
    "translator": "resources.translator.batch_size, or policy.base",
    "recognizer": "recognizer.model",
    "scorer": "recognizer.model",
}


def _gpu_gib(accelerator: str | None, recipe: Recipe, there: list[Resources]) -> float:
    """Return the memory of the GPUs that a pool will get: of its own type, or of the smallest type that is there."""
    kinds = {name.removeprefix(MARK) for node in there for name in node if name.startswith(MARK)}
    known = [GPU_GIB[kind] for kind in ({accelerator} if accelerator else kinds) if kind in GPU_GIB]
    return min(known, default=recipe.expected.gpu_gib)


def full(run: Run, number: int, recipe: Recipe) -> Iterator[str]:
    """Tell when the disk under the run has less room than its rows, and the policy with its checkpoint, will take."""
    if "://" in run.uri:
        return
    there = next(folder for folder in (Path(run.uri).absolute(), *Path(run.uri).absolute().parents) if folder.exists())
    longer = max(1.0, recipe.expected.seconds * recipe.expected.units_per_s / 72)
    left = [stage for stage in stages(run, number, recipe) if stage.out is not None and not stage.out.is_finished()]
    rows = sum(longer * ROW_BYTES[stage.name.split()[0]] * (stage.rows or 0) for stage in left) / GIB
    policy = _policy_gib(run, number, recipe)
    free = shutil.disk_usage(there).free / GIB
    if rows + policy > free:
        needed = f"{rows + policy:.1f} GiB ({rows:.1f} for rows, {policy:.1f} for the policy and its checkpoint)"
        yield f"disk: the round takes some {needed}, and {there} has {free:.1f} GiB free: give another --run, or lower corpus.limit"


def _policy_gib(run: Run, number: int, recipe: Recipe) -> float:
    """Return what the policy that is still to be made, and its checkpoint, take of a disk (GiB)."""
    return (
        0.0 if run.has_policy(number) else parameters(recipe) * PARAMETER_BYTES["preference" if number else "sft"] / GIB
    )


def narrow(run: Run, number: int, recipe: Recipe) -> Iterator[str]:
    """Tell each node for trainers whose cache has less room than the policy of a run in an object store, and its checkpoint, take."""
    import ray

    needed = _policy_gib(run, number, recipe) if "://" in run.uri else 0.0
    one = {"trainer": (1, recipe.resources.trainer.needs)}
    able = [node for node in ray.nodes() if needed and node["Alive"] and fits(one, [node["Resources"]])]
    for node, (there, free) in zip(able, _told_by(able, _cache_room, run.made_policy(number)), strict=True):
        if needed > free:
            has = f"{there} on the node {node['NodeName']} has {free:.1f} GiB free"
            yield f"disk: the training takes some {needed:.1f} GiB on its node, and {has}: let ROUNDTRIP_CACHE lead to a larger disk there"


def _cache_room(policy: str) -> tuple[str, float]:
    """Return where the training of a policy would work on this node, and the room there (GiB); what it left there before goes first."""
    folder = near_folder(policy)
    there = next(above for above in folder.parents if above.exists())
    left = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    return str(there), (shutil.disk_usage(there).free + left) / GIB


def unseen(run: Run) -> Iterator[str]:
    """Tell each node that does not see the run's folder: what its actors wrote there would be lost."""
    import ray

    alive = [node for node in ray.nodes() if node["Alive"]]
    if "://" in run.uri or len(alive) == 1:
        return
    mark = Path(run.uri).absolute() / f".seen-{uuid4().hex[:8]}"
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.touch()
    try:
        seen = _told_by(alive, lambda path: Path(path).exists(), str(mark))
    finally:
        mark.unlink()
    hint = "give --run a folder that all nodes share, or s3://"
    blind = [node["NodeName"] for node, sees in zip(alive, seen, strict=True) if not sees]
    yield from (f"run: the node {name} does not see {run.uri}: {hint}" for name in blind)


def _told_by(these: list[dict[str, Any]], look: Callable[[str], T], given: str) -> list[T]:
    """Call a function on each of these nodes and return what it says there, in their order."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    places = [NodeAffinitySchedulingStrategy(node["NodeID"], soft=False) for node in these]
    asked: Any = ray.remote(num_cpus=0)(look)
    told: list[T] = ray.get(
        [asked.options(scheduling_strategy=place).remote(given) for place in places], timeout=SEEN_S
    )
    return told


def main(argv: list[str] | None = None) -> int:
    """Look at the cluster for the rounds asked for; returns 0, or 2 with a sentence for each shortfall on stderr."""
    asked = round_parser("preflight.py", __doc__).parse_args(argv)
    stay_local()
    return run_command("preflight", lambda: _look(asked))


def _look(asked: argparse.Namespace) -> int:
    from factory.recipe.loading import load
    from factory.runtime.local_ray import start_ray

    recipe = load(asked.recipe, asked.set)
    run = Run(asked.run or f"runs/{recipe.name}")
    all_there(run, asked.round, recipe)
    start_ray()
    for number in asked.round:
        preflight(run, number, recipe)
    print("the cluster can carry it")
    return 0


if __name__ == "__main__":
    sys.exit(main())
