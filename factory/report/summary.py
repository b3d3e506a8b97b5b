"""The summary of a round in numbers: `summary.json`, with which the round is finished."""

from __future__ import annotations

from collections import Counter
from typing import cast

from factory.audit.comparisons import compare, group_by_gap
from factory.audit.labels import ScoredUtterance, explain_unmeasured, judge_rows, read_rows_with_reference
from factory.judges.dataset import add_select_scores
from factory.passes.evaluate import select_test_rows
from factory.passes.progress import Clock
from factory.passes.unit_languages import read_languages
from factory.planning.places import Round, Run
from factory.planning.usable_speech import list_unmeasured
from factory.recipe.directions import Direction
from factory.report.malformed import count_malformed
from factory.report.scores import read_evaluation, score_evaluation
from factory.report.summary_types import Failure, LabelBin, Production, Summary
from factory.report.toplines import score_toplines
from factory.report.training_log import read_training_log
from factory.report.verdict import state_verdict
from factory.storage.dataset import DatasetDir
from factory.storage.files import exists, filesystem, get_json, put_json
from factory.storage.manifest import StoreError
from schemas.datasets import FAILED, OK, SKIPPED


def summary_uri(run: Run, number: int) -> str:
    """Return the URI of a round's summary."""
    return f"{run.uri}/round-{number}/summary.json"


def is_summarised(run: Run, number: int) -> bool:
    """Return True if the round has its summary, that is, if it is finished."""
    return exists(summary_uri(run, number))


def read_summary(run: Run, number: int) -> Summary:
    """Return the summary of a finished round. Raises StoreError if the file holds something else."""
    fs, path = filesystem(uri := summary_uri(run, number))
    summary = get_json(fs, path)
    if not isinstance(summary, dict) or not {"round", "wall_s", "s2t_bleu"} <= summary.keys():
        raise StoreError(
            f"{uri} is no summary of a round: delete it, and run the round again, which only makes it anew"
        )
    return cast(Summary, summary)


def summarise(round_: Round, clock: Clock) -> Summary:
    """Compute the summary of a round, write it, and return it. With it the round is finished.

    Args:
        round_: a round whose stages are finished.
        clock: the times and the peak memory of the stages.
    """
    run, recipe, previous = round_.run, round_.recipe, round_.previous
    names = ["utt_id", "tgt_lang", "text", "durations", "spoken"]
    columns = select_test_rows(run.units("test"), recipe).select(names)
    tested = {(row["utt_id"], row["tgt_lang"]): row for row in columns.to_pylist()}
    after = read_evaluation(round_.evaluation, tested, recipe)
    before = None if previous is None else read_evaluation(previous.evaluation, tested, recipe)
    production: Production = summarise_production(round_) if round_.number else {}
    scores, pairs = score_evaluation(after, before, recipe), sum(production.get("pairs", {}).values())
    summary = Summary(
        verdict=state_verdict(scores, read_training_log(round_), pairs, recipe),
        **production,
        **scores,
        round=round_.number,
        recipe=recipe.name,
        toplines=score_toplines(run.toplines, recipe) if recipe.writes_speech else {},
        untested=list_unmeasured(run.units("test"), recipe),
        failures={name: _failures(dataset) for name, dataset in _datasets(round_).items()},
        wall_s=clock.wall_s,
        peak_rss_mb=round(clock.peak_rss_mb),
    )
    fs, path = filesystem(summary_uri(run, round_.number))
    put_json(fs, path, summary)
    return summary


def _datasets(round_: Round) -> dict[str, DatasetDir]:
    """Return the datasets of a round whose lost rows the summary lists."""
    if not round_.number:
        return {"evaluation": round_.evaluation}
    units = {f"units {position}": units for position, units in enumerate(round_.sources, 1)}
    return {**units, "scored": round_.scored, "pairs": round_.pairs, "evaluation": round_.evaluation}


def _failures(dataset: DatasetDir) -> list[Failure]:
    return cast(list[Failure], dataset.failures().to_pylist())


def summarise_production(round_: Round) -> Production:
    """Count the rows and pairs of a preference round, and measure its labels where references are known."""
    recipe, metric = round_.recipe, round_.recipe.select.metric
    known = read_rows_with_reference(round_.scored)
    add_select_scores(known, round_.scored, metric)
    rows = judge_rows(known, recipe.select.filters, languages=read_languages(round_.scored, recipe))
    status = round_.scored.manifest().by_status
    langs = round_.pairs.rows(["src_lang", "tgt_lang"], OK).to_pylist()
    pairs = Counter(map(Direction.of_row, langs))
    has_judge = any(candidate.judgements for row in rows for candidate in row.candidates)
    return {
        "rows": {name: status.get(name, 0) for name in (OK, SKIPPED, FAILED)},
        "pairs": {direction: pairs[direction] for direction in recipe.used_directions},
        "malformed": count_malformed(round_.pairs),
        "label_accuracy": {judge: _label_bins(rows, metric, judge) for judge in ("bleu", "chrf")},
        "unmeasured": explain_unmeasured(len(rows), has_judge),
    }


def _label_bins(rows: list[ScoredUtterance], metric: str, judge: str) -> list[LabelBin]:
    """Return, by gap, how often the judge agrees with the labels that select would give."""
    bins = group_by_gap(compare(rows, metric, judge), metric)
    return [LabelBin(metric=metric, judge=judge, **gap_bin) for gap_bin in bins]
