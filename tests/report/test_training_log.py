"""What a training log says about pairs that were not trained on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from factory.planning.places import Round, Run
from factory.report.training_log import Learning, judge_learning, read_training_log
from tests.toy_run import toy_recipe


def log(trained: list[float], held_out: list[float]) -> list[dict[str, float]]:
    return [{"rewards/margins": one} for one in trained] + [{"eval_rewards/margins": one} for one in held_out]


@pytest.mark.parametrize(
    ("trained", "held_out", "learning"),
    [
        ([0.0, 1.0], [0.1, 0.2], Learning.GENERALISED),
        ([0.0, 1.0], [0.9, 0.09], Learning.MEMORISED),
        ([0.0, 2.0], [-0.5], Learning.MEMORISED),
        ([1.0, 2.0], [1.1], Learning.MEMORISED),  # without a reference model a margin does not begin at 0
        ([0.5, 0.4], [0.6], Learning.NOTHING),
        ([0.0, 1.0], [], Learning.UNKNOWN),
        ([], [0.5], Learning.UNKNOWN),
        ([0.0] * 10 + [0.1] * 9 + [5.0], [0.11], Learning.MEMORISED),  # the last ten steps have a mean of 0.59
        ([0.0] * 10 + [0.1] * 9 + [5.0], [0.13], Learning.GENERALISED),
    ],
)
def test_learning_is_judged_by_held_out_pairs(trained: list[float], held_out: list[float], learning: Learning) -> None:
    assert judge_learning(log(trained, held_out)) is learning


def test_a_log_is_judged_up_to_the_evaluation_whose_weights_are_published() -> None:
    lines = [*log([0.0, 1.0], [0.5]), *log([3.0, 4.0], [0.1])]
    assert judge_learning(lines) is Learning.MEMORISED
    lines[2]["published"] = True
    assert judge_learning(lines) is Learning.GENERALISED


def test_the_log_of_a_round_is_read_and_round_0_may_have_none(tmp_path: Path) -> None:
    round_ = Round(Run(str(tmp_path)), 1, toy_recipe())
    assert read_training_log(round_) == []
    Path(round_.policy_uri).mkdir(parents=True)
    lines = [{"loss": 0.69, "step": 1}, {"loss": 0.5, "step": 2}]
    Path(round_.policy_uri, "training.jsonl").write_text("\n\n".join(map(json.dumps, lines)) + "\n")
    assert read_training_log(round_) == lines
