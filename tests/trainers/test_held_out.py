"""Held-out pairs decide: a training stops when their margin falls, and the best weights are published."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file

from factory.recipe.training import PreferenceConfig
from tests.trainers.toys import interrupt_preference, pair, read_curve
from trainers import preference_loop
from trainers.held_out import MARGIN, PUBLISHED, best_evaluation, is_over, weights_file
from trainers.preference import train_preference

CONFIG = PreferenceConfig(
    batch=8, epochs=6, lr=1e-2, held_out=0.2, save_every=3, precision="fp32", schedule="constant", patience=2
)


def curve_of(*margins: float) -> list[dict[str, Any]]:
    """Return a curve with an evaluation after every second step."""
    lines = []
    for number, margin in enumerate(margins, 1):
        lines += [{"loss": 1.0, "step": 2 * number}, {MARGIN: margin, "step": 2 * number}]
    return lines


@pytest.mark.parametrize(
    ("margins", "step", "later"),
    [
        ((0.1,), 2, 0),
        ((0.1, 0.2), 4, 0),
        ((0.1, 0.3, 0.2, 0.3), 4, 2),
        ((-1.0, math.nan), 2, 1),
        ((math.nan, 0.0), 4, 0),
    ],
)
def test_the_best_evaluation_is_the_first_with_the_largest_margin(
    margins: tuple[float, ...], step: int, later: int
) -> None:
    best, after = best_evaluation(curve_of(*margins))
    assert best is not None and (best["step"], after) == (step, later)


def test_a_training_is_over_when_the_margin_has_not_risen_for_its_patience() -> None:
    assert best_evaluation([{"loss": 1.0}]) == (None, 0) and not is_over([], 1)
    falling = curve_of(0.3, 0.2, 0.1)
    assert [is_over(falling, patience) for patience in range(4)] == [False, True, True, False]
    assert not is_over(curve_of(0.3, 0.2, 0.4), 1)


@pytest.fixture(scope="module")
def contradicting(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty pairs, and the same ones with their sides swapped: what is learned of a pair is wrong for its twin."""
    rows = [pair(number) for number in range(20)]
    rows += [row | {"chosen": row["rejected"], "rejected": row["chosen"]} for row in rows]
    path = tmp_path_factory.mktemp("data") / "pairs.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


@pytest.fixture(scope="module")
def stopped(tiny: Path, contradicting: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy whose training stopped early."""
    out = tmp_path_factory.mktemp("stopped") / "policy"
    train_preference(contradicting, tiny, out, CONFIG, seed=3)
    return out


def weights_of(policy: Path) -> dict[str, torch.Tensor]:
    """Return the LoRA weights of a published policy."""
    return load_file(policy / "adapter/adapter_model.safetensors")


def test_a_training_stops_and_publishes_its_best_weights(
    tiny: Path, contradicting: Path, stopped: Path, tmp_path: Path
) -> None:
    """The best weights are those after the first epoch, and a training that is killed right then has just them."""
    measured = [line for line in read_curve(stopped) if MARGIN in line]
    assert [line["step"] for line in measured] == [4, 8, 12]
    assert measured[0][MARGIN] > max(line[MARGIN] for line in measured[1:]) + 1e-3
    assert [line.get(PUBLISHED) for line in measured] == [True, None, None]
    summary = json.loads((stopped / "training.json").read_text())
    assert summary["held_out"] == measured[0] and summary["step"] == 12
    with interrupt_preference(step=4):
        train_preference(contradicting, tiny, tmp_path / "policy", replace(CONFIG, patience=0, save_every=4), seed=3)
    [first] = (tmp_path / "policy.work").glob("checkpoint-*")
    kept, expected = weights_of(stopped), load_file(first / "adapter_model.safetensors")
    assert kept.keys() == expected.keys()
    for name, weight in expected.items():
        torch.testing.assert_close(kept[name], weight, atol=1e-6, rtol=1e-5)


def test_without_patience_all_epochs_are_trained(tiny: Path, contradicting: Path, tmp_path: Path) -> None:
    out, config = tmp_path / "policy", replace(CONFIG, patience=0, epochs=2.5)
    summary = train_preference(contradicting, tiny, out, config, seed=3)
    measured = [line for line in read_curve(out) if MARGIN in line]
    assert [line["step"] for line in measured] == [4, 8, 10] and summary["step"] == 10
    assert summary["held_out"] == measured[-1] and not any(PUBLISHED in line for line in measured)


@pytest.mark.parametrize("step", [4, 7, 9])
def test_a_killed_training_stops_where_another_one_stops(
    tiny: Path, contradicting: Path, stopped: Path, tmp_path: Path, step: int
) -> None:
    """It is killed after an evaluation, between two, and after one more."""
    out = tmp_path / "policy"
    with interrupt_preference(step=step):
        train_preference(contradicting, tiny, out, CONFIG, seed=3)
    summary = train_preference(contradicting, tiny, out, CONFIG, seed=3)
    assert summary["step"] == 12
    assert [line["step"] for line in read_curve(out) if MARGIN in line] == [4, 8, 12]
    for name, weight in weights_of(stopped).items():
        torch.testing.assert_close(weights_of(out)[name], weight, atol=1e-6, rtol=1e-5)


def test_a_training_that_was_killed_after_its_stop_takes_no_further_step(
    tiny: Path, contradicting: Path, stopped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    out = tmp_path / "policy"
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(preference_loop, "load_best", interrupt)
        train_preference(contradicting, tiny, out, CONFIG, seed=3)
    assert weights_file(tmp_path / "policy.work", {"step": 4}).exists()
    summary = train_preference(contradicting, tiny, out, CONFIG, seed=3)
    assert summary["step"] == 12 and max(line["step"] for line in read_curve(out)) == 12
    for name, weight in weights_of(stopped).items():
        torch.testing.assert_close(weights_of(out)[name], weight, atol=1e-6, rtol=1e-5)
