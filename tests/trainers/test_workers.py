"""A worker that is alone; several workers are in test_launch.py."""

from __future__ import annotations

import copy

import torch
from torch import nn

from trainers.workers import (
    device,
    distribute,
    full_state,
    gradient_exchange,
    is_first_on_node,
    load_full_state,
    mean_over_workers,
    rank,
    sum_over_workers,
    wait_for_all,
    world_size,
)


def test_a_process_without_others_is_the_first_and_only_worker() -> None:
    assert (rank(), world_size(), is_first_on_node()) == (0, 1, True)
    wait_for_all()
    assert device().type == ("cuda" if torch.cuda.is_available() else "cpu")


def test_a_worker_that_is_alone_trains_the_network_itself() -> None:
    network = nn.Linear(2, 1)
    assert distribute(network, nn.ModuleList(), sharded=True) is network
    with gradient_exchange(network, enabled=False):
        network(torch.ones(1, 2)).sum().backward()
    assert network.weight.grad is not None and network.weight.grad.tolist() == [[1.0, 1.0]]


def test_the_mean_is_over_values() -> None:
    assert mean_over_workers([1.0, 2.0, 6.0], torch.device("cpu")) == 3.0
    assert sum_over_workers([1.0, 2.0], torch.device("cpu")) == [1.0, 2.0]


def test_a_loaded_state_continues_the_optimizer() -> None:
    """The same gradient takes both networks to the same weights, which depend on Adam's moments."""
    first, second = nn.Linear(3, 1), nn.Linear(3, 1)
    optimizers = [torch.optim.AdamW(network.parameters(), lr=0.1) for network in (first, second)]

    def step(network: nn.Module, optimizer: torch.optim.Optimizer, value: float) -> None:
        optimizer.zero_grad()
        network(torch.full((1, 3), value)).square().sum().backward()
        optimizer.step()

    step(first, optimizers[0], 5.0)
    state = copy.deepcopy(full_state(first, optimizers[0]))
    assert set(state) == {"model", "optimizer"} and set(state["model"]) == {"weight", "bias"}
    load_full_state(second, optimizers[1], state)
    for network, optimizer in zip((first, second), optimizers):
        step(network, optimizer, 1.0)
    assert torch.equal(first.weight, second.weight)
    assert torch.equal(first.bias, second.bias)
