"""The log of a policy's training, and what it says about pairs that were not trained on."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from enum import Enum

from factory.planning.places import Round
from factory.storage.files import filesystem, get, look

LogLine = Mapping[str, float]
"""One line of a policy's training log: `rewards/margins` of a step, or `eval_rewards/margins` of held-out pairs."""
MEMORISED = 0.2
"""A held-out margin that rises by less than this share of the training margin: the pairs were learned by heart."""
LAST_STEPS = 10
"""Steps, at most, whose mean is the training margin at the end; of a short training the second half."""


class Learning(Enum):
    """What a training log says about pairs that were not trained on."""

    GENERALISED = "the margin of held-out pairs rose"
    MEMORISED = "the margin of trained pairs rose, that of held-out pairs did not"
    NOTHING = "the margin of trained pairs did not rise"
    UNKNOWN = "no pair was held out"


def read_training_log(round_: Round) -> list[dict[str, float]]:
    """Return the lines of the policy's training log; empty if there is none."""
    fs, path = filesystem(f"{round_.policy_uri}/training.jsonl")
    if not look(fs, path).is_file:
        return []
    return [json.loads(line) for line in get(fs, path).decode().splitlines() if line.strip()]


def judge_learning(log: Sequence[LogLine]) -> Learning:
    """Return whether a preference training learned what holds for other pairs too.

    The margin of trained pairs before the first step is the start of both margins. Where an evaluation is marked as
    the one whose weights are published (`preference.patience`), the log ends there.
    """
    published = next((number for number, line in enumerate(log) if line.get("published")), len(log))
    log = log[: published + 1]
    trained = [line["rewards/margins"] for line in log if "rewards/margins" in line]
    held_out = [line["eval_rewards/margins"] for line in log if "eval_rewards/margins" in line]
    if not trained or not held_out:
        return Learning.UNKNOWN
    last = trained[-max(1, min(LAST_STEPS, len(trained) // 2)) :]
    rise, held_out_rise = sum(last) / len(last) - trained[0], held_out[-1] - trained[0]
    if rise <= 0:
        return Learning.NOTHING
    return Learning.GENERALISED if held_out_rise >= MEMORISED * rise else Learning.MEMORISED
