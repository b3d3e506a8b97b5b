"""Budgets, the shipped network, and checkpoints."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from factory.models.unit_hifigan import CodeHiFiGAN
from tests.trainers.vocoder.toys import CONFIG, NETWORK
from trainers.errors import TrainingError
from trainers.vocoder.state import Budget, State, TrainingConfig, small_config

ROOT = Path(__file__).resolve().parents[3]


def test_a_budget_ends_at_the_first_of_its_limits() -> None:
    assert Budget(steps=100, minutes=1).share_used(10, 30) == 0.5
    assert Budget(steps=100, minutes=1).share_used(70, 30) == 0.7
    assert Budget(steps=100).share_used(25, 1e9) == 0.25
    assert Budget(minutes=2).share_used(10**9, 60) == 0.5
    assert Budget(minutes=2).share_used(0, 600) == 1
    assert Budget().share_used(0, 0) == 1


def test_the_small_network_is_a_vocoder_of_its_units() -> None:
    network = CodeHiFiGAN(small_config(123))
    assert network.dict.num_embeddings == 123 and network.pitch_predictor is not None
    assert len(network.synthesize([[1, 2]], [[2, 1]])[0]) == 3 * 320


def test_the_small_network_is_that_of_the_shipped_voices() -> None:
    shipped = json.loads((ROOT / "assets/phrasebook/vocoder-fr/config.json").read_text())
    assert small_config(200) == shipped


def test_the_defaults_are_those_of_the_shipped_voices() -> None:
    config = TrainingConfig()
    assert (config.spectral, config.adversarial) == (Budget(minutes=15), Budget(minutes=20))
    assert (config.lr, config.adversarial_lr, config.discriminator_lr) == (1e-3, 4e-4, 1e-3)
    assert (config.batch, config.crop, config.seed, config.precision) == (8, 48, 1, "auto")


def test_the_seed_makes_the_weights() -> None:
    one, same, other = (State.create(NETWORK, replace(CONFIG, seed=seed)) for seed in (1, 1, 2))
    weights = [state.generator.state_dict()["dict.weight"] for state in (one, same, other)]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])
    average = one.average.state_dict()["dict.weight"]
    assert torch.equal(average, weights[0]) and average.data_ptr() != weights[0].data_ptr()


def test_a_checkpoint_holds_everything(tmp_path: Path) -> None:
    state = State.create(NETWORK, CONFIG)
    state.phase, state.steps, state.seconds = 1, [4, 2], [1.5, 2.5]
    state.history.append({"step": 3.0})
    state.save(tmp_path / "checkpoint.pt")
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"]
    loaded = State.create(NETWORK, replace(CONFIG, seed=2))
    loaded.load(tmp_path / "checkpoint.pt")
    assert (loaded.phase, loaded.steps, loaded.seconds, loaded.history) == (1, [4, 2], [1.5, 2.5], [{"step": 3.0}])
    for name in ("generator", "average", "discriminators"):
        weights, others = getattr(state, name).state_dict(), getattr(loaded, name).state_dict()
        assert all(torch.equal(weight, others[key]) for key, weight in weights.items())


@pytest.mark.parametrize("change", ["network", "version"])
def test_a_checkpoint_of_another_network_or_version_is_refused(tmp_path: Path, change: str) -> None:
    path = tmp_path / "checkpoint.pt"
    State.create(NETWORK, CONFIG).save(path)
    if change == "version":
        state = torch.load(path, weights_only=True)
        torch.save({key: value for key, value in state.items() if key != "discriminators"}, path)
    network = NETWORK | ({"upsample_initial_channel": 32} if change == "network" else {})
    with pytest.raises(TrainingError, match="checkpoint of another config.json or another version: give another --out"):
        State.create(network, CONFIG).load(path)
