"""Measure the engine's arithmetic on a CPU: tokens per second of one thread, for texts sampled by the shipped policy.

    python benchmarks/arithmetic.py [--dtype auto|bfloat16|float32] [--block 32] [--avx2] [--candidates 16]

The prompts are 64 held-out pairs of the embedded world, 66 tokens long on average. The faster of two runs counts, in
seconds of the CPU. `--block` is the number of tokens in a block of keys and values: candidates share only whole blocks
of their prompt. `--avx2` makes vLLM, oneDNN and PyTorch treat this CPU as one without AVX-512, to show the speed of
other machines; a real machine without AVX-512 may be slower still. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from factory.models.engine import Engine
    from factory.recipe.sections import TranslatorConfig

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

AVX2 = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}
ABOVE_AVX2 = ("_is_avx512_supported", "_is_avx512_bf16_supported", "_is_amx_tile_supported", "_is_amx_fp16_supported")
PROMPTS = 64


def pretend_avx2() -> None:
    """Make libraries that are imported later treat this CPU as one without AVX-512."""
    os.environ.update(AVX2)
    import torch.cpu

    for name in ABOVE_AVX2:
        if hasattr(torch.cpu, name):
            setattr(torch.cpu, name, lambda: False)


def make_prompts() -> list[str]:
    """Return prompts in both directions from the held-out pairs."""
    import pyarrow.parquet as pq

    from schemas.sequences import Variant, prompt

    rows = pq.read_table(ROOT / "assets/phrasebook/dev.parquet").slice(0, PROMPTS // 2).to_pylist()
    forward = [prompt(Variant.COM, row["src_lang"], row["tgt_lang"], row["src_units"]) for row in rows]
    return forward + [prompt(Variant.COM, row["tgt_lang"], row["src_lang"], row["tgt_units"]) for row in rows]


def measure(dtype: Any, block: int, candidates: int) -> dict[str, Any]:
    """Sample the texts of all prompts twice after a warm-up; return tokens, CPU seconds and tokens per CPU second.

    Args:
        dtype: `resources.dtype`.
        block: tokens in a block of keys and values.
        candidates: candidates per prompt.
    """
    from factory.models import engine, vllm_start
    from factory.passes.produce import build_engine_config
    from factory.recipe.loading import load

    vllm_start.KV_BLOCK = block
    recipe = load(ROOT / "recipes/phrasebook.yaml", [f"resources.dtype={dtype}"])
    policy = engine.Engine(str(ROOT / "assets/phrasebook/policy"), build_engine_config(recipe))
    prompts = make_prompts()
    _sample(policy, prompts[:4], recipe.translator, candidates)
    seconds, tokens = min(_sample(policy, prompts, recipe.translator, candidates) for _ in range(2))
    return {
        "dtype": str(policy.llm.model_config.dtype).removeprefix("torch."),
        "block": block,
        "tokens": tokens,
        "cpu_s": round(seconds, 1),
        "tokens_per_s": round(tokens / seconds),
    }


def _sample(policy: Engine, prompts: list[str], config: TranslatorConfig, candidates: int) -> tuple[float, int]:
    """Sample the texts of prompts; return the CPU seconds and the number of tokens."""
    from factory.models.engine import Request, Sampling
    from schemas.sequences import SOSP

    sampling = Sampling(config.temperature, config.top_p, config.top_k, config.max_tokens, until=SOSP)
    before, start = policy.generated, time.process_time()
    requests = {
        (index, number): Request(text, sampling) for index, text in enumerate(prompts) for number in range(candidates)
    }
    policy.generate(requests, seed=1)
    return time.process_time() - start, policy.generated - before


def main() -> None:
    """Measure one setting."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--dtype", choices=("auto", "bfloat16", "float32"), default="auto")
    parser.add_argument("--block", type=int, default=32, help="32 or more (default: %(default)s)")
    parser.add_argument("--candidates", type=int, default=16, help="candidates of each prompt (default: %(default)s)")
    parser.add_argument("--avx2", action="store_true", help="pretend that the CPU has AVX2 and no more")
    options = parser.parse_args()
    if options.avx2:
        pretend_avx2()
    result = measure(options.dtype, options.block, options.candidates)
    print(json.dumps({"avx2": options.avx2, "candidates": options.candidates} | result))


if __name__ == "__main__":
    main()
