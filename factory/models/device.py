"""The device that a model computes on, and the floating-point type that it computes in."""

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
"""Linux's names of bf16 units, on x86 (`flags`) and on ARM (`Features`)."""


def select_device() -> torch.device:
    """Return the GPU of this process, or the CPU. Ray shows an actor only the GPUs that its pool reserves."""
    import torch

    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def resolve_dtype(setting: WantedDtype, *, on_gpu: bool) -> Dtype:
    """Return the type to compute in on this machine.

    `auto` is bfloat16 if the GPU, or the CPU, has units for it, else float32. Without such units a CPU emulates
    bfloat16 and takes several times as long as with float32. torch is imported only for a GPU.
    """
    if setting != "auto":
        return setting
    return "bfloat16" if (_gpu_has_bf16() if on_gpu else cpu_has_bf16()) else "float32"


@cache
def cpu_has_bf16() -> bool:
    """Return True if this machine's CPU has bf16 units, False if it has none or the system does not say."""
    try:
        return has_bf16_flag(Path("/proc/cpuinfo").read_text("utf-8", "replace"))
    except OSError:
        return False


def has_bf16_flag(cpuinfo: str) -> bool:
    """Return True if the CPU that this text of /proc/cpuinfo describes has bf16 units."""
    return bool(_BF16_FLAGS.search(cpuinfo))


def describe_dtype(setting: WantedDtype, *, on_gpu: bool) -> str:
    """Describe the type that actors compute in, as far as the driver knows: an actor resolves `auto` on its machine."""
    if setting != "auto":
        return setting
    if on_gpu:
        return "auto (bfloat16 on a GPU that has it, else float32)"
    dtype = resolve_dtype(setting, on_gpu=False)
    return f"auto ({dtype} on the driver's CPU)" if os.environ.get("RAY_ADDRESS") else dtype


def _gpu_has_bf16() -> bool:
    import torch

    return bool(torch.cuda.is_bf16_supported(including_emulation=False))
