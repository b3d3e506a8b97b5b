"""Compares what a round needs with what the cluster has, before anything starts; a shortfall is a sentence.

    python -m factory.planning.preflight --round 2 --recipe recipes/prost_llm_3b.yaml --run s3://bucket/run

It checks the cluster of RAY_ADDRESS; a round does this itself. A cluster that can grow is first asked for what it
lacks: its autoscaler gets every actor without room, and as much time for the whole plan as for one stage
(`factory.runtime.watch.growth_s`).
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress

from factory.arguments import round_parser, run_command, stay_local
from factory.passes.execute import list_demands
from factory.planning.disks import blind_nodes, full_caches, full_disk
from factory.planning.estimate import costs
from factory.planning.places import Round, rounds_from
from factory.planning.plan import Stage, amounts_of, list_missing_inputs, list_notes, stages
from factory.recipe.recipe import Recipe
from factory.runtime.watch import (
    ACCELERATOR_PREFIX,
    ActorRequests,
    Resources,
    Stalled,
    await_resources,
    describe_resources,
    fits,
    growth_s,
    nodes,
)
from schemas.errors import RoundtripError

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
"""Memory (GiB) of the GPU types that Ray knows, the smaller one of two; `expected.gpu_gib` is for others."""


class Shortfall(RoundtripError):
    """A round that cannot run here: a line for each missing file, or for each resource that the cluster lacks."""


def check_inputs(rounds: Sequence[Round]) -> None:
    """Raise Shortfall with a sentence for each missing file that rounds read from a disk. Needs no cluster."""
    if missing := list_missing_inputs(rounds):
        raise _shortfall(missing)


def preflight(round_: Round) -> None:
    """Print notes, and return when the connected cluster can run the round.

    Raises:
        Shortfall: the cluster lacks resources; a sentence for each.
    """
    for note in list_notes(round_):
        print(f"  note: {note}", flush=True)
    lacking = shortfalls(round_, nodes())
    if lacking and growth_s():
        print("\n".join([*lacking, f"waiting for nodes, at most {growth_s():g} s"]), flush=True)
        end = time.monotonic() + growth_s()  # one limit for all stages: a node that never comes costs it once
        with suppress(Stalled):
            for stage in _stages_to_place(round_):
                await_resources(stage.name, list_demands(round_.recipe.resources, stage.actors), end)
        lacking = shortfalls(round_, nodes())
    lacking = lacking or [*blind_nodes(round_), *full_caches(round_)]
    if lacking:
        raise _shortfall(lacking)


def _shortfall(sentences: list[str]) -> Shortfall:
    return Shortfall("the round cannot run here:\n" + "\n".join(f"  {sentence}" for sentence in sentences))


def shortfalls(round_: Round, nodes: list[Resources]) -> list[str]:
    """Return a sentence for each resource that these nodes and this machine's disk lack for the rest of a round."""
    sentences: list[str] = []
    for stage in _stages_to_place(round_):
        sentences += unplaced_actors(stage.name, list_demands(round_.recipe.resources, stage.actors), nodes)
    sentences += [*small_gpus(round_, nodes), *full_disk(round_)]
    return list(dict.fromkeys(sentences))


def _stages_to_place(round_: Round) -> list[Stage]:
    """Return the stages with actors that are not done."""
    return [stage for stage in stages(round_) if stage.actors and not stage.is_done(round_)]


def unplaced_actors(stage: str, wanted: ActorRequests, nodes: list[Resources]) -> Iterator[str]:
    """Yield a sentence for each kind of actor without room: too large for every node, or else too many.

    Args:
        stage: the name of the stage.
        wanted: the number and the resources of each kind of actor.
        nodes: the resources of each node.
    """
    if fits(wanted, nodes):
        return
    large = [name for name, (_, needs) in wanted.items() if not fits({name: (1, needs)}, nodes)]
    for name in large:
        needs = wanted[name][1]
        room = f"no node has room for one {name} ({describe_resources(needs)}); {_largest(nodes)}"
        yield f"{stage}: {room}: lower {_keys(name, needs)}"
    if large:
        return
    pools = [(name, number) for name, (number, _) in wanted.items() if number > 1]
    for name, number in pools:
        fitting = [fewer for fewer in range(1, number) if fits({**wanted, name: (fewer, wanted[name][1])}, nodes)]
        if fitting:
            more = f"{number} {name} do not fit next to the other actors, {fitting[-1]} do"
            yield f"{stage}: {more}: lower resources.{name}.actors, or add nodes"
            return
    actors = ", ".join(
        f"{number} {name} ({describe_resources(needs)} each)" for name, (number, needs) in wanted.items()
    )
    advice = "lower their num_cpus and num_gpus in resources, or add nodes"
    yield f"{stage}: {actors} do not fit together; {_largest(nodes)}: {advice}"


def _keys(name: str, needs: Resources) -> str:
    typed = any(resource.startswith(ACCELERATOR_PREFIX) for resource in needs)
    change = ", change its accelerator" if typed else ""
    return f"resources.{name}.num_cpus, num_gpus or memory_gib{change}, or add such a node"


def _largest(nodes: list[Resources]) -> str:
    most = {name: max((node.get(name, 0) for node in nodes), default=0) for name in ("CPU", "GPU")}
    types = {name: 1.0 for node in nodes for name in node if name.startswith(ACCELERATOR_PREFIX)}
    return f"of {len(nodes)} nodes the largest have {describe_resources(most | types)}"


def small_gpus(round_: Round, nodes: list[Resources]) -> Iterator[str]:
    """Yield a sentence for each stage whose model and working memory do not fit into its share of a GPU.

    The memory is an estimate, right within a factor of two (`factory.planning.estimate`).
    """
    recipe = round_.recipe
    for cost in costs(recipe, round_.number, amounts_of(round_)):
        pool = getattr(recipe.resources, cost.pool)
        share = min(1.0, pool.num_gpus)
        gpu_gib = _gpu_gib(pool.accelerator, recipe, nodes)
        if share and cost.gib > share * gpu_gib:
            needs = f"needs about {cost.gib:.0f} GiB of GPU memory, and has {share:g} of a GPU of {gpu_gib:g} GiB"
            yield f"{cost.stage}: {needs}: {_gpu_advice(cost.stage, cost.pool)}"


def _gpu_advice(stage: str, pool: str) -> str:
    """Return what helps a stage. The workers of a training have a whole GPU already."""
    if stage.startswith("stage "):
        return "use a larger accelerator, lower part.tokens, or let fewer weights learn (part.stages, train)"
    training = {
        "sft": "use a larger accelerator, share the weights (sft.sharded: true, then more "
        "resources.trainer.actors), train LoRA (sft.rank) or lower sft.tokens",
        "train": "use a larger accelerator, share preference.batch among more resources.trainer.actors, or lower it",
    }
    sizes = {
        "translator": "resources.translator.batch_size, or policy.base",
        "recognizer": "recognizer.model",
        "scorer": "recognizer.model",
    }
    other = f"raise resources.{pool}.num_gpus, use a larger accelerator, or lower {sizes.get(pool, 'its model')}"
    return training.get(stage, other)


def _gpu_gib(accelerator: str | None, recipe: Recipe, nodes: list[Resources]) -> float:
    """Return the memory of the GPUs of a pool: of its own type, or of the smallest type in the cluster."""
    types = {
        name.removeprefix(ACCELERATOR_PREFIX) for node in nodes for name in node if name.startswith(ACCELERATOR_PREFIX)
    }
    known = [GPU_GIB[kind] for kind in ({accelerator} if accelerator else types) if kind in GPU_GIB]
    return min(known, default=recipe.expected.gpu_gib)


def main(argv: list[str] | None = None) -> int:
    """Check the cluster for rounds; return 0, or 2 with a sentence per shortfall on stderr."""
    arguments = round_parser("preflight.py", __doc__).parse_args(argv)
    stay_local()
    return run_command("preflight", lambda: _check(arguments))


def _check(arguments: argparse.Namespace) -> int:
    from factory.runtime.local_ray import start_ray

    rounds = rounds_from(arguments)
    check_inputs(rounds)
    start_ray()
    for round_ in rounds:
        preflight(round_)
    print("the cluster can run it")
    return 0


if __name__ == "__main__":
    sys.exit(main())
