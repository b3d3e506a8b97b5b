"""Compare Roundtrip with other ways to sample candidates and back-translations: rows per second of CPU time.

    python benchmarks/peers.py [--rows 64] [--repeats 3] [--peers vllm ray_data distilabel]

Every peer does the same work with the shipped policy in float32 on one thread: two candidates of 64 tokens per row, and
the back-translation of each, also of 64 tokens. Each runs in a process of its own, twice: with `--rows` rows and with
three times as many. The CPU time of all its processes is counted, and the difference of the two runs is the time of
the rows: what a peer needs to start is in both.

A peer that is not installed is skipped with a word. distilabel gets an environment of its own below `build/`, which
sees the libraries of this one.

- vllm: plain `LLM.generate` with all prompts in one call, blocks of 32, and the sharing of prompts.
- translator: the Translator of produce, in one process.
- ray_data: the same as produce runs it, in a plan of Ray Data.
- ray_data_llm: two processors of `ray.data.llm`. Each row is there twice, because a processor keeps one output of n.
- distilabel: its vLLM class in batches of 64, without its pipeline, whose processes did not start in our trial.
  Version 1.5.3 passes an argument that vLLM has lost; it is removed.
- transformers: `generate` on batches of 64 with padding.

The last line is JSON: rows per CPU second of each peer, the median of the repeats, and all repeats.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.peer_runs import PEERS, ROOT

DISTILABEL = ("distilabel==1.5.3", "nest-asyncio", "orjson", "pathlib-abc", "tblib", "universal-pathlib")


def find_python(peer: str) -> str | None:
    """Return the interpreter that can run a peer, after making distilabel's environment; None: it is not installed."""
    if peer == "ray_data_llm" and importlib.util.find_spec("ray.data.llm") is None:
        return None
    if peer != "distilabel":
        return sys.executable
    folder = ROOT / "build/distilabel"
    python = folder / "bin/python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        [packages] = folder.glob("lib/python*/site-packages")
        own = [path for path in sys.path if path.endswith("site-packages")]
        (packages / "roundtrip.pth").write_text("\n".join(own) + "\n")
    command = [str(python), "-m", "pip", "install", "--quiet", "--no-deps", *DISTILABEL]
    return str(python) if subprocess.run(command, check=False).returncode == 0 else None


def measure(python: str, peer: str, rows: int) -> float | None:
    """Run a peer in a process of its own; return the CPU seconds of all its processes, or None if it fails."""
    import psutil

    command = [python, str(ROOT / "benchmarks/peer_runs.py"), peer, str(rows)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
    environment |= {"VLLM_CPU_KVCACHE_SPACE": "1", "RAY_worker_niceness": "0", "VLLM_LOGGING_LEVEL": "ERROR"}
    process = psutil.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    seconds: dict[int, float] = {}
    while process.poll() is None:
        for one in [process, *_children(process)]:
            try:
                times = one.cpu_times()
                seconds[one.pid] = times.user + times.system
            except psutil.Error:
                continue
        time.sleep(0.2)
    if process.returncode:
        errors = process.stderr.read().decode(errors="replace").strip().splitlines() if process.stderr else []
        print(f"{peer} failed: {errors[-1] if errors else process.returncode}", flush=True)
        return None
    return sum(seconds.values())


def _children(process: Any) -> list[Any]:
    import psutil

    try:
        return list(process.children(recursive=True))
    except psutil.Error:
        return []


def main() -> None:
    """Measure all peers in turns, and print the rows per CPU second of each as the last line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS))
    options = parser.parse_args()
    rates: dict[str, list[float]] = {}
    for _ in range(options.repeats):
        for peer in options.peers:
            if (python := find_python(peer)) is None:
                print(f"{peer} is not installed and is skipped", flush=True)
                continue
            few, many = (measure(python, peer, factor * options.rows) for factor in (1, 3))
            if few is not None and many is not None:
                rates.setdefault(peer, []).append(round(2 * options.rows / (many - few), 2))
                print(peer, rates[peer][-1], flush=True)
    medians = {peer: statistics.median(values) for peer, values in rates.items()}
    print(json.dumps({"rows_per_cpu_s": medians, "repeats": rates}))


if __name__ == "__main__":
    main()
