"""Where a model computes, and in which numbers."""

from __future__ import annotations

import os
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch

Dtype = Literal["bfloat16", "float32"]
WantedDtype = Literal["auto", "bfloat16", "float32"]

_BF16_FLAGS = re.compile(r"^(?:flags|Features)\s*:.*\s(?:avx512_bf16|amx_bf16|bf16)(?:\s|$)", re.MULTILINE)
"""What Linux calls bf16 units: of x86 (`flags`) and of ARM (`Features`)."""


def device() -> torch.device:
    """Return the GPU that this process was given, or the CPU: Ray shows an actor only the GPUs that its pool asks for (`num_gpus`)."""
    import torch

    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def resolve_dtype(wanted: WantedDtype, *, on_gpu: bool) -> Dtype:
    """Return the numbers to compute in on this machine: `auto` is bfloat16 where the GPU, or the CPU, has units for it, else float32.

    Without such units bfloat16 is emulated: on a CPU it is several times slower than float32. torch is imported for a GPU alone.
    """
    if wanted != "auto":
        return wanted
    return "bfloat16" if (_gpu_has_bf16() if on_gpu else cpu_has_bf16()) else "float32"


@cache
def cpu_has_bf16() -> bool:
    """Whether this machine's CPU has bf16 units; not known means no, for float32 is right everywhere."""
    try:
        return has_bf16_flag(Path("/proc/cpuinfo").read_text("utf-8", "replace"))
    except OSError:
        return False


def has_bf16_flag(cpuinfo: str) -> bool:
    """Whether a CPU with this /proc/cpuinfo has bf16 units."""
    return bool(_BF16_FLAGS.search(cpuinfo))


def describe_dtype(wanted: WantedDtype, *, on_gpu: bool) -> str:
    """Say which numbers actors compute in, as far as the driver knows: each resolves `auto` on its own machine."""
    if wanted != "auto":
        return wanted
    if on_gpu:
        return "auto (bfloat16 on a GPU that has it, else float32)"
    here = resolve_dtype(wanted, on_gpu=False)
    return f"auto ({here} on the driver's CPU)" if os.environ.get("RAY_ADDRESS") else here


def _gpu_has_bf16() -> bool:
    import torch

    return torch.cuda.is_bf16_supported(including_emulation=False)
