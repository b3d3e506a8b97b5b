"""The workers of one training: who they are, and how they share gradients, weights and the optimizer.

Workers share gradients alone (DistributedDataParallel), or weights and the state of the optimizer as well (FSDP).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TypedDict

import torch
from torch import distributed, nn
from torch.distributed.checkpoint.state_dict import (
    OptimizerStateType,
    StateDictOptions,
    ValueType,
    get_state_dict,
    set_state_dict,
)
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.nn.parallel import DistributedDataParallel


class FullState(TypedDict):
    """Weights and optimizer of a training as a worker holds them that trains alone."""

    model: dict[str, ValueType]
    optimizer: OptimizerStateType


def rank() -> int:
    """Return the number of this worker, 0 for the first one or where there is only one."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def world_size() -> int:
    """Return the number of workers."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def is_first_on_node() -> bool:
    """Return True in one worker of each machine."""
    if not distributed.is_initialized():
        return True
    from ray.train import get_context

    return int(get_context().get_local_rank()) == 0


def wait_for_all() -> None:
    """Return when all workers have called this."""
    if distributed.is_initialized():
        distributed.barrier()


def device() -> torch.device:
    """Return the GPU of this worker, or the CPU where it has none."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    if not distributed.is_initialized():
        return torch.device("cuda")
    from ray.train.torch import get_device

    return get_device()


def distribute(
    network: nn.Module, layers: nn.ModuleList | None = None, sharded: bool = False, find_unused: bool = False
) -> nn.Module:
    """Return the network as this worker trains it.

    A worker that is alone trains the network itself. Several workers train a copy each or, `sharded`, a share of each
    of the `layers` and of the rest. `find_unused`: some batches do not use all weights.
    """
    if not distributed.is_initialized():
        return network
    if layers is None or not sharded:
        return DistributedDataParallel(network, find_unused_parameters=find_unused)
    for layer in layers:
        fully_shard(layer)
    fully_shard(network)
    return network


@contextmanager
def gradient_exchange(network: nn.Module, enabled: bool) -> Iterator[None]:
    """Exchange the gradients of the block with the other workers, or (not `enabled`) add them up in this worker."""
    if isinstance(network, FSDPModule):
        network.set_requires_gradient_sync(enabled)
        yield
    elif isinstance(network, DistributedDataParallel) and not enabled:
        with network.no_sync():
            yield
    else:
        yield


def mean_over_workers(values: list[float], where: torch.device) -> float:
    """Return the mean of the values of all workers; every worker must call this."""
    total, count = sum_over_workers([sum(values), len(values)], where)
    return total / count


def sum_over_workers(values: Sequence[float], where: torch.device) -> list[float]:
    """Return the sum over all workers of each value; every worker must call this."""
    totals = torch.tensor(values, dtype=torch.float64, device=where)
    if distributed.is_initialized():
        distributed.all_reduce(totals)
    sums: list[float] = totals.tolist()
    return sums


def full_state(network: nn.Module, optimizer: torch.optim.Optimizer) -> FullState:
    """Return the whole weights and optimizer; every worker must call this, and the first one receives them."""
    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    weights, moments = get_state_dict(network, optimizer, options=options)
    return {"model": weights, "optimizer": moments}


def load_full_state(network: nn.Module, optimizer: torch.optim.Optimizer, state: FullState) -> None:
    """Load what `full_state` returned; every worker must call this."""
    options = StateDictOptions(full_state_dict=True)
    set_state_dict(
        network, optimizer, model_state_dict=state["model"], optim_state_dict=state["optimizer"], options=options
    )
