"""How many labels of each metric are right, how many does δ keep, and what does the metric cost per utterance?

    python benchmarks/metric_labels.py --set translator.back_translate=text
    python benchmarks/metric_labels.py --set translator.back_translate=speech --set translator.n=8

The policy of a recipe translates held-out paired utterances with the recipe's settings and back again, and all metrics
score the same candidates; MCD does only where speech is translated back. Labels are those of the audit: best against
worst candidate, right if the reference agrees. The difference to BLEU has a 95 % interval of a paired bootstrap over
all utterances. CPU milliseconds are those of one thread, per utterance, the median of three passes: of scoring, and of
what scoring needs (back-translations for the text metrics, their speech as well for MCD, and for reconstruction only
the reading of the source text). The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.best_of import BATCH, read_utterances  # noqa: E402
from benchmarks.reconstruction import PASSES, Reading, decode, read, time_ways, write_readings  # noqa: E402
from factory.actors.scorer import Scorer  # noqa: E402
from factory.actors.translator import Translator  # noqa: E402
from factory.actors.vocoder import Vocoder  # noqa: E402
from factory.audit.comparisons import compare  # noqa: E402
from factory.audit.labels import ScoredUtterance, judge_rows  # noqa: E402
from factory.metrics import bootstrap  # noqa: E402
from factory.passes.produce import build_engine_config, build_job  # noqa: E402
from factory.passes.weights import list_voices  # noqa: E402
from factory.recipe.loading import load  # noqa: E402
from factory.recipe.recipe import Recipe  # noqa: E402
from schemas.datasets import Row  # noqa: E402

TEXT_METRICS = ("bleu", "chrf", "chrfpp", "meteor", "wer")
JUDGES = ("bleu", "chrf")
BASELINE = "bleu"
MEASURED = 32
"""Utterances whose cost is measured."""


def label(rows: Sequence[ScoredUtterance], metric: str, judge: str, delta: float) -> np.ndarray:
    """Return (utterances, 3) ones and zeros: δ keeps the label, the judge has a preference, the label is right."""
    found = []
    for row in rows:
        one = compare([row], metric, judge)
        gain = one.gain[one.gap > delta]
        found.append([len(gain), np.count_nonzero(gain), np.count_nonzero(gain > 0)])
    return np.array(found, dtype=np.float64)


def measure_labels(
    rows: Sequence[ScoredUtterance], metrics: Sequence[str], delta: float
) -> dict[str, dict[str, object]]:
    """Return per metric the labels kept and, per judge, the share that is right and its difference to BLEU's."""
    labels = {(metric, judge): label(rows, metric, judge, delta) for metric in metrics for judge in JUDGES}
    shares = {key: bootstrap.quotient(one[:, 2], one[:, 1]) for key, one in labels.items()}
    return {
        metric: {"kept": int(labels[metric, BASELINE][:, 0].sum())}
        | {judge: _compare(shares[metric, judge], shares[BASELINE, judge]) for judge in JUDGES}
        for metric in metrics
    }


def _compare(share: bootstrap.Sample, baseline: bootstrap.Sample) -> dict[str, object]:
    comparison = bootstrap.compare(share, baseline)
    return {
        "n": int(share.statistics[:, 1].sum()),
        "right": [round(value, 3) for value in comparison.system],
        "minus_bleu": [round(value, 3) for value in comparison.difference],
    }


def measure_cost(rows: list[Row], recipe: Recipe, actor: Translator, vocoder: Vocoder | None) -> dict[str, float]:
    """Return CPU milliseconds per utterance of each metric, and of what policy and vocoder do for the metrics."""
    by_text = recipe.translator.back_translate == "text"
    # candidates of an utterance with the same text share what follows it
    groups = [dict.fromkeys(write_readings([row], by_text, recipe.policy.variant)) for row in rows]
    readings: list[Reading] = [reading for group in groups for reading in group]
    ways: dict[str, Callable[[], object]] = {
        "back_translation": lambda: decode(actor.engine, readings, recipe.translator),
        "reconstruction": lambda: read(actor.engine, readings),
    }
    ways |= {metric: _score_with(metric, rows, recipe) for metric in TEXT_METRICS}
    if vocoder:
        ways["vocoder"] = lambda: vocoder.process(rows)
        ways["mcd"] = _score_with("mcd", vocoder.process(rows), recipe)
    return time_ways(ways, len(rows))


def _score_with(metric: str, rows: Sequence[Row], recipe: Recipe) -> Callable[[], None]:
    scorer = Scorer(replace(recipe.scorer, metrics=(metric,)), recipe.recognizer, 1)
    copies = iter([deepcopy(list(rows)) for _ in range(PASSES)])  # scoring writes into its rows

    def score() -> None:
        """Score the rows once."""
        scorer.process(next(copies))

    return score


def render(delta: float, labels: dict[str, dict[str, object]]) -> str:
    """Return the labels of each metric as lines of text."""
    lines = [f"gap above {delta:g}: metric, labels kept, right by {' and by '.join(JUDGES)}"]
    lines += [f"  {metric:15} {json.dumps(found)}" for metric, found in labels.items()]
    return "\n".join(lines)


def parse_options() -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(
        prog="metric_labels", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--recipe", default=str(ROOT / "recipes/phrasebook.yaml"), help="default: phrasebook")
    corpus = "Parquet of held-out PAIRED rows (default: the untranslated speech of the phrasebook, as units)"
    parser.add_argument("--corpus", type=Path, default=ROOT / "assets/phrasebook/mono_units.parquet", help=corpus)
    parser.add_argument("--limit", type=int, default=200, help="utterances per direction (default: %(default)s)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change a key of the recipe")
    return parser.parse_args()


def main() -> None:
    """Measure, and print the summary as the last line."""
    options = parse_options()
    recipe = load(options.recipe, options.set)
    by_speech = recipe.translator.back_translate == "speech"
    metrics = (*TEXT_METRICS, "reconstruction", *(["mcd"] if by_speech else []))
    recipe = replace(recipe, scorer=replace(recipe.scorer, metrics=metrics))
    actor = Translator(recipe.policy.start or "", recipe.translator, build_job(recipe), build_engine_config(recipe))
    vocoder = Vocoder(list_voices(recipe), 1) if by_speech else None
    scorer, table = Scorer(recipe.scorer, recipe.recognizer, 1), read_utterances(options.corpus, options.limit)
    rows: list[Row] = []
    for start in range(0, table.num_rows, BATCH):
        began, translated = time.process_time(), actor(table.slice(start, BATCH))
        rows += scorer(vocoder(translated) if vocoder else translated).to_pylist()
        print(f"{len(rows)} of {table.num_rows} utterances, {time.process_time() - began:.0f} CPU seconds", flush=True)
    judged = judge_rows(rows, recipe.select.filters, languages=recipe.languages)
    labels = {delta: measure_labels(judged, metrics, delta) for delta in (0.0, float(recipe.select.delta))}
    for delta, found in labels.items():
        print(render(delta, found), flush=True)
    cost = measure_cost(rows[:: max(1, len(rows) // MEASURED)], recipe, actor, vocoder)
    print(json.dumps({"utterances": len(rows), "labels": labels, "ms_per_utterance": cost}))


if __name__ == "__main__":
    main()
