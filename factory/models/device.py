"""Where a model computes."""

from __future__ import annotations

import torch


def device() -> torch.device:
    """Return the GPU that this process was given, or the CPU: Ray shows an actor only the GPUs that its pool asks for (`num_gpus`)."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
