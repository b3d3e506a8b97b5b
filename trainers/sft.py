"""Supervised training of round 0 on (prompt, completion) sequences; the loss is on the completion alone.

All weights are trained, or LoRA and the tables of embeddings.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, cast

from factory.models.weights import policy_digest, resolve, weights_digest
from factory.recipe.training import SftConfig, resolve_precision
from trainers.command import build_config, parse_arguments, run_training
from trainers.job import Job, LocalJob, Location, absolute_location, name_for_workers
from trainers.launch import Workers
from trainers.publish import make_identity, publish, saver, train_policy

if TYPE_CHECKING:
    from trainers.sft_loop import Summary

SPEED = ("compile", "sharded", "checkpointing", "save_every", "log_every", "threads")
"""Settings that do not change the policy."""


def train_sft(
    data: Location,
    start: Location,
    out: Location,
    config: SftConfig,
    *,
    dev: Location | None = None,
    seed: int = 0,
    workers: Workers | None = None,
) -> Summary:
    """Train a policy on sequences and publish it. A published policy is kept; a killed training resumes.

    Args:
        data: Parquet with the columns of SEQUENCE; a path or a URI, like all locations.
        start: the policy to start from.
        out: the folder of the new policy; `OUT.work` holds the checkpoints until it is published.
        config: the settings.
        dev: held-out Parquet with the columns of SEQUENCE, whose loss is computed at every checkpoint.
        seed: of the order of sequences, the noise and LoRA.
        workers: the workers on Ray; None trains in this process.

    Returns:
        The content of training.json.

    Raises:
        TrainingError: the data or settings cannot be used, or `out` has another identity.
        StoreError: another process trains this policy, or the object store fails.
        Stalled: the training makes no progress.
    """
    identity = make_identity(
        config,
        SPEED,
        seed=seed,
        data=weights_digest(resolve(str(data))),
        start=policy_digest(start),
        workers=None if config.batches else workers.pool.actors if workers else 1,
    )
    inputs: dict[str, Location] = {"data": name_for_workers(data), "start": name_for_workers(start)}
    if dev is not None:
        inputs["dev"] = name_for_workers(dev)
    job = Job(config, seed, inputs, absolute_location(out))
    return cast("Summary", train_policy(_train_worker, job, identity, workers))


def _train_worker(job: LocalJob[SftConfig]) -> None:
    """Train in one worker; the first one publishes the policy."""
    from trainers.sft_loop import SftLoop, Summary
    from trainers.workers import device

    config = resolve_precision(job.config, on_gpu=device().type == "cuda")
    loop = SftLoop(replace(job, config=config))
    last = loop.run()
    summary = Summary(
        settings=asdict(config),
        seed=job.seed,
        sequences=len(loop.data.sequences),
        too_long=loop.data.too_long,
        without_words=loop.interleaver.without_words if loop.interleaver else None,
        **last,
    )
    if loop.interleaver:
        summary["words"] = sum(line["words"] for line in loop.curve)
        text_words = sum(line["words"] * line["text_share"] for line in loop.curve)
        summary["text_share"] = round(text_words / max(1, summary["words"]), 4)
    publish(saver(loop.trained_policy(), loop.tokenizer), job, loop.curve, summary)


def main(argv: Sequence[str] | None = None) -> int:
    """Train from the command line; settings are `key=value`, as in the section `sft` of a recipe."""
    prog, description = "python -m trainers.sft", (__doc__ or "").splitlines()[0]
    arguments = parse_arguments(prog, description, ("data", "start", "out"), ("dev",), argv)

    def train() -> Summary:
        config = build_config(SftConfig, "sft", arguments.settings)
        locations = (arguments.data, arguments.start, arguments.out)
        return train_sft(*locations, config, dev=arguments.dev, seed=arguments.seed, workers=arguments.workers)

    return run_training(prog, train)


if __name__ == "__main__":
    sys.exit(main())
