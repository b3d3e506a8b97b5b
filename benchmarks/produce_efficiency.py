"""Compare the Translator's speed with vLLM's own: tokens per second of the actor and of a bare `LLM.generate`.

    python benchmarks/produce_efficiency.py [--policy DIR] [--utterances 300] [--candidates 2] [--rounds 3]

The actor's time is all that a pass pays: Arrow in and out, tokenisation, log-probabilities, bans, loop detection,
parsing, and back-translations, which it can only request when a candidate is finished. The bare run gets the token ids
of all prompts of both directions in one call and returns token ids: the most that this engine can do. Both run in one
process on one engine, in turns, with the same sampling.

Two numbers do not depend on this engine's settings. `prefill_ratio` is the number of prompt tokens that the actor's run
computed, divided by the tokens of its distinct prompts: 1 is the least, and without sharing it is the number of
candidates. `arithmetic_share` is the time that the multiplications alone need (2 x parameters x computed tokens, at the
speed of a large matrix product on this machine), divided by the time of the actor.

Without --policy a random Llama of 5 million parameters is used, and every output has exactly 64 tokens: the end token
is banned in the actor and ignored in the bare run, and a back-translation is requested for the units that the output
happens to hold. With a policy, outputs end by themselves. The last line is JSON; `ratio` is the median over the rounds.
`--clock cpu` divides by the CPU time of the process instead of the wall time: with one thread both agree on an idle
machine, and the CPU time stays true on a busy one.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import torch
    from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import pyarrow as pa

from factory.actors.round_trip import RoundTrip
from factory.actors.translator import Translator
from factory.models.engine import Output
from factory.passes.produce import build_engine_config, build_job
from factory.recipe.recipe import Recipe
from schemas.datasets import UNITS, Row
from schemas.sequences import EOS, Parsed, Variant, prompt
from tests.toys import tiny_policy

TOKENS = 64
Timer = Callable[[], float]


class EndlessRoundTrip(RoundTrip):
    """A round trip whose outputs never end and always count as translations: their number and lengths are fixed."""

    def read(self, variant: Variant, output: Output) -> Parsed:
        """Parse the output, and take all its units whether it is valid or not."""
        parsed = super().read(variant, output)
        units = [int(number) for number in re.findall(r"<\|u(\d+)\|>", output.text)]
        return parsed._replace(units=units or [0], reason="ok")


class EndlessTranslator(Translator):
    """A translator whose outputs all have the same length."""

    def __init__(self, *arguments: Any) -> None:
        """Load the policy, and ban the end token."""
        super().__init__(*arguments)
        self.engine.banned.add(self.engine.vocabulary[EOS])

    def prepare(self, rows: Mapping[int, Row]) -> RoundTrip:
        """Return an endless round trip."""
        return EndlessRoundTrip(rows, self.config, self.job)


def make_utterances(policy_units: int, count: int, source: Path | None) -> pa.Table:
    """Return `count` rows in both directions.

    Args:
        policy_units: the number of units of the policy.
        count: how many rows.
        source: a Parquet file of UNITS whose first `ok` rows are taken; None: 40 to 90 random units per row.
    """
    if source is not None:
        import pyarrow.parquet as pq

        rows = [row for row in pq.read_table(source, schema=UNITS).to_pylist() if row["status"] == "ok"][:count]
    else:
        draw = random.Random(0)
        units = [draw.choices(range(policy_units), k=draw.randint(40, 90)) for _ in range(count)]
        rows = [
            {"utt_id": f"u{i}", "lang": ("fr", "en")[i % 2], "units": one, "status": "ok"}
            for i, one in enumerate(units)
        ]
    rows = [{**row, "tgt_lang": {"fr": "en", "en": "fr"}[row["lang"]]} for row in rows]
    return pa.Table.from_pylist(rows, schema=UNITS.append(pa.field("tgt_lang", pa.string())))


class ActorRun(NamedTuple):
    """One run of the actor over all rows."""

    rows: pa.Table
    seconds: float
    generated: int  # tokens
    prefilled: int  # tokens of prompts that were computed


def run_actor(actor: Translator, table: pa.Table, timer: Timer) -> ActorRun:
    """Run the actor over a table."""
    generated, prefilled, start = actor.engine.generated, actor.engine.prefilled, timer()
    done = actor(table)
    seconds = timer() - start
    return ActorRun(done, seconds, actor.engine.generated - generated, actor.engine.prefilled - prefilled)


def measure_flops(dtype: torch.dtype, threads: int, timer: Timer) -> float:
    """Return the operations per second of a product of two square matrices of 2048 rows, the best of ten."""
    import torch

    usual = torch.get_num_threads()
    torch.set_num_threads(threads)
    matrix = torch.rand(2048, 2048).to(dtype)
    best = float("inf")
    for _ in range(10):
        start = timer()
        torch.mm(matrix, matrix)
        best = min(best, timer() - start)
    torch.set_num_threads(usual)
    return 2 * 2048**3 / best


def list_prompts(actor: Translator, rows: Sequence[Row]) -> list[tuple[list[int], int, float]]:
    """Return the prompts of the actor's run as token ids, each with its number of outputs and their temperature."""
    config, variant = actor.config, actor.job.variant
    jobs = [(row["src_lang"], row["tgt_lang"], row["units"], config.n, config.temperature) for row in rows]
    jobs += [
        (row["tgt_lang"], row["src_lang"], one["units"], 1, config.back_translation_temperature)
        for row in rows
        for one in row["candidates"]
        if one["back_translation_finish"] is not None
    ]
    ids = actor.engine.encode([prompt(variant, src, tgt, units) for src, tgt, units, *_ in jobs])
    return [(one, n, temperature) for one, (*_, n, temperature) in zip(ids, jobs, strict=True)]


def run_bare(actor: Translator, prompts: list[tuple[list[int], int, float]], endless: bool, timer: Timer) -> float:
    """Return the tokens per second of one plain `generate` over the prompts of the actor's last run.

    Args:
        actor: the actor whose engine runs.
        prompts: what `list_prompts` returns.
        endless: ignore the end token.
        timer: measures seconds.
    """
    from vllm import SamplingParams, TokensPrompt

    config, engine = actor.config, actor.engine
    common: dict[str, Any] = {"top_p": config.top_p, "top_k": config.top_k, "detokenize": False, "ignore_eos": endless}
    if not endless:
        common["stop_token_ids"] = [engine.vocabulary[EOS]]
    params = [
        SamplingParams(
            n=n, temperature=temperature, max_tokens=min(config.max_tokens, engine.context - len(one)), **common
        )
        for one, n, temperature in prompts
    ]
    engine.llm.llm_engine.reset_prefix_cache()
    start = timer()
    results = engine.llm.generate([TokensPrompt(prompt_token_ids=one) for one, *_ in prompts], params, use_tqdm=False)
    seconds = timer() - start
    return sum(len(sequence.token_ids) for result in results for sequence in result.outputs) / seconds


def measure(actor: Translator, table: pa.Table, endless: bool, timer: Timer, flops: float) -> dict[str, float]:
    """Run the actor, then the bare engine on the same prompts, and compare them.

    Args:
        actor: the actor to measure.
        table: its utterances.
        endless: whether outputs have a fixed length.
        timer: measures seconds.
        flops: operations per second of a matrix product.
    """
    run = run_actor(actor, table, timer)
    prompts = list_prompts(actor, run.rows.to_pylist())
    bare = run_bare(actor, prompts, endless, timer)
    [parameters] = actor.engine.llm.apply_model(count_parameters)
    arithmetic = 2 * parameters * (run.generated + run.prefilled) / flops
    distinct = {tuple(ids) for ids, *_ in prompts}
    return {
        "actor_tokens_per_s": round(run.generated / run.seconds),
        "bare_tokens_per_s": round(bare),
        "ratio": round(run.generated / run.seconds / bare, 3),
        "prefill_ratio": round(run.prefilled / sum(map(len, distinct)), 3),
        "arithmetic_share": round(arithmetic / run.seconds, 3),
    }


def count_parameters(model: nn.Module) -> int:
    """Return the number of weights of a model."""
    return sum(weights.numel() for weights in model.parameters())


def make_actor(options: argparse.Namespace, folder: Path) -> Translator:
    """Return the actor to measure; a random policy is written to `folder`."""
    recipe = Recipe()
    config = replace(recipe.translator, n=options.candidates, top_p=options.top_p)
    variant = Variant(options.variant)
    job = replace(build_job(recipe), variant=variant, back_variants=(variant,))
    engine = replace(build_engine_config(recipe), threads=options.threads)
    if options.policy is not None:
        return Translator(str(options.policy), config, job, engine)
    policy = tiny_policy(folder, num_units=1000, layers=6, hidden=256)
    # back-translations are sampled too: random weights repeat themselves greedily, and the actor stops such an output
    config = replace(config, max_tokens=TOKENS, back_translation_temperature=1.0)
    return EndlessTranslator(str(policy), config, job, engine)


def parse_options() -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--policy", type=Path, help="a Hugging Face folder (default: a random Llama)")
    parser.add_argument("--units", type=Path, help="Parquet of UNITS rows to translate (default: random units)")
    parser.add_argument("--variant", default="com")
    parser.add_argument("--utterances", type=int, default=300)
    parser.add_argument("--candidates", type=int, default=2)
    parser.add_argument("--top-p", type=float, default=0.95)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    return parser.parse_args()


def main() -> None:
    """Measure, and print the summary as the last line."""
    options = parse_options()
    timer = time.perf_counter if options.clock == "wall" else time.process_time
    endless = options.policy is None
    with tempfile.TemporaryDirectory() as folder:
        actor = make_actor(options, Path(folder))
        count = sum(token.startswith("<|u") and token[3:-2].isdigit() for token in actor.engine.vocabulary)
        table = make_utterances(count, options.utterances, options.units)
        flops = measure_flops(actor.engine.llm.model_config.dtype, options.threads, timer)
        measure(actor, table.slice(0, 20), endless, timer, flops)  # warm-up
        runs = []
        for _ in range(options.rounds):
            runs.append(measure(actor, table, endless, timer, flops))
            print(runs[-1], flush=True)
    medians = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
    print(json.dumps({**medians, "clock": options.clock, "utterances": table.num_rows, "runs": runs}))


if __name__ == "__main__":
    main()
