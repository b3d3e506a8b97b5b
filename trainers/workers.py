"""What workers of one training share: gradients alone (DistributedDataParallel), or weights and the optimizer's state as well (FSDP)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import distributed, nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_state_dict, set_state_dict
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.nn.parallel import DistributedDataParallel

_WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True)


def spread(network: nn.Module, layers: nn.ModuleList, sharded: bool) -> nn.Module:
    """Return the network as this worker trains it: as it is where it is alone, else a copy or, `sharded`, its share of each layer."""
    if not distributed.is_initialized():
        return network
    if not sharded:
        return DistributedDataParallel(network)
    for layer in layers:
        fully_shard(layer)
    fully_shard(network)
    return network


@contextmanager
def quiet(network: nn.Module, until_last: bool) -> Iterator[None]:
    """Keep gradients to this worker inside, where more of the same step are to come."""
    if isinstance(network, FSDPModule):
        network.set_requires_gradient_sync(not until_last)
        yield
    elif isinstance(network, DistributedDataParallel) and until_last:
        with network.no_sync():
            yield
    else:
        yield


def mean(values: list[float], where: torch.device) -> float:
    """Return the mean over the values of all workers."""
    told = torch.tensor([sum(values), len(values)], dtype=torch.float64, device=where)
    if distributed.is_initialized():
        distributed.all_reduce(told)
    return float(told[0] / told[1])


def whole_state(network: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Return weights and optimizer as one worker alone would hold them; all workers must call, the first one gets them."""
    weights, moments = get_state_dict(network, optimizer, options=_WHOLE)
    return {"model": weights, "optimizer": moments}


def load_whole(network: nn.Module, optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Take what `whole_state` returned, in each worker."""
    whole = StateDictOptions(full_state_dict=True)
    set_state_dict(
        network, optimizer, model_state_dict=state["model"], optim_state_dict=state["optimizer"], options=whole
    )


def rank() -> int:
    """Return which worker this process is; 0 where there is only one."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def world_size() -> int:
    """Return how many workers train together."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def device() -> torch.device:
    """Return this worker's GPU, or the CPU where it has none."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    if not distributed.is_initialized():
        return torch.device("cuda")
    from ray.train.torch import get_device

    return get_device()
