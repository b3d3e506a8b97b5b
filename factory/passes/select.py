"""select: scored candidates become preference pairs. Seconds, no model: a metric and a δ are chosen here, nothing is generated again."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pyarrow as pa

from factory.metrics import METRICS
from factory.passes.execute import finish
from factory.passes.filters import rejection_reason
from factory.passes.progress import Clock
from factory.passes.rules import RULES, Choice, Found
from factory.recipe.recipe import Recipe
from factory.recipe.sections import FiltersConfig
from factory.runtime.counters import count
from factory.runtime.light_tasks import light_task
from factory.storage.dataset import DatasetDir
from schemas.datasets import OK, PAIR, SKIPPED, UNSPOKEN, Row
from schemas.sequences import Variant, completion, prompt

Candidate = dict[str, Any]


def select_pairs(scored: DatasetDir, recipe: Recipe, out: DatasetDir, clock: Clock) -> None:
    """Write a row of PAIR for every row of `scored`: a pair, or the reason why there is none."""
    if not out.start(recipe.content("select", {"scored": scored.manifest().fingerprint})):
        return
    chosen = recipe.select
    settings: dict[str, Any] = {
        "metric": chosen.metric,
        "delta": chosen.delta,
        "filters": chosen.filters,
        "variant": recipe.policy.variant,
    }
    settings |= {"rule": chosen.rule, "quantile": chosen.quantile, "metrics": recipe.scorer.metrics}
    rows = out.unfinished(scored).map_batches(_select_batch, fn_kwargs=settings, batch_format="pyarrow", **light_task())
    finish(out, rows, scored.rows(["utt_id"])["utt_id"].to_pylist(), clock, "select", recipe.resources)
    paired = out.rows(["src_lang", "tgt_lang"], status=OK).to_pylist()
    for direction, pairs in Counter(f"{row['src_lang']}-{row['tgt_lang']}" for row in paired).items():
        count("roundtrip_pairs", pairs, stage="select", direction=direction)


def _select_batch(table: pa.Table, **settings: Any) -> pa.Table:
    return pa.Table.from_pylist([select(row, **settings) for row in table.to_pylist()], schema=PAIR)


def select(
    row: Row,
    *,
    metric: str,
    delta: float,
    filters: FiltersConfig,
    variant: Variant,
    rule: str = "best_worst",
    quantile: float = 0.75,
    metrics: tuple[str, ...] = (),
) -> Row:
    """Make one utterance's pair (a row of PAIR): two sound candidates that `rule` names, when their gap on `metric` exceeds `delta`.

    `delta` is on the metric's own scale (BLEU, chrF, METEOR, WER: 0..1; MCD: 0..); `metrics` are those that policies all_agree and pareto
    ask. An utterance that gives no pair is kept, `skipped`, with the reason: what the candidates' filters found, `one_candidate`,
    `duplicate`, `unscored`, `disagreement`, `no_dominance`, `tie` or `below_delta`.
    """
    pair_id = f"{row['utt_id']}-{row['tgt_lang']}"
    head = {key: row[key] for key in ("utt_id", "src_lang", "tgt_lang")} | {"pair_id": pair_id, "metric": metric}
    if row["status"] != OK:
        return head | {"status": row["status"], "reason": row["reason"]}
    verdict = _two(row, rule, Choice(metric, metrics or (metric,), quantile), filters)
    if isinstance(verdict, str):
        return head | {"status": SKIPPED, "reason": verdict}
    chosen, rejected = verdict
    margin = abs(chosen["scores"][metric] - rejected["scores"][metric])
    told = head | _sides(row, chosen, rejected, variant) | {"margin": margin}
    if margin == 0:
        return told | {"status": SKIPPED, "reason": "tie: both candidates come back equally well"}
    if margin <= delta:
        return told | {
            "status": SKIPPED,
            "reason": f"below_delta: the gap in {metric} is {margin:.3f}, more than {delta} is needed",
        }
    return told | {"status": OK, "reason": None}


def _two(row: Row, rule: str, choice: Choice, filters: FiltersConfig) -> Found:
    """Return chosen and rejected, or the reason why there are no two to compare."""
    spoken = [candidate for candidate in row["candidates"] if candidate["finish"] != UNSPOKEN]
    faults = [rejection_reason(candidate, row, filters) for candidate in spoken]
    sound = [candidate for candidate, found in zip(spoken, faults, strict=True) if found is None]
    if len(sound) < 2:
        return f"{next((found for found in faults if found), 'one_candidate')}: fewer than two candidates are left to compare"
    if len(set(map(_said, sound))) < 2:
        return "duplicate: the candidates are the same"
    scored = [candidate for candidate in sound if candidate["scores"][choice.metric] is not None]
    if len(scored) < 2:
        return f"unscored: fewer than two candidates have a {choice.metric}"
    metric = METRICS[choice.metric]
    ranked = sorted(
        scored, key=lambda candidate: metric.advantage(candidate["scores"][choice.metric], 0.0), reverse=True
    )
    found = RULES[rule](ranked, choice)
    same = not isinstance(found, str) and _said(found[0]) == _said(found[1])
    return "duplicate: the two that were chosen are the same" if same else found


def _said(candidate: Candidate) -> tuple[str | None, tuple[int, ...]]:
    return candidate["text"], tuple(candidate["units"] or ())


def _sides(row: Row, chosen: Candidate, rejected: Candidate, variant: Variant) -> Row:
    return {
        "prompt": prompt(variant, row["src_lang"], row["tgt_lang"], row["units"]),
        "chosen": completion(variant, chosen["text"], chosen["units"] or ()),
        "rejected": completion(variant, rejected["text"], rejected["units"] or ()),
        "chosen_text": chosen["text"],
        "rejected_text": rejected["text"],
        "chosen_scores": chosen["scores"],
        "rejected_scores": rejected["scores"],
    }
