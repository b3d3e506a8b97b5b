"""Held-out pairs decide which weights of a preference training are published, and when it stops.

Everything follows from the lines of the curve, which each checkpoint contains: a training that was killed takes the
decisions of one that was not.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from peft import PeftModel, get_peft_model_state_dict, set_peft_model_state_dict
from safetensors.torch import load_file, save_file
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from trainers.launch import pulse
from trainers.remote import BEST
from trainers.workers import rank

MARGIN = "eval_rewards/margins"
"""The key of the held-out margin in a line of the curve."""
PUBLISHED = "published"
"""The key that marks the evaluation whose weights are published; only a training with patience has one."""

Line = dict[str, Any]
"""A line of the curve."""


def best_evaluation(curve: Sequence[Line]) -> tuple[Line | None, int]:
    """Return the evaluation with the largest held-out margin (the first of equal ones), and how many came after it."""
    measured = [line for line in curve if MARGIN in line]
    margins = [-math.inf if math.isnan(line[MARGIN]) else line[MARGIN] for line in measured]
    if not measured:
        return None, 0
    best = margins.index(max(margins))
    return measured[best], len(measured) - 1 - best


def is_over(curve: Sequence[Line], patience: int) -> bool:
    """Return True if the held-out margin did not rise in the last `patience` evaluations; 0: never."""
    return 0 < patience <= best_evaluation(curve)[1]


def weights_file(work: Path, evaluation: Line) -> Path:
    """Return the file with the LoRA weights of an evaluation."""
    return work / BEST.replace("*", str(evaluation["step"]))


class KeepBest(TrainerCallback):
    """Keeps the weights of the best evaluation, and stops the training when the held-out margin no longer rises."""

    def __init__(self, work: Path, patience: int) -> None:
        """Keep the weights in `work`; stop after `patience` evaluations without a larger margin."""
        self.work, self.patience = work, patience

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Keep these weights if they are the best, and decide whether to go on. A checkpoint is written next."""
        best, later = best_evaluation(state.log_history)
        if best is not None and not later and rank() == 0:
            part = self.work / "best.part"
            save_file(get_peft_model_state_dict(kwargs["model"]), part)
            os.replace(part, weights_file(self.work, best))
        control.should_save = True
        if is_over(state.log_history, self.patience):
            control.should_training_stop = True
            if rank() == 0:
                number = "evaluation" if later == 1 else f"{later} evaluations"
                pulse(self.work, f"stops after step {state.global_step:,}: no larger held-out margin in {number}")


def load_best(model: PeftModel, work: Path, curve: Sequence[Line]) -> None:
    """Give a model the weights of the best evaluation, and mark the evaluation in the curve."""
    best, _ = best_evaluation(curve)
    if best is None:
        return
    if rank() == 0:
        set_peft_model_state_dict(model, load_file(weights_file(work, best)))
    best[PUBLISHED] = True
