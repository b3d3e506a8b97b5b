"""What the engine computes in on a CPU, and what it costs: candidates' texts by the shipped policy, tokens a second of one thread.

    python benchmarks/arithmetic.py [--dtype auto|bfloat16|float32] [--block 32] [--avx2] [--candidates 16]

64 prompts of the embedded world's held-out pairs, 66 tokens long on average; the better of two runs counts, in seconds
of the CPU. `--block` is how many tokens a block of keys and values holds: candidates share their prompt in whole blocks
alone. `--avx2` makes vLLM, oneDNN and PyTorch take this CPU for one without AVX-512, so that a machine with it shows
what others are like; such a machine itself may be slower still. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

AVX2 = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}
ABOVE_AVX2 = ("_is_avx512_supported", "_is_avx512_bf16_supported", "_is_amx_tile_supported", "_is_amx_fp16_supported")
PROMPTS = 64


def pretend_avx2() -> None:
    """Let libraries that are imported later take this CPU for one without AVX-512."""
    os.environ.update(AVX2)
    import torch.cpu

    for name in ABOVE_AVX2:
        if hasattr(torch.cpu, name):
            setattr(torch.cpu, name, lambda: False)


def prompts() -> list[str]:
    """Return prompts in both directions from the held-out pairs."""
    import pyarrow.parquet as pq

    from schemas.sequences import Variant, prompt

    rows = pq.read_table(ROOT / "assets/phrasebook/dev.parquet").slice(0, PROMPTS // 2).to_pylist()
    there = [prompt(Variant.COM, row["src_lang"], row["tgt_lang"], row["src_units"]) for row in rows]
    return there + [prompt(Variant.COM, row["tgt_lang"], row["src_lang"], row["tgt_units"]) for row in rows]


def measure(dtype: Any, block: int, candidates: int) -> dict[str, Any]:
    """Sample texts of all prompts twice, after a warm-up; return tokens, CPU seconds and tokens a CPU second."""
    from factory.models import engine
    from schemas.sequences import EOSP, SOSP, is_unit

    engine.KV_BLOCK = block
    made = engine.Engine(
        str(ROOT / "assets/phrasebook/policy"),
        usable=lambda token: token in (SOSP, EOSP) or is_unit(token),
        dtype=dtype,
        kv_cache_gib=1,
    )
    sampling, asked = engine.Sampling(temperature=0.7, top_p=0.95, until=SOSP), prompts()

    def run(some: list[str]) -> tuple[float, int]:
        before, began = made.generated, time.process_time()
        asks = {
            (at, number): engine.Ask(text, sampling) for at, text in enumerate(some) for number in range(candidates)
        }
        made.generate(asks, seed=1)
        return time.process_time() - began, made.generated - before

    run(asked[:4])
    seconds, tokens = min(run(asked) for _ in range(2))
    numbers = str(made.llm.model_config.dtype).removeprefix("torch.")
    return {
        "dtype": numbers,
        "block": block,
        "tokens": tokens,
        "cpu_s": round(seconds, 1),
        "tokens_per_s": round(tokens / seconds),
    }


def main() -> None:
    """Measure one setting."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--dtype", choices=("auto", "bfloat16", "float32"), default="auto")
    parser.add_argument("--block", type=int, default=32, help="32 or more (default: %(default)s)")
    parser.add_argument("--candidates", type=int, default=16, help="candidates of each prompt (default: %(default)s)")
    parser.add_argument("--avx2", action="store_true", help="pretend that the CPU has AVX2 and no more")
    asked = parser.parse_args()
    if asked.avx2:
        pretend_avx2()
    print(
        json.dumps(
            {"avx2": asked.avx2, "candidates": asked.candidates} | measure(asked.dtype, asked.block, asked.candidates)
        )
    )


if __name__ == "__main__":
    main()
