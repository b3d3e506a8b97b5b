"""Start a vLLM in this process: its environment, its settings on a CPU or GPU, and its faults."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Literal

from factory.models.device import WantedDtype, resolve_dtype

if TYPE_CHECKING:
    from vllm import LLM
    from vllm.config import KVTransferConfig

Speech = Literal["embeddings", "recordings"]
"""What the prompts of an engine hold next to token ids."""
NO_COMPILER = "TORCHDYNAMO_DISABLE"  # torch reads it where a function is decorated, at the import of vLLM
KV_BLOCK = 32
"""Tokens in one block of keys and values on a CPU (vLLM's minimum): the smaller, the less memory is left unused."""


@dataclass(frozen=True)
class EngineConfig:
    """How vLLM computes: speed and memory. Other values sample other outputs, but from the same distribution."""

    dtype: WantedDtype  # numbers of the network; auto: bfloat16 where the CPU or GPU has units for it, else float32
    threads: int  # threads of the math libraries, on a CPU
    kv_cache_gib: int  # memory (GiB) for keys and values, on a CPU
    gpu_memory_utilization: float  # share (0..1) of a GPU's memory that vLLM takes
    max_model_len: int | None  # longest prompt and output together, in tokens; None: the context of the policy


def set_environment(threads: int, kv_cache_gib: int) -> None:
    """Set what vLLM reads at its import: one process, few messages, no binding to cores (Ray decides).

    Args:
        threads: of the math libraries, on a CPU.
        kv_cache_gib: memory (GiB) for keys and values, on a CPU.
    """
    os.environ.update(
        OMP_NUM_THREADS=str(threads),
        VLLM_ENABLE_V1_MULTIPROCESSING="0",
        VLLM_CPU_OMP_THREADS_BIND="nobind",
        VLLM_CPU_KVCACHE_SPACE=str(kv_cache_gib),
        VLLM_NO_USAGE_STATS="1",
    )
    # FlashInfer's sampler is compiled at the start and needs nvcc, which few machines have
    os.environ.setdefault("VLLM_USE_FLASHINFER_SAMPLER", "0")
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")


def start_vllm(folder: str, config: EngineConfig, speech: Speech | None = None) -> LLM:
    """Load a policy into a vLLM in this process; `set_environment` comes first.

    Args:
        folder: a Hugging Face folder with a checkpoint.
        config: how to compute.
        speech: what prompts may hold next to token ids.
    """
    import torch

    on_gpu = torch.cuda.is_available()
    if not on_gpu:
        torch.set_num_threads(config.threads)  # in case torch was imported before OMP_NUM_THREADS was set
    gc.freeze()  # vLLM collects garbage five times while it starts: let it not search all imported modules
    with hide_unreadable_modules(), nullcontext() if on_gpu else without_compiler():
        from vllm import LLM

        return LLM(
            model=folder,
            skip_tokenizer_init=speech != "recordings",  # its processor needs one
            enforce_eager=not on_gpu,
            dtype=resolve_dtype(config.dtype, on_gpu=on_gpu),
            block_size=None if on_gpu else KV_BLOCK,
            kv_transfer_config=None if on_gpu else _share_prompts(),
            max_model_len=config.max_model_len,
            gpu_memory_utilization=config.gpu_memory_utilization,
            enable_prompt_embeds=speech == "embeddings",
            limit_mm_per_prompt={"audio": 1} if speech == "recordings" else None,
            mm_processor_cache_gb=0,  # a recording is processed once anyway (factory.models.audio_engine)
        )


def _share_prompts() -> KVTransferConfig:
    """Return what makes sequences share the whole of a prefix: GPUs have blocks of 16 tokens, and do without."""
    from vllm.config import KVTransferConfig

    return KVTransferConfig(
        kv_connector="PromptSharing", kv_connector_module_path="factory.models.prompt_sharing", kv_role="kv_both"
    )


@contextmanager
def without_compiler() -> Iterator[None]:
    """Let vLLM's small functions stay as they are: to trace them takes seconds, and saves none on a CPU."""
    before = os.environ.get(NO_COMPILER)
    os.environ[NO_COMPILER] = "1"
    try:
        yield
    finally:
        del os.environ[NO_COMPILER]
        if before is not None:
            os.environ[NO_COMPILER] = before


@contextmanager
def hide_unreadable_modules() -> Iterator[None]:
    """Remove modules from sys.modules inside the block that vLLM 0.32 fails on.

    It reads the `__dict__` of every object in every imported module. Flask's `request` raises outside of a request, and
    llvmlite's library object answers to any attribute, but not to `get`.
    """
    hidden = {name: module for name, module in list(sys.modules.items()) if _is_unreadable(module)}
    for name in hidden:
        del sys.modules[name]
    try:
        yield
    finally:
        sys.modules.update(hidden)


def _is_unreadable(module: ModuleType) -> bool:
    """Return whether an object of a module fails when it is read as vLLM reads it."""
    try:
        for value in list((getattr(module, "__dict__", None) or {}).values()):
            if hasattr(value, "__dict__"):
                vars(value).get("kernel")
    except Exception:  # any error: vLLM would end with it
        return True
    return False
