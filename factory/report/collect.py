"""The numbers behind a report, read out of a run's datasets; nothing is drawn or spoken here."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pyarrow.compute as pc

from factory.audit.labels import Judged, sampled, scores_of
from factory.metrics import METRICS
from factory.models.recognizer import protocol
from factory.passes.filters import repetition_share
from factory.planning.places import Run, finished_rounds
from factory.recipe.recipe import Recipe
from factory.storage.dataset import DatasetDir
from factory.storage.files import filesystem, get, get_json, look
from factory.storage.manifest import Manifest, StoreError
from schemas.datasets import OK, Row

PLOTTED = 5_000
"""Most utterances (and pairs) behind a histogram; of more a sample by hash, and the page says so."""


def funnel(run: Run, number: int, recipe: Recipe) -> list[Row]:
    """Return the steps from speech to pairs, each with how many there are and why others were lost: `(reason, count)`."""
    units = [source.manifest() for source in run.sources(recipe)]
    scored, pairs = run.dataset(number, "scored"), run.dataset(number, "pairs").manifest()
    told = scored.manifest()
    finishes = _finishes(scored)
    written = sum(finishes.values())
    return [
        {
            "step": "utterances of the corpus",
            "count": sum(told.rows for told in units),
            "lost": _reasons(_added(units)),
        },
        {"step": "utterances of this round", "count": told.rows, "lost": _reasons(told.by_reason)},
        {"step": "candidates", "count": written, "lost": _reasons({k: n for k, n in finishes.items() if k != OK})},
        {"step": "well-formed candidates", "count": finishes.get(OK, 0), "lost": []},
        {"step": "pairs", "count": pairs.by_status.get(OK, 0), "lost": _reasons(pairs.by_reason)},
    ]


def _added(units: list[Manifest]) -> dict[str, int]:
    return dict(sum((Counter(told.by_reason) for told in units), Counter()))


def _reasons(counts: dict[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def _finishes(scored: DatasetDir) -> dict[str, int]:
    candidates = pc.list_flatten(scored.rows(["candidates"])["candidates"])
    if not len(candidates):
        return {}
    counts = pc.value_counts(pc.struct_field(candidates, "finish"))
    return {str(row["values"]): row["counts"] for row in counts.to_pylist()}


def candidates_of(run: Run, number: int, recipe: Recipe) -> tuple[list[Judged], int]:
    """Return the candidates' scores of a sample of utterances (no references needed), and of how many utterances it is."""
    table = run.dataset(number, "scored").rows(status=OK)
    rows = sampled(table, PLOTTED)
    return [scores_of(row, recipe) for row in rows], table.num_rows


def gaps(rows: list[Judged], metric: str, direction: str) -> np.ndarray:
    """Return the gap between best and worst sound candidate of each utterance of a direction."""
    found = []
    for row in rows:
        scores = [
            back[metric]
            for back, sound in zip(row.back, row.sound, strict=True)
            if sound and back.get(metric) is not None
        ]
        if row.direction == direction and len(scores) > 1:
            found.append(max(scores) - min(scores))  # type: ignore[type-var, operator]
    return np.array(found, dtype=np.float64)


def correlation(rows: list[Judged], metrics: tuple[str, ...]) -> np.ndarray:
    """Return Spearman's correlation (metrics, metrics) between the metrics' preferences for one of two candidates over the other."""
    table = [found for row in rows if (found := _preferences(row, metrics)) is not None]
    if len(table) < 3:
        return np.full((len(metrics), len(metrics)), np.nan)
    from scipy.stats import rankdata

    ranks = np.apply_along_axis(rankdata, 0, np.array(table))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.corrcoef(ranks, rowvar=False)


def _preferences(row: Judged, metrics: tuple[str, ...]) -> list[float] | None:
    able = [back for back in row.back if all(back.get(metric) is not None for metric in metrics)][:2]
    if len(able) < 2:
        return None
    one, two = able
    return [METRICS[metric].advantage(one[metric], two[metric]) for metric in metrics]  # type: ignore[arg-type]


def shapes(pairs: list[Row]) -> dict[str, dict[str, np.ndarray]]:
    """Return length (units of a side / units of the source) and repetition (share of unit trigrams, 0..1) of chosen and rejected."""
    told: dict[str, dict[str, np.ndarray]] = {"length": {}, "repetition": {}}
    for side in ("chosen", "rejected"):
        spoken = [
            (row[side]["units"], row["source"]["units"])
            for row in pairs
            if row[side]["units"] and row["source"]["units"]
        ]
        told["length"][side] = np.array([len(units) / len(source) for units, source in spoken])
        told["repetition"][side] = np.array([repetition_share(units) for units, _ in spoken])
    return told


def rounds(run: Run, number: int) -> list[Row]:
    """Return the summaries of all finished rounds up to this one."""
    fs, path = filesystem(run.uri)
    return [get_json(fs, f"{path}/round-{n}/summary.json") for n in finished_rounds(run) if n <= number]


def curves(run: Run, number: int) -> list[Row]:
    """Return the lines of the policy's training log."""
    fs, path = filesystem(f"{run.made_policy(number)}/training.jsonl")
    if not look(fs, path).is_file:
        return []
    return [json.loads(line) for line in get(fs, path).decode().splitlines() if line.strip()]


def stages(run: Run, number: int, summary: Row) -> list[Row]:
    """Return seconds of each stage and, where a dataset came of it, its rows a second."""
    named = {"produce": "scored", "select": "pairs", "evaluate": "evaluation"} if number else {"evaluate": "evaluation"}
    rows = {
        stage: dataset.manifest().rows
        for stage, name in named.items()
        if (dataset := run.dataset(number, name)).is_finished()
    }
    told = [
        {"stage": stage, "seconds": seconds, "rows": rows.get(stage)} for stage, seconds in summary["wall_s"].items()
    ]
    return [row | {"rate": row["rows"] / row["seconds"] if row["rows"] and row["seconds"] else None} for row in told]


def fingerprints(run: Run, number: int) -> list[Row]:
    """Return fingerprint, inputs, rows and versions of every dataset of the round that is finished."""
    named = {"units of mono": run.units("mono"), "units of test": run.units("test"), "toplines": run.toplines}
    named |= {name: run.dataset(number, name) for name in ("sequences", "scored", "pairs", "evaluation")}
    told = []
    for name, dataset in named.items():
        try:
            manifest = dataset.manifest()
        except StoreError:
            continue
        told.append(
            {"dataset": name, "fingerprint": manifest.fingerprint, "rows": manifest.rows, "finished": manifest.finished}
        )
        told[-1] |= {"inputs": manifest.inputs, "versions": manifest.versions, "attempts": manifest.attempts}
    return told


def signatures(recipe: Recipe) -> dict[str, str]:
    """Return for the two languages the signature of every metric on the ways back, and of whatever was heard the recognizer's protocol."""
    told = {}
    for lang in recipe.languages:
        told[f"asr ({lang})"] = heard = protocol(recipe.recognizer, lang)
        for metric in (METRICS[name] for name in recipe.scorer.metrics):
            by_ear = recipe.scorer.score_text == "asr" and not metric.audio
            told[f"{metric.name} ({lang})"] = metric.signature(lang) + f"|{heard}" * by_ear
    return told
