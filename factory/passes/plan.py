"""What every pass shares: how a pool of actors is asked of Ray, and how a plan is run to its published end."""

from __future__ import annotations

from collections.abc import Collection
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from factory.models.weights import digest, resolve
from factory.progress import Clock
from factory.recipe import Pool, locate
from factory.store import DatasetDir

if TYPE_CHECKING:
    import ray.data


def pool(stage: Pool) -> dict[str, Any]:
    """Return the arguments of `map_batches` that run an actor as the recipe's resources say."""
    import ray.data

    return {
        "compute": ray.data.ActorPoolStrategy(size=stage.actors),
        "num_cpus": stage.num_cpus,
        "num_gpus": stage.num_gpus,
        "batch_size": stage.batch_size,
        "batch_format": "pyarrow",
    }


def weights(name: str) -> Path:
    """Return the local files of named weights: a path of the recipe, `package:NAME` or a hub name."""
    return resolve(locate(name))


def digests(named: dict[str, str]) -> dict[str, str]:
    """Return the digest of each of these weights, for a fingerprint: what they hold counts, not where they lie."""
    return {key: _digest(name) for key, name in named.items()}


@cache
def _digest(name: str) -> str:
    return digest(weights(name))


def finish(out: DatasetDir, rows: ray.data.Dataset, asked: Collection[str], clock: Clock, name: str) -> None:
    """Run the plan, show its progress over the `asked` ids, and publish the dataset once all are there."""
    done = len(out.done_ids())
    with clock.bar(name, len(asked), done) as bar:
        for report in out.write(rows):
            bar.update(report.rows)
            clock.note_memory()
    out.publish(asked)
