"""Whether the disks of a run have room, and whether all nodes see its folder."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

from factory.models.weights import local_training_folder
from factory.planning.estimate import GIB, count_parameters
from factory.planning.places import Round
from factory.planning.plan import stages
from factory.runtime.watch import fits

T = TypeVar("T")
ROW_BYTES = {
    "tokenize": 500,
    "read": 300,
    "speak": 60_000,
    "utterances": 500,
    "sequences": 1_500,
    "produce": 1_000,
    "select": 1_500,
    "toplines": 400,
    "evaluate": 1_000,
}
"""Bytes of a row of each stage on the disk, for utterances of 3 s (twice those of the embedded world)."""
PARAMETER_BYTES = {"sft": 16, "preference": 5}
"""Bytes of a parameter on the disk: the policy, and a checkpoint (weights and Adam's moments, or LoRA's)."""
ANSWER_S = 300.0
"""Seconds that the nodes have to answer, each in a new process."""


def full_disk(round_: Round) -> Iterator[str]:
    """Yield a sentence if the disk of the run has less room than its rows, and the policy with its checkpoint, need."""
    if "://" in round_.run.uri:
        return
    folder = Path(round_.run.uri).absolute()
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    expected = round_.recipe.expected
    longer = max(1.0, expected.seconds * expected.units_per_s / 72)
    datasets = [stage for stage in stages(round_) if stage.out is not None and not stage.is_done(round_)]
    rows = sum(longer * ROW_BYTES[stage.name.split()[0]] * (stage.rows or 0) for stage in datasets) / GIB
    policy = _policy_gib(round_)
    free = shutil.disk_usage(existing).free / GIB
    if rows + policy > free:
        needs = f"{rows + policy:.1f} GiB ({rows:.1f} for rows, {policy:.1f} for the policy and its checkpoint)"
        room = f"{existing} has {free:.1f} GiB free"
        yield f"disk: the round needs about {needs}, and {room}: give another --run, or lower corpus.limit"


def _policy_gib(round_: Round) -> float:
    """Return the room (GiB) for the policy that the round has to make, and for its checkpoint."""
    kind = "preference" if round_.number else "sft"
    return 0.0 if round_.has_policy else count_parameters(round_.recipe) * PARAMETER_BYTES[kind] / GIB


def full_caches(round_: Round) -> Iterator[str]:
    """Yield a sentence for each trainer node whose cache has no room for the policy of a run in an object store."""
    import ray

    needed = _policy_gib(round_) if "://" in round_.run.uri else 0.0
    trainer = {"trainer": (1, round_.recipe.resources.trainer.needs)}
    alive = [node for node in ray.nodes() if needed and node["Alive"]]  # type: ignore[no-untyped-call]
    hosts = [node for node in alive if fits(trainer, [node["Resources"]])]
    rooms = _call_on_nodes(hosts, cache_room, round_.policy_uri)
    for node, (folder, free) in zip(hosts, rooms, strict=True):
        if needed > free:
            room = f"{folder} on the node {node['NodeName']} has {free:.1f} GiB free"
            advice = "set ROUNDTRIP_CACHE to a larger disk on that node"
            yield f"disk: the training needs about {needed:.1f} GiB on its node, and {room}: {advice}"


def cache_room(policy: str) -> tuple[str, float]:
    """Return the folder where this node trains a policy, and its room (GiB) with the files of earlier attempts."""
    folder = local_training_folder(policy)
    existing = next(parent for parent in folder.parents if parent.exists())
    reused = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    return str(existing), (shutil.disk_usage(existing).free + reused) / GIB


def blind_nodes(round_: Round) -> Iterator[str]:
    """Yield a sentence for each node that does not see the run's folder: what its actors wrote would be lost."""
    import ray

    uri = round_.run.uri
    alive = [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    if "://" in uri or len(alive) == 1:
        return
    mark = Path(uri).absolute() / f".seen-{uuid4().hex[:8]}"
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.touch()
    try:
        seen = _call_on_nodes(alive, lambda path: Path(path).exists(), str(mark))
    finally:
        mark.unlink()
    advice = "give --run a folder that all nodes share, or s3://"
    names = [node["NodeName"] for node, sees in zip(alive, seen, strict=True) if not sees]
    yield from (f"run: the node {name} does not see {uri}: {advice}" for name in names)


def _call_on_nodes(nodes: list[dict[str, Any]], function: Callable[[str], T], argument: str) -> list[T]:
    """Call a function on each node and return the results in order."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    remote: Any = ray.remote(num_cpus=0)(function)
    strategies = [NodeAffinitySchedulingStrategy(node["NodeID"], soft=False) for node in nodes]
    calls = [remote.options(scheduling_strategy=strategy).remote(argument) for strategy in strategies]
    results: list[T] = ray.get(calls, timeout=ANSWER_S)
    return results
