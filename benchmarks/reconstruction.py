"""Does the likelihood of the source text label as well as a back-translation, and what does it cost?

    python benchmarks/reconstruction.py [--limit 100] [--set translator.back_translate=speech]

The policy of a recipe translates held-out paired utterances n times. Each candidate is translated back and scored, and
the source text is read after each candidate in three ways: by the engine (one prefill in vLLM, as in a round), and by a
plain forward pass in transformers with and without padded batches. CPU seconds are those of one thread, per candidate;
the ways are measured in turn, in three passes, and the median counts. Labels are those of the audit: best against
worst candidate, right if the reference (BLEU) agrees. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.best_of import read_utterances  # noqa: E402
from factory.actors.scorer import Scorer  # noqa: E402
from factory.actors.translator import Translator  # noqa: E402
from factory.audit.comparisons import compare, measure  # noqa: E402
from factory.audit.labels import judge_rows  # noqa: E402
from factory.models.engine import Engine, Request, Sampling  # noqa: E402
from factory.passes.produce import build_engine_config, build_job  # noqa: E402
from factory.recipe.loading import load  # noqa: E402
from factory.recipe.recipe import Recipe  # noqa: E402
from factory.recipe.sections import TranslatorConfig  # noqa: E402
from schemas.datasets import OK, UNSPOKEN, Row  # noqa: E402
from schemas.sequences import Variant, prompt, text_of_completion, text_prompt  # noqa: E402

METRICS = ("bleu", "chrf", "meteor", "wer", "reconstruction")
PASSES, BATCH, MEASURED = 3, 16, 128
"""Passes; sequences of a padded batch; candidates whose cost is measured."""
Reading = tuple[str, str]
"""The prompt of a back-translation, and the source text with the token that ends it."""


def write_readings(rows: Sequence[Row], by_text: bool, variant: Variant) -> list[Reading]:
    """Return a reading for each valid candidate; `variant` is that of a back-translation of speech."""
    reader = Variant.MT if by_text else variant
    readings = []
    for row in rows:
        for candidate in row["candidates"]:
            units, text = candidate["units"], candidate["text"]
            if candidate["finish"] in (OK, UNSPOKEN) and (text if by_text else units):
                back = row["tgt_lang"], row["src_lang"]
                question = text_prompt(*back, text) if by_text else prompt(reader, *back, units)
                readings.append((question, text_of_completion(reader, row["text"])))
    return readings


def decode(engine: Engine, readings: Sequence[Reading], config: TranslatorConfig) -> None:
    """Translate the candidates back, as a round does."""
    sampling = Sampling(0.0, config.top_p, config.top_k, config.max_tokens)
    engine.generate({index: Request(question, sampling) for index, (question, _) in enumerate(readings)}, 0)


def read(engine: Engine, readings: Sequence[Reading]) -> None:
    """Read the source texts in the engine."""
    engine.generate({index: Request(question, None, text) for index, (question, text) in enumerate(readings)}, 0)


class Forward:
    """A plain forward pass of the policy."""

    def __init__(self, policy: str, engine: Engine) -> None:
        """Load the policy a second time, in the numbers of the engine."""
        import torch
        from transformers import AutoModelForCausalLM

        torch.set_num_threads(1)
        self.model = AutoModelForCausalLM.from_pretrained(policy, dtype=engine.llm.model_config.dtype)
        self.engine = engine

    def read(self, readings: Sequence[Reading], batch: int) -> None:
        """Read the source texts; longer sequences come first, so that little is padded."""
        import torch

        ids = sorted(self.engine.encode([question + text for question, text in readings]), key=len, reverse=True)
        for start in range(0, len(ids), batch):
            part = ids[start : start + batch]
            padded = torch.nn.utils.rnn.pad_sequence([torch.tensor(one) for one in part], batch_first=True)
            with torch.inference_mode():
                logits = self.model(padded).logits[:, :-1].float()
                logits.log_softmax(-1).gather(2, padded[:, 1:, None]).sum().item()


def time_ways(ways: Mapping[str, Callable[[], object]], number: int) -> dict[str, float]:
    """Return CPU milliseconds of each way, divided by `number`: the median of PASSES, in which they take turns."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(PASSES):
        for name, way in ways.items():
            began = time.process_time()
            way()
            times[name].append(time.process_time() - began)
    return {name: round(1000 * statistics.median(found) / number, 2) for name, found in times.items()}


def measure_cost(recipe: Recipe, engine: Engine, readings: Sequence[Reading]) -> dict[str, float]:
    """Return CPU milliseconds per candidate of each way."""
    forward = Forward(recipe.policy.start or "", engine)
    ways: dict[str, Callable[[], None]] = {
        "decode": lambda: decode(engine, readings, recipe.translator),
        "engine": lambda: read(engine, readings),
        "forward_padded": lambda: forward.read(readings, BATCH),
        "forward_single": lambda: forward.read(readings, 1),
    }
    return time_ways(ways, len(readings))


def measure_labels(rows: Sequence[Row], recipe: Recipe) -> dict[str, dict[str, object]]:
    """Return the accuracy of the labels of each metric, with its interval and the number of labels."""
    judged, found = judge_rows(rows, recipe.select.filters), {}
    for metric in METRICS:
        comparisons = compare(judged, metric, "bleu")
        labels = measure(comparisons, comparisons.gap > 0)
        found[metric] = {key: labels[key] for key in ("n", "accuracy", "ci")}
    return found


def main() -> None:
    """Measure, and print the summary as the last line."""
    parser = argparse.ArgumentParser(
        prog="reconstruction", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--recipe", default=str(ROOT / "recipes/station.yaml"), help="the recipe (default: station)")
    parser.add_argument("--limit", type=int, default=100, help="utterances per direction (default: %(default)s)")
    parser.add_argument("--n", type=int, default=4, help="candidates (default: %(default)s)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change a key of the recipe")
    options = parser.parse_args()
    changes = ["translator.temperature=1.0", "translator.unit_temperature=null", "translator.back_translate=speech"]
    recipe = load(options.recipe, [*changes, *options.set])
    recipe = replace(
        recipe, scorer=replace(recipe.scorer, metrics=METRICS), translator=replace(recipe.translator, n=options.n)
    )
    policy, job = recipe.policy.start or "", build_job(recipe)
    actor = Translator(policy, recipe.translator, job, build_engine_config(recipe))
    table = actor(read_utterances(Path(recipe.corpus.dev or ""), options.limit))
    rows = Scorer(recipe.scorer, recipe.recognizer, 1)(table).to_pylist()
    labels = measure_labels(rows, recipe)
    print(json.dumps(labels), flush=True)
    by_text = recipe.translator.back_translate == "text"
    readings = write_readings(rows, by_text, recipe.policy.variant)[:MEASURED]
    cost = measure_cost(recipe, actor.engine, readings)
    print(json.dumps({"measured": len(readings), "utterances": len(rows), "ms": cost, "labels": labels}))


if __name__ == "__main__":
    main()
