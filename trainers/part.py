"""Training in stages of a policy that hears continuous speech (PART, arXiv 2509.19745).

Each stage starts from the policy of the one before. A training that was killed goes on in the stage, and at the step,
where it stopped.

    python -m trainers.part --data spoken.parquet --start START --out POLICY \\
        'stages=[{name: adapter, train: ["adapter.*"]}, {name: llm, lora: 16, train: [], tasks: {asr: 1, s2t: 1}}]'
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, cast

from factory.models.weights import policy_digest, resolve, weights_digest
from factory.recipe.part import PartConfig, StageTraining
from factory.recipe.training import resolve_precision
from factory.storage.transfer import remove
from trainers.command import build_config, parse_arguments, run_training
from trainers.errors import TrainingError
from trainers.job import Job, LocalJob, Location, absolute_location, name_for_workers
from trainers.launch import Workers
from trainers.publish import Identity, is_published, make_identity, publish, read_summary, train_policy

if TYPE_CHECKING:
    from trainers.part_loop import Summary

SPEED = ("save_every", "log_every", "threads")
"""Settings that do not change the policy."""


def train_part(
    data: Location,
    start: Location,
    out: Location,
    config: PartConfig,
    *,
    seed: int = 0,
    workers: Workers | None = None,
) -> Summary:
    """Train all stages and publish the last policy. A published policy is kept; a killed training resumes.

    Args:
        data: Parquet with the columns of SPOKEN_SEQUENCE; a path or a URI, like all locations.
        start: the policy to start from, a folder of SpeechLM.
        out: the folder of the policy; those of the stages before are in `OUT.stages` until it is published.
        config: the stages and what they share.
        seed: of the order of sequences, and of LoRA.
        workers: the workers on Ray; None trains in this process.

    Returns:
        The content of training.json of the last stage.

    Raises:
        TrainingError: there is no stage, or the data or settings cannot be used, or `out` has another identity.
        StoreError: another process trains this policy, or the object store fails.
        Stalled: the training makes no progress.
    """
    if not config.stages:
        raise TrainingError("part.stages is empty: name the stages, as docs/continuous-speech.md does")
    where = absolute_location(out)
    others: Identity = {
        "seed": seed,
        "data": weights_digest(resolve(str(data))),
        "start": policy_digest(start),
        "workers": workers.pool.actors if workers else 1,  # each has a batch of every step
    }
    identities = [_identify(config, number, others) for number in range(len(config.stages))]
    if not is_published(where, identities[-1]):
        for number, stage in enumerate(config.stages, 1):
            is_last = number == len(config.stages)
            target = where if is_last else absolute_location(f"{where}.stages/{number}-{stage.name}")
            inputs: dict[str, Location] = {"data": name_for_workers(data), "start": name_for_workers(start)}
            job = Job(StageTraining.of(config, stage), seed, inputs, target)
            train_policy(_train_worker, job, identities[number - 1], workers)
            start = target
    remove(f"{where}.stages")
    return cast("Summary", read_summary(where))


def _identify(config: PartConfig, number: int, others: Identity) -> Identity:
    """Return the identity of the policy of a stage (from 0): it depends on the stages before."""
    before = [asdict(stage) for stage in config.stages[:number]]
    return make_identity(StageTraining.of(config, config.stages[number]), SPEED, before=before, **others)


def _train_worker(job: LocalJob[StageTraining]) -> None:
    """Train one stage in one worker; the first one publishes the policy."""
    from trainers.part_loop import StageLoop, Summary
    from trainers.workers import device

    config = resolve_precision(job.config, on_gpu=device().type == "cuda")
    loop = StageLoop(replace(job, config=config))
    last = loop.run()
    loop.merge()
    model = loop.model
    summary = Summary(
        settings=asdict(config),
        seed=job.seed,
        sequences=len(loop.data.examples),
        left_out=dict(loop.data.left_out),
        trained=loop.trained,
        weights=sum(weight.numel() for weight in model.parameters()),
        **last,
    )
    publish(model.save_pretrained, job, loop.curve, summary)


def main(argv: Sequence[str] | None = None) -> int:
    """Train from the command line; settings are `key=value`, as in the section `part` of a recipe."""
    prog, description = "python -m trainers.part", (__doc__ or "").splitlines()[0]
    arguments = parse_arguments(prog, description, ("data", "start", "out"), (), argv)

    def train() -> Summary:
        config = build_config(PartConfig, "part", arguments.settings)
        locations = (arguments.data, arguments.start, arguments.out)
        return train_part(*locations, config, seed=arguments.seed, workers=arguments.workers)

    return run_training(prog, train)


if __name__ == "__main__":
    sys.exit(main())
