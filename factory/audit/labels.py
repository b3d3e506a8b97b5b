"""audit: how often the candidate that comes back better is also the better translation, by a reference that no pair was made with.

A way of selection (`POLICIES`) makes one comparison of two candidates an utterance. The metric on the way back names a winner, a judge
(a metric against the reference) says whether it is one, and by how much. Intervals are bootstraps over utterances.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from factory.metrics import METRICS, bootstrap, normalise
from factory.passes.filters import rejection_reason
from factory.recipe.recipe import Recipe
from factory.recipe.sections import FiltersConfig
from factory.storage.dataset import DatasetDir
from schemas.datasets import OK, UNSPOKEN, Row

LIMIT = 3_000
"""Most utterances an audit looks at: more would narrow intervals that are narrow already."""
ALL = "all"
JUDGES = {"bleu": "text", "chrf": "text", "asr_bleu": "asr_text"}
"""The judges, and the side of a candidate that each reads; `asr_bleu` needs what the recognizer heard of it."""
EDGES: dict[str, tuple[float, ...]] = {"mcd": (0.0, 0.25, 0.5, 1.0, 1.5, 2.0, np.inf)}
OTHER_EDGES = (0.0, 0.1, 0.2, 0.35, 0.5, 0.75, np.inf)
DELTAS: dict[str, tuple[float, ...]] = {"mcd": (0.0, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5)}
OTHER_DELTAS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5)
"""Gaps (mcd: 0.. without a unit, the others 0..1) between which accuracy is told, and the thresholds that are weighed."""


@dataclass(frozen=True)
class Judged:
    """An utterance's candidates: `back` their scores on the way back, `truth` the judges' scores, `sound` whether no guard is broken.

    Only those that were `spoken` can stand in a pair.
    """

    utt_id: str
    direction: str
    back: list[dict[str, float | None]]
    truth: list[dict[str, float]]
    sound: list[bool]
    spoken: list[bool]


def judged(
    rows: Iterable[Row], filters: FiltersConfig, heard: dict[tuple[str, int], str] | None = None
) -> list[Judged]:
    """Score the candidates of rows of SCORED against their references; rows without a reference are left out.

    `filters` are the recipe's: which candidates select would have thrown out. `heard` holds what the recognizer understood of candidate
    (utt_id, place); with it `asr_bleu` is among the judges.
    """
    known = [row for row in rows if row["status"] == OK and row["reference"]]
    return [_judge_row(row, filters, heard or {}) for row in known]


def referenced(scored: DatasetDir, limit: int = LIMIT) -> list[Row]:
    """Read the rows of SCORED that have a reference, at most `limit` of them: the same ones every time, chosen by their ids."""
    table = scored.rows(status=OK)
    return sampled(table.filter(pc.greater(pc.utf8_length(table["reference"]), 0)), limit)


def unmeasured(utterances: int, compared: bool) -> str | None:
    """Return why an audit could not measure labels, and what would let it; None where it could.

    Args:
        utterances: how many utterances have a reference.
        compared: whether any of their candidates had a text, written or heard, to compare with its reference.
    """
    if not utterances:
        return (
            "labels could not be measured: no utterance of this round has a reference; add a column reference to the speech, "
            "with the translation of each utterance, or judge by ear with `roundtrip listen`"
        )
    if not compared:
        return (
            "labels could not be measured: the candidates have no text to compare with a reference; let the recognizer hear "
            "them with `roundtrip audit --asr 100`"
        )
    return None


def sampled(table: pa.Table, limit: int) -> list[Row]:
    """Return at most `limit` rows of a table with utt_ids, chosen by a hash of the ids; only these leave Arrow's memory."""
    ids = table["utt_id"].to_pylist()
    chosen = sorted(range(len(ids)), key=lambda place: zlib.crc32(ids[place].encode()))[:limit]
    return table.take(pa.array(chosen, pa.int64())).to_pylist()  # typed: Arrow cannot take an empty Python list


def _judge_row(row: Row, filters: FiltersConfig, heard: dict[tuple[str, int], str]) -> Judged:
    there = [(place, c) for place, c in enumerate(row["candidates"]) if c["finish"] in (OK, UNSPOKEN)]
    truth = [
        _truth(c["text"], heard.get((row["utt_id"], place)), row["reference"], row["tgt_lang"]) for place, c in there
    ]
    sound = [rejection_reason(c, row, filters) is None for _, c in there]
    scores, spoken = ([c["scores"] for _, c in there], [c["finish"] != UNSPOKEN for _, c in there])
    return Judged(row["utt_id"], f"{row['src_lang']}-{row['tgt_lang']}", scores, truth, sound, spoken)


def _truth(text: str | None, heard: str | None, reference: str, lang: str) -> dict[str, float]:
    """Return the score of each judge that has something to read: a policy may write no text, and few candidates are heard."""
    scores = {judge: METRICS[judge].score(text, reference, lang) for judge in ("bleu", "chrf")} if text else {}
    if heard is not None:
        scores["asr_bleu"] = METRICS["bleu"].score(normalise.text(heard, lang), normalise.text(reference, lang), lang)
    return scores


# ---- ways of selection: which two candidates are compared, better one (on the way back) first


def _best_worst(row: Judged, metric: str, guarded: bool) -> tuple[int, int] | None:
    able = [spoken and (sound or not guarded) for spoken, sound in zip(row.spoken, row.sound, strict=True)]
    places = [i for i, back in enumerate(row.back) if back.get(metric) is not None and able[i]]
    if len(places) < 2:
        return None
    ranked = sorted(places, key=lambda i: METRICS[metric].advantage(row.back[i][metric], 0.0), reverse=True)  # type: ignore[arg-type]
    return ranked[0], ranked[-1]


def _any_two(row: Judged, metric: str) -> tuple[int, int] | None:
    """The first two sound candidates: what n = 2 would have given."""
    places = [i for i, back in enumerate(row.back) if back.get(metric) is not None and row.sound[i]][:2]
    if len(places) < 2:
        return None
    one, two = places
    better = METRICS[metric].advantage(row.back[one][metric], row.back[two][metric]) >= 0  # type: ignore[arg-type]
    return (one, two) if better else (two, one)


POLICIES: dict[str, Callable[[Judged, str], tuple[int, int] | None]] = {
    "best_worst": lambda row, metric: _best_worst(row, metric, guarded=True),
    "unfiltered": lambda row, metric: _best_worst(row, metric, guarded=False),
    "any_two": _any_two,
}
"""`best_worst` is what select does by its default policy (the others are not audited); `unfiltered` the same without filters; `any_two`
compares two candidates as they come.
"""


# ---- comparisons and what they tell


@dataclass(frozen=True)
class Comparisons:
    """Arrays (utterances,): `gap` of the ways back (>= 0), and `gain`, by how much the judge prefers the winner (< 0: a wrong label)."""

    gap: np.ndarray
    gain: np.ndarray


def compare(rows: Sequence[Judged], metric: str, judge: str, policy: str = "best_worst") -> Comparisons:
    """Compare two candidates of every utterance that has them; utterances whose ways back are equally good give no label."""
    found = []
    for row in rows:
        chosen = POLICIES[policy](row, metric)
        if chosen is None or any(judge not in row.truth[i] for i in chosen):
            continue
        gap, gain = (
            METRICS[name].advantage(side[chosen[0]][key], side[chosen[1]][key])
            for name, side, key in _sides(row, metric, judge)
        )
        if gap > 0:
            found.append((gap, gain))
    table = np.array(found, dtype=np.float64).reshape(-1, 2)
    return Comparisons(table[:, 0], table[:, 1])


def _sides(row: Judged, metric: str, judge: str) -> list[tuple[str, Any, str]]:
    return [(metric, row.back, metric), ("bleu", row.truth, judge)]  # every judge is better when it is higher


def measure(compared: Comparisons, kept: np.ndarray) -> Row:
    """Tell of the comparisons that `kept` (booleans) names: n, ties by the judge, accuracy and gain with 95 % intervals.

    Accuracy is the share (0..1) of labels that the judge agrees with, its ties left out; gain is the mean of its preference.
    """
    gain = compared.gain[kept]
    right, wrong = int((gain > 0).sum()), int((gain < 0).sum())
    told: Row = {
        "n": right + wrong,
        "ties": len(gain) - right - wrong,
        "accuracy": None,
        "ci": None,
        "gain": None,
        "gain_ci": None,
    }
    if not right + wrong:
        return told
    shares, gains = bootstrap.estimates([bootstrap.quotient(gain > 0, gain != 0), bootstrap.mean(gain)])
    told |= {"accuracy": shares.point, "ci": [shares.low, shares.high]}
    return told | {"gain": gains.point, "gain_ci": [gains.low, gains.high]}


def by_gap(compared: Comparisons, metric: str) -> list[Row]:
    """Tell of the comparisons in each bin of the gap."""
    edges = EDGES.get(metric, OTHER_EDGES)
    bins = zip(edges, edges[1:], strict=False)
    return [
        {"gap": [low, _finite(high)]} | measure(compared, (compared.gap >= low) & (compared.gap < high))
        for low, high in bins
    ]


def _finite(edge: float) -> float | None:
    return edge if np.isfinite(edge) else None


def by_delta(compared: Comparisons, metric: str) -> list[Row]:
    """Tell of the pairs that each threshold δ would keep, and what they are worth.

    `worth` is n (2a - 1)^2: labels of which a share 1 - a is wrong teach as much as so many right ones (the sample complexity of learning
    under label noise, Angluin and Laird, 1988); 0 where no more than half of them are right.
    """
    told = []
    for delta in DELTAS.get(metric, OTHER_DELTAS):
        kept = compared.gap > delta
        found = measure(compared, kept)
        worth = found["n"] * max(0.0, 2 * found["accuracy"] - 1) ** 2 if found["n"] else 0.0
        told.append({"delta": delta, "kept": int(kept.sum()), "worth": worth} | found)
    return told


def agreement(rows: Sequence[Judged], metrics: Sequence[str], policy: str = "any_two") -> list[Row]:
    """Tell for every two metrics how often they name the same winner, and the ids of the first utterances where they do not."""
    told = []
    for one, two in combinations(metrics, 2):
        same, differ = 0, []
        for row in rows:
            first, second = (POLICIES[policy](row, metric) for metric in (one, two))
            if first is None or second is None or not _decided(row, one, first) or not _decided(row, two, second):
                continue
            same += first == second
            differ += [row.utt_id] if first != second else []
        told.append({"metrics": [one, two], "n": same + len(differ), "agree": same, "differ": sorted(differ)[:10]})
    return told


def _decided(row: Judged, metric: str, chosen: tuple[int, int]) -> bool:
    return row.back[chosen[0]][metric] != row.back[chosen[1]][metric]


def bin_name(gap: list[float | None]) -> str:
    """Name a bin of the gap: `0.1-0.2`, and the last, which has no end, `0.75 and more`."""
    low, high = gap
    return f"{low:g}-{high:g}" if high is not None else f"{low:g} and more"


def scores_of(row: Row, recipe: Recipe) -> Judged:
    """Return the scores of a row's candidates, and which of them break a guard; nothing is judged."""
    sound = [rejection_reason(candidate, row, recipe.select.filters) is None for candidate in row["candidates"]]
    back = [candidate["scores"] or {} for candidate in row["candidates"]]
    spoken = [candidate["finish"] != UNSPOKEN for candidate in row["candidates"]]
    return Judged(row["utt_id"], f"{row['src_lang']}-{row['tgt_lang']}", back, [{}] * len(back), sound, spoken)
