"""Preference training: a policy learns from pairs with DPO or SimPO, through LoRA that is merged into the next policy.

DPO (arXiv 2305.18290): -log sigmoid(beta [(log pi(w) - log ref(w)) - (log pi(l) - log ref(l))]).
SimPO (arXiv 2405.14734): -log sigmoid(beta (mean log pi(w) - mean log pi(l)) - gamma).
PROST-LLM (arXiv 2601.16618, section 3) trains LoRA of rank 8 on all linear layers except the head.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from factory.models.weights import policy_digest, resolve, weights_digest
from factory.recipe.training import PreferenceConfig, resolve_precision
from trainers.command import build_config, parse_arguments, run_training
from trainers.job import Job, LocalJob, Location, absolute_location, name_for_workers
from trainers.launch import Workers
from trainers.publish import make_identity, train_policy

if TYPE_CHECKING:
    from trainers.preference_loop import Summary

SPEED = ("save_every", "threads")
"""Settings that do not change the policy."""


def train_preference(
    pairs: Location,
    policy: Location,
    out: Location,
    config: PreferenceConfig,
    *,
    seed: int = 0,
    workers: Workers | None = None,
) -> Summary:
    """Train a policy on pairs and publish it, merged. A published policy is kept; a killed training resumes.

    Args:
        pairs: a Parquet file with the columns prompt, chosen and rejected; a path or a URI, like all locations.
        policy: the policy to start from, which is the reference too.
        out: the folder of the new policy; `OUT.work` holds the checkpoints until it is published.
        config: the settings.
        seed: of the held-out pairs, the order of pairs and LoRA.
        workers: the workers on Ray; None trains in this process.

    Returns:
        The content of training.json.

    Raises:
        TrainingError: pairs, layers or settings cannot be used, or `out` has another identity.
        StoreError: another process trains this policy, or the object store fails.
        Stalled: the training makes no progress.
    """
    identity = make_identity(
        config,
        SPEED,
        seed=seed,
        workers=workers.pool.actors if workers else 1,
        pairs=weights_digest(resolve(str(pairs))),
        policy=policy_digest(policy),
    )
    inputs: dict[str, Location] = {"pairs": name_for_workers(pairs), "policy": name_for_workers(policy)}
    job = Job(config, seed, inputs, absolute_location(out))
    return cast("Summary", train_policy(_train_worker, job, identity, workers))


def _train_worker(job: LocalJob[PreferenceConfig]) -> None:
    """Train in one worker; the first one publishes the policy."""
    from trainers.preference_loop import train_worker
    from trainers.workers import device

    train_worker(replace(job, config=resolve_precision(job.config, on_gpu=device().type == "cuda")))


def main(argv: Sequence[str] | None = None) -> int:
    """Train from the command line; settings are `key=value`, as in the section `preference` of a recipe."""
    prog, description = "python -m trainers.preference", (__doc__ or "").splitlines()[0]
    arguments = parse_arguments(prog, description, ("pairs", "policy", "out"), argv=argv)

    def train() -> Summary:
        config = build_config(PreferenceConfig, "preference", arguments.settings)
        locations = (arguments.pairs, arguments.policy, arguments.out)
        return train_preference(*locations, config, seed=arguments.seed, workers=arguments.workers)

    return run_training(prog, train)


if __name__ == "__main__":
    sys.exit(main())
