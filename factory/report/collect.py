"""The numbers of a report, read from the datasets of a run. Nothing is plotted or resynthesised here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TypedDict

import numpy as np
import pyarrow.compute as pc

from factory.audit.labels import ScoredUtterance, read_scores
from factory.metrics import METRICS
from factory.passes.filters import repetition_share
from factory.passes.sampling import sample_rows
from factory.passes.unit_languages import read_languages
from factory.planning.places import Round, finished_rounds
from factory.recipe.recipe import Recipe
from factory.report.pairs import SIDES, ShownPair, Side
from factory.report.scores import asr_protocol
from factory.report.summary import read_summary
from factory.report.summary_types import Summary
from factory.storage.dataset import DatasetDir
from factory.storage.manifest import Manifest, StoreError
from schemas.datasets import OK

MAX_PLOTTED = 5_000
"""Most utterances, and most pairs, of a histogram. From more a sample by hash is taken, and the page says so."""


class FunnelStep(TypedDict):
    """A step from speech to pairs: how many there are, and how many were lost by reason, the most frequent first."""

    step: str
    count: int
    lost: list[tuple[str, int]]


class StageTime(TypedDict):
    """The seconds of a stage, and its rows and rows per second if it wrote a dataset."""

    stage: str
    seconds: float
    rows: int | None
    rate: float | None


class Origin(TypedDict):
    """Where a finished dataset comes from: what its manifest says."""

    dataset: str
    fingerprint: str
    rows: int
    finished: str
    inputs: dict[str, str]
    versions: dict[str, str]
    attempts: int


def make_funnel(round_: Round) -> list[FunnelStep]:
    """Return the steps from speech to pairs of a preference round."""
    units = [source.manifest() for source in round_.sources]
    scored, pairs = round_.scored.manifest(), round_.pairs.manifest()
    finishes = _count_finishes(round_.scored)
    malformed = {finish: count for finish, count in finishes.items() if finish != OK}
    return [
        _step(
            "readable recordings" if round_.recipe.hears_speech else "tokenized utterances",
            sum(manifest.rows for manifest in units),
            _add_reasons(units),
        ),
        _step("utterances of this round", scored.rows, scored.by_reason),
        _step("candidates", sum(finishes.values()), malformed),
        _step("well-formed candidates", finishes.get(OK, 0), {}),
        _step("pairs", pairs.by_status.get(OK, 0), pairs.by_reason),
    ]


def _step(name: str, count: int, lost: dict[str, int]) -> FunnelStep:
    return {"step": name, "count": count, "lost": sorted(lost.items(), key=lambda item: (-item[1], item[0]))}


def _add_reasons(manifests: list[Manifest]) -> dict[str, int]:
    return dict(sum((Counter(manifest.by_reason) for manifest in manifests), Counter()))


def _count_finishes(scored: DatasetDir) -> dict[str, int]:
    candidates = pc.list_flatten(scored.rows(["candidates"])["candidates"])
    if not len(candidates):
        return {}
    counts = pc.value_counts(pc.struct_field(candidates, "finish"))
    return {str(row["values"]): row["counts"] for row in counts.to_pylist()}


def read_candidates(round_: Round) -> tuple[list[ScoredUtterance], int]:
    """Return the scores of a sample of utterances, with or without a reference, and the number of all utterances."""
    table = round_.scored.rows(status=OK)
    rows, recipe = sample_rows(table, MAX_PLOTTED), round_.recipe
    languages = read_languages(round_.scored, recipe)
    return [read_scores(row, recipe.select.filters, languages) for row in rows], table.num_rows


def compute_gaps(utterances: Sequence[ScoredUtterance], metric: str, direction: str) -> np.ndarray:
    """Return the gap between the best and the worst valid candidate of each utterance of a direction.

    Args:
        utterances: the scored utterances.
        metric: the metric of the back-translations.
        direction: `fr-en` for French to English.

    Returns:
        An array (utterances,) on the metric's scale; utterances with fewer than two valid candidates are left out.
    """
    gaps = []
    for utterance in utterances:
        values = [one.scores.get(metric) for one in utterance.candidates if one.is_valid]
        scores = [value for value in values if value is not None]
        if utterance.direction == direction and len(scores) > 1:
            gaps.append(max(scores) - min(scores))
    return np.array(gaps, dtype=np.float64)


def correlate_metrics(utterances: Sequence[ScoredUtterance], metrics: Sequence[str]) -> np.ndarray:
    """Return Spearman's correlation (metrics, metrics) of preferences between two candidates of an utterance."""
    preferences = [found for one in utterances if (found := _preferences(one, metrics)) is not None]
    if len(preferences) < 3:
        return np.full((len(metrics), len(metrics)), np.nan)
    from scipy.stats import rankdata

    ranks = np.apply_along_axis(rankdata, 0, np.array(preferences))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.corrcoef(ranks, rowvar=False).reshape(len(metrics), len(metrics))  # of one metric it is a number


def _preferences(utterance: ScoredUtterance, metrics: Sequence[str]) -> list[float] | None:
    """Return by how much each metric prefers the first of two candidates; None without two that have all scores."""
    scored = [{name: one.scores.get(name) for name in metrics} for one in utterance.candidates]
    complete = [{name: value for name, value in scores.items() if value is not None} for scores in scored]
    usable = [scores for scores in complete if len(scores) == len(metrics)][:2]
    if len(usable) < 2:
        return None
    first, second = usable
    return [METRICS[metric].advantage(first[metric], second[metric]) for metric in metrics]


def measure_shapes(pairs: Sequence[ShownPair]) -> dict[str, dict[Side, np.ndarray]]:
    """Return `length` and `repetition` of the chosen and the rejected sides of pairs.

    Length is units per unit of the source. Repetition is the share (0..1) of unit trigrams that occurred before.
    """
    shapes: dict[str, dict[Side, np.ndarray]] = {"length": {}, "repetition": {}}
    for side in SIDES:
        units = [
            (own, source) for pair in pairs if (own := pair[side]["units"]) and (source := pair["source"]["units"])
        ]
        shapes["length"][side] = np.array([len(own) / len(source) for own, source in units])
        shapes["repetition"][side] = np.array([repetition_share(own) for own, _ in units])
    return shapes


def read_summaries(round_: Round) -> list[Summary]:
    """Return the summaries of all finished rounds up to this one."""
    return [read_summary(round_.run, number) for number in finished_rounds(round_.run) if number <= round_.number]


def time_stages(round_: Round, summary: Summary) -> list[StageTime]:
    """Return the seconds of each stage of a round, with rows and rows per second."""
    datasets = {"produce": round_.scored, "select": round_.pairs} if round_.number else {}
    datasets["evaluate"] = round_.evaluation
    rows = {stage: dataset.manifest().rows for stage, dataset in datasets.items() if dataset.is_finished()}
    return [_time_stage(stage, seconds, rows.get(stage)) for stage, seconds in summary["wall_s"].items()]


def _time_stage(stage: str, seconds: float, rows: int | None) -> StageTime:
    return {"stage": stage, "seconds": seconds, "rows": rows, "rate": rows / seconds if rows and seconds else None}


def list_origins(round_: Round) -> list[Origin]:
    """Return the origin of every finished dataset of a round."""
    run = round_.run
    datasets = {
        "units of mono": round_.mono_units[-1],
        "units of test": run.units("test"),
        "toplines": run.toplines,
        "sequences": round_.sequences,
        "scored": round_.scored,
        "pairs": round_.pairs,
        "evaluation": round_.evaluation,
    }
    origins = []
    for name, dataset in datasets.items():
        try:
            origins.append(_origin(name, dataset.manifest()))
        except StoreError:
            continue
    return origins


def _origin(name: str, manifest: Manifest) -> Origin:
    return {
        "dataset": name,
        "fingerprint": manifest.fingerprint,
        "rows": manifest.rows,
        "finished": manifest.finished,
        "inputs": manifest.inputs,
        "versions": manifest.versions,
        "attempts": manifest.attempts,
    }


def list_signatures(recipe: Recipe) -> dict[str, str]:
    """Return the signature of every metric of back-translations, and of the recognizer, for each language.

    A metric that compares transcripts has the signature of the recognizer too.
    """
    signatures = {}
    for lang in recipe.languages:
        signatures[f"asr ({lang})"] = asr = asr_protocol(recipe, lang)
        for metric in (METRICS[name] for name in recipe.scorer.metrics):
            uses_asr = recipe.scorer.score_text == "asr" and metric.compares_texts
            signatures[f"{metric.name} ({lang})"] = metric.signature(lang) + (f"|{asr}" if uses_asr else "")
    return signatures
