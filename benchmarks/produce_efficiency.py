"""How much of vLLM's speed the Translator keeps: tokens a second of the actor against a bare `LLM.generate` on the same prompts.

    python benchmarks/produce_efficiency.py [--policy DIR] [--utterances 300] [--candidates 2] [--rounds 3] [--threads 1]

The actor's time is all that a pass pays: Arrow in and out, tokenisation, log-probabilities, bans, loop detection,
parsing and the way back, which it can ask only when a candidate is there. The bare run gets token ids of all prompts,
there and back, in one call, and
returns token ids: the most that this engine can do. Both run in one process on one engine, in turns, on the same
sampling.

Without --policy a random Llama of 5 million parameters is used, and every output is made to have exactly 64 tokens: the
end token is banned for the actor and ignored in the bare run, and the way back is asked with the units that the output
happens to hold. With a policy, outputs end by themselves. The last line is JSON; `ratio` is the median over the rounds.
`--clock cpu` divides by the process' CPU time instead of the wall's: with one thread it says the same on an idle
machine, and stays true on a busy one.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import pyarrow as pa

from factory.actors.translator import Translator
from factory.models.engine import Output
from schemas.datasets import UNITS
from schemas.sequences import Parsed, Variant, prompt
from tests.toys import tiny_policy

TOKENS = 64
Clock = Callable[[], float]


class EndlessTranslator(Translator):
    """A translator whose outputs never end and are always taken for translations, so that their number and lengths are fixed."""

    def read(self, variant: Variant, output: Output) -> Parsed:
        """Parse as always, then take whatever units there are."""
        parsed = super().read(variant, output)
        return parsed._replace(units=parsed.units or [0] * TOKENS, reason="ok")


def utterances(policy_units: int, count: int, source: Path | None) -> pa.Table:
    """Return `count` rows in both directions: random units, 40 to 90 a row, or the first `ok` rows of the Parquet in `source`."""
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


def run_actor(actor: Translator, table: pa.Table, clock: Clock) -> tuple[float, pa.Table]:
    """Return the actor's tokens a second and its rows."""
    before, start = actor.engine.generated, clock()
    done = actor(table)
    return (actor.engine.generated - before) / (clock() - start), done


def run_bare(actor: Translator, done: pa.Table, endless: bool, clock: Clock) -> float:
    """Return the tokens a second of one plain `generate` over the prompts of the actor's last run, both ways."""
    from vllm import SamplingParams, TokensPrompt

    rows = done.to_pylist()
    ways = [(row["src_lang"], row["tgt_lang"], row["units"], actor.n) for row in rows]
    ways += [
        (row["tgt_lang"], row["src_lang"], one["units"], 1)
        for row in rows
        for one in row["candidates"]
        if one["back_translation_finish"] is not None
    ]
    ids = actor.engine.encode([prompt(actor.variant, src, tgt, units) for src, tgt, units, _ in ways])
    common: dict[str, Any] = {"detokenize": False, "ignore_eos": endless}
    if not endless:
        common["stop_token_ids"] = [actor.engine.vocabulary["<|eos|>"]]
    params: list[SamplingParams] = []
    for (*_, n), one in zip(ways, ids, strict=True):
        sampling = actor.sampling if n > 1 or len(params) < len(rows) else actor.back_sampling
        wanted = sampling.max_tokens or 64 + 2 * len(one)
        limit = min(wanted, actor.engine.context - len(one))
        params.append(
            SamplingParams(
                n=n,
                temperature=sampling.temperature,
                top_p=sampling.top_p,
                top_k=sampling.top_k,
                max_tokens=limit,
                **common,
            )
        )
    actor.engine.llm.llm_engine.reset_prefix_cache()
    start = clock()
    results = actor.engine.llm.generate([TokensPrompt(prompt_token_ids=one) for one in ids], params, use_tqdm=False)
    seconds = clock() - start
    return sum(len(sequence.token_ids) for result in results for sequence in result.outputs) / seconds


def load(arguments: argparse.Namespace, folder: Path) -> Translator:
    """Return the actor to measure."""
    options = {
        "n": arguments.candidates,
        "top_p": arguments.top_p,
        "threads": arguments.threads,
        "variant": arguments.variant,
    }
    if arguments.policy is not None:
        return Translator(policy=str(arguments.policy), **options)
    policy = tiny_policy(folder, num_units=1000, layers=6, hidden=256)
    # the way back is sampled too: greedy, random weights repeat themselves, and the actor would stop such an output
    # early
    actor = EndlessTranslator(policy=str(policy), max_tokens=TOKENS, back_translation_temperature=1.0, **options)
    actor.engine.banned.add(actor.engine.vocabulary["<|eos|>"])
    return actor


def main() -> None:
    """Measure and print."""
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
    arguments = parser.parse_args()
    clock = time.perf_counter if arguments.clock == "wall" else time.process_time
    with tempfile.TemporaryDirectory() as folder:
        actor = load(arguments, Path(folder))
        count = sum(token.startswith("<|u") and token[3:-2].isdigit() for token in actor.engine.vocabulary)
        table = utterances(count, arguments.utterances, arguments.units)
        run_bare(actor, run_actor(actor, table.slice(0, 20), clock)[1], arguments.policy is None, clock)  # warm-up
        runs = []
        for _ in range(arguments.rounds):
            ours, done = run_actor(actor, table, clock)
            bare = run_bare(actor, done, arguments.policy is None, clock)
            runs.append(
                {"actor_tokens_per_s": round(ours), "bare_tokens_per_s": round(bare), "ratio": round(ours / bare, 3)}
            )
            print(runs[-1], flush=True)
    summary = {
        name: statistics.median(run[name] for run in runs)
        for name in ("ratio", "actor_tokens_per_s", "bare_tokens_per_s")
    }
    print(json.dumps({**summary, "clock": arguments.clock, "utterances": table.num_rows, "runs": runs}))


if __name__ == "__main__":
    main()
