"""The loop of preference training in one worker: the pairs that fit, TRL's trainer, and its status.

Apart from `trainers.preference`, whose process only starts the training: these libraries take seconds to import.
"""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import NotRequired, TypedDict, cast

import torch
from datasets import Dataset
from peft import PeftModel
from transformers import (
    PreTrainedTokenizerBase,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from factory.recipe.training import PreferenceConfig
from trainers.checks import check_pairs, check_targets, check_tokens, nothing_fits, read_texts
from trainers.errors import TrainingError
from trainers.held_out import MARGIN, PUBLISHED, is_over, load_best
from trainers.job import LocalJob
from trainers.launch import pulse
from trainers.publish import ADAPTER, publish
from trainers.remote import CHECKPOINT_LAST, last_checkpoint
from trainers.spoken_pairs import count_embeddings, let_hear, read_heard_pairs
from trainers.starts import load_start
from trainers.status import describe_step
from trainers.workers import rank

SIDES = ("chosen", "rejected")


class Summary(TypedDict):
    """The content of training.json."""

    settings: dict[str, object]
    seed: int
    pairs: int
    too_long: int
    left_out: NotRequired[dict[str, int]]
    """Pairs whose recording cannot be used, by reason."""
    first_loss: float | None
    """Before the first step; for DPO it is ln 2."""
    held_out: dict[str, float] | None
    """The line of the curve that measures the published weights on the held-out pairs."""
    step: int
    """Steps that were taken. With `patience` the published weights may be those of an earlier one."""


def read_pairs(path: Path, tokenizer: PreTrainedTokenizerBase, max_length: int, cache: Path) -> tuple[Dataset, int]:
    """Return the pairs that fit into the context, and the number of pairs that do not; TRL would cut them silently.

    Args:
        path: a Parquet file with the columns prompt, chosen and rejected.
        tokenizer: the tokenizer of the policy.
        max_length: the largest number of tokens of prompt, completion and end token.
        cache: a folder that all workers see; the first worker keeps the log-probabilities of the reference there.

    Raises:
        TrainingError: the file cannot be read, a pair cannot be used, or no pair fits.
    """
    rows = read_texts(path, ("prompt", *SIDES))
    check_pairs(rows, str(path))
    texts = (row[name] for row in rows for name in ("prompt", *SIDES))
    check_tokens(texts, tokenizer.get_vocab(), tokenizer.name_or_path)
    longest = [max(_length(tokenizer, row["prompt"] + row[side]) for side in SIDES) for row in rows]
    fitting = [index for index, length in enumerate(longest) if length <= max_length]
    if not fitting:
        raise nothing_fits("pairs", str(path), max_length, [_length(tokenizer, row["prompt"]) for row in rows])
    dataset = Dataset.from_parquet(str(path), columns=["prompt", *SIDES], cache_dir=str(cache))
    return dataset.select(fitting), len(rows) - len(fitting)


def _length(tokenizer: PreTrainedTokenizerBase, text: str) -> int:
    """Return the tokens of a text with the end token."""
    return len(tokenizer(text, add_special_tokens=False)["input_ids"]) + 1


def train_worker(job: LocalJob[PreferenceConfig]) -> None:
    """Train in one worker; the first one publishes the policy. The precision of the settings is resolved."""
    from trainers.preference_trainer import preference_trainer

    config = job.config
    torch.set_num_threads(config.threads or 1)
    folder = job.inputs["policy"]
    pulse(job.work, "loading the policy")
    start = load_start(folder)
    model, tokenizer = start.model, start.tokenizer
    model.register_forward_pre_hook(lambda *_: pulse(job.work))
    linear = [name for name, layer in model.named_modules() if isinstance(layer, torch.nn.Linear)]
    check_targets(config.targets or (), linear, folder.name)
    longest = config.max_length or model.config.max_position_embeddings
    left_out: dict[str, int] = {}
    heard = 0
    if start.open_hearer is not None:
        _check_loss(config)
        vocabulary = count_embeddings(model)
        pairs, speech, left_out = read_heard_pairs(
            job.inputs["pairs"], start.open_hearer, tokenizer, vocabulary, longest, job.work
        )
        let_hear(model, speech)
        heard = vocabulary + len(speech) - len(tokenizer)  # a table may be larger than its vocabulary
        too_long = left_out.pop("too_long", 0)
    else:
        pairs, too_long = read_pairs(job.inputs["pairs"], tokenizer, longest, job.work / "cache")
    pulse(job.work, f"preparing {len(pairs):,} pairs and the log-probabilities of the reference")
    trainer = preference_trainer(model, tokenizer, pairs, config, job.work, job.seed, heard)
    trainer.add_callback(StepStatus(job.work))
    _train_to_end(trainer, config.patience, job.work)
    curve, trained = trainer.state.log_history, cast(PeftModel, trainer.model)
    if config.patience:
        load_best(trained, job.work, curve)
    measured = [line for line in curve if MARGIN in line]
    published = [line for line in measured if PUBLISHED in line] or measured
    summary: Summary = {
        "settings": asdict(config),
        "seed": job.seed,
        "pairs": len(pairs),
        "too_long": too_long,
        "first_loss": next((line["loss"] for line in curve if "loss" in line), None),
        "held_out": published[-1] if published else None,
        "step": trainer.state.global_step,
    }
    if rank() == 0:
        trained.save_pretrained(str(job.work / ADAPTER))
    if left_out:
        summary["left_out"] = left_out
    publish(start.saver(trained.merge_and_unload()), job, curve, summary)


def _check_loss(config: PreferenceConfig) -> None:
    """Raise TrainingError where the settings do not suit a policy that hears."""
    if not config.loss.needs_reference_model or config.unit_kl:
        raise TrainingError(
            f"a policy that hears is trained with preference.loss: dpo and preference.unit_kl: 0; got "
            f"{config.loss} and {config.unit_kl}"
        )


def _train_to_end(trainer: Trainer, patience: int, work: Path) -> None:
    """Train from the last checkpoint, unless the training had stopped there already."""
    checkpoint = last_checkpoint(work)
    if checkpoint is not None:
        reached = TrainerState.load_from_json(str(Path(checkpoint, CHECKPOINT_LAST)))
        if is_over(reached.log_history, patience):
            trainer.state = reached
            return
    trainer.train(resume_from_checkpoint=checkpoint)


class StepStatus(TrainerCallback):
    """Writes the status of the training into its pulse whenever the trainer logs; the first worker does it."""

    def __init__(self, work: Path) -> None:
        """Begin to measure the time per step."""
        self.work, self.first_step, self.began = work, 0, 0.0

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        """Note the step and the time of the start; a training that resumes does not start at step 0."""
        self.first_step, self.began = state.global_step, time.monotonic()

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object) -> None:
        """Write the status."""
        losses = [line["loss"] for line in state.log_history if "loss" in line]
        margins = [line[MARGIN] for line in state.log_history if MARGIN in line]
        done = state.global_step - self.first_step
        if rank() != 0 or not losses or not done:
            return
        pace = (time.monotonic() - self.began) / done
        margin = margins[-1] if margins else None
        pulse(self.work, describe_step(state.global_step, state.max_steps, losses[-1], margin, pace))
