"""select: scored candidates become preference pairs.

It takes seconds and no model, so that another metric or δ needs no new candidates.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial

import pyarrow as pa

from factory.judges.dataset import Key, add_scores, read_judge_for_pairs
from factory.metrics import METRICS
from factory.metrics.judge import is_judge
from factory.passes.execute import run_plan
from factory.passes.filters import rejection_reason
from factory.passes.progress import Clock
from factory.passes.rules import RULES, Choice
from factory.passes.unit_languages import OF_ROW, Languages, read_languages
from factory.recipe.directions import Direction
from factory.recipe.recipe import Recipe
from factory.recipe.sections import SelectConfig
from factory.runtime.counters import count
from factory.runtime.light_tasks import light_task
from factory.storage.dataset import DatasetDir
from schemas.datasets import OK, PAIR, SKIPPED, UNSPOKEN, Candidate, Row
from schemas.sequences import Variant, completion, prompt


def select_pairs(scored: DatasetDir, recipe: Recipe, out: DatasetDir, clock: Clock) -> None:
    """Write a row of PAIR for every row of `scored`: a pair, or the reason why there is none.

    Args:
        scored: the dataset of SCORED.
        recipe: the experiment; its `select.delta` is a number.
        out: the dataset to write.
        clock: measures and shows progress.
    """
    inputs = {"scored": scored.manifest().fingerprint}
    judge = read_judge_for_pairs(scored, recipe.select.metric) if is_judge(recipe.select.metric) else None
    inputs |= {"judge": judge.fingerprint} if judge else {}
    if not out.start(recipe.content("select", inputs)):
        return
    languages = read_languages(scored, recipe)
    make = partial(make_pairs, recipe=recipe, judged=judge.scores if judge else None, languages=languages)
    rows = out.unfinished(scored).map_batches(make, batch_format="pyarrow", **light_task())
    run_plan(rows, out, out.list_ids(scored.rows(list(out.id_columns))), clock, "select", recipe.resources)
    for direction, number in count_pairs(out).items():
        count("roundtrip_pairs", number, stage="select", direction=str(direction))


def count_pairs(dataset: DatasetDir) -> Counter[Direction]:
    """Return the number of pairs of each direction (`fr-en`) in a dataset of PAIR."""
    return Counter(map(Direction.of_row, dataset.rows(["src_lang", "tgt_lang"], status=OK).to_pylist()))


def make_pairs(
    table: pa.Table, recipe: Recipe, judged: Mapping[Key, float] | None = None, languages: Languages | None = None
) -> pa.Table:
    """Return the rows of PAIR of rows of SCORED; the recipe's `select.delta` is a number.

    Args:
        table: rows of SCORED.
        recipe: the experiment.
        judged: the scores by the judge of `select.metric`; None if it is no judge.
        languages: the languages of the recipe, and what identifies them in speech; None: their names alone.
    """
    languages = languages or Languages(recipe.languages)
    variant, metrics, rows = recipe.policy.variant, recipe.scorer.metrics, table.to_pylist()
    if judged is not None:
        add_scores(rows, recipe.select.metric, judged)
    pairs = [make_pair(row, recipe.select, variant, metrics, languages) for row in rows]
    return pa.Table.from_pylist(pairs, schema=PAIR)


def make_pair(
    row: Row, config: SelectConfig, variant: Variant, metrics: Sequence[str], languages: Languages = OF_ROW
) -> Row:
    """Return the pair of one utterance (a row of PAIR): two valid candidates that `select.rule` chooses.

    Their gap by `select.metric` must exceed `select.delta`, which is on the metric's own scale. An utterance without a
    pair is kept, `skipped`, with the reason: the slug of the filter that rejected a candidate, `one_candidate`,
    `duplicate`, `unscored`, `disagreement`, `no_dominance`, `tie` or `below_delta`.

    Args:
        row: a row of SCORED.
        config: the section `select`, with a number as `delta`.
        variant: how the pair's prompt and completions are written.
        metrics: the metrics that were scored, which the rules all_agree and pareto compare.
        languages: the languages that a candidate may be in by mistake, next to that of its source, and what
            identifies them in speech.
    """
    head = {key: row[key] for key in ("utt_id", "src_lang", "tgt_lang")}
    head |= {"pair_id": f"{row['utt_id']}-{row['tgt_lang']}", "metric": config.metric}
    if row["status"] != OK:
        return head | {"status": row["status"], "reason": row["reason"]}
    choice = _choose(row, config, metrics, languages)
    if isinstance(choice, str):
        return head | {"status": SKIPPED, "reason": choice}
    margin = abs(_score(choice[0], config.metric) - _score(choice[1], config.metric))
    reason = _explain_margin(margin, config)
    pair = head | _write_sides(row, *choice, variant) | {"margin": margin}
    return pair | {"status": SKIPPED if reason else OK, "reason": reason}


def _explain_margin(margin: float, config: SelectConfig) -> str | None:
    """Return why a margin is too small for a pair; None if it is not."""
    if isinstance(config.delta, str):
        raise ValueError("select.delta must be a number here: settle_delta replaces auto before select")
    if margin == 0:
        return "tie: both candidates have the same score"
    if margin <= config.delta:
        return f"below_delta: the gap in {config.metric} is {margin:.3f}, more than {config.delta} is needed"
    return None


def _choose(row: Row, config: SelectConfig, metrics: Sequence[str], languages: Languages) -> Choice:
    """Return the chosen and the rejected candidate, or the reason why there are no two to compare."""
    candidates: list[Candidate] = [candidate for candidate in row["candidates"] if candidate["finish"] != UNSPOKEN]
    judged = [(candidate, rejection_reason(candidate, row, config.filters, languages)) for candidate in candidates]
    valid = [candidate for candidate, reason in judged if reason is None]
    if len(valid) < 2:
        slug = next((reason for _, reason in judged if reason), "one_candidate")
        return f"{slug}: fewer than two candidates are left to compare"
    if len(set(map(_content, valid))) < 2:
        return "duplicate: the candidates are the same"
    scored = [candidate for candidate in valid if candidate["scores"][config.metric] is not None]
    if len(scored) < 2:
        return f"unscored: fewer than two candidates have a {config.metric}"
    choice = RULES[config.rule](_rank(scored, config.metric), config, metrics)
    if not isinstance(choice, str) and _content(choice[0]) == _content(choice[1]):
        return "duplicate: the two that were chosen are the same"
    return choice


def _rank(candidates: Sequence[Candidate], metric: str) -> list[Candidate]:
    """Return the candidates with the best first; equal ones keep their order."""
    return sorted(candidates, key=lambda one: METRICS[metric].advantage(_score(one, metric), 0.0), reverse=True)


def _score(candidate: Candidate, metric: str) -> float:
    score = candidate["scores"][metric]
    assert score is not None, "candidates without a score are left out before"
    return score


def _content(candidate: Candidate) -> tuple[str | None, str | None, tuple[int, ...]]:
    """Return what two equal candidates share: texts and units."""
    return candidate.get("source_text"), candidate["text"], tuple(candidate["units"] or ())


def _write(variant: Variant, candidate: Candidate) -> str:
    return completion(variant, candidate["text"], candidate["units"] or (), candidate.get("source_text"))


def _write_sides(row: Row, chosen: Candidate, rejected: Candidate, variant: Variant) -> Row:
    return {
        "prompt": prompt(variant, row["src_lang"], row["tgt_lang"], row["units"] or ()),
        "chosen": _write(variant, chosen),
        "rejected": _write(variant, rejected),
        "chosen_text": chosen["text"],
        "rejected_text": rejected["text"],
        "chosen_scores": chosen["scores"],
        "rejected_scores": rejected["scores"],
        # candidates of a user's own may lack it
        "chosen_back_translation_finish": chosen.get("back_translation_finish"),
        "rejected_back_translation_finish": rejected.get("back_translation_finish"),
    }
