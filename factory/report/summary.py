"""What a round found, in numbers: the table at its end and `summary.json` in its folder."""

from __future__ import annotations

from collections import Counter
from typing import Literal

from factory.audit.labels import Judged, by_gap, compare, judged, referenced, unmeasured
from factory.metrics import bootstrap, normalise
from factory.models.recognizer import protocol
from factory.passes.evaluate import select_test_rows
from factory.passes.progress import Clock
from factory.planning.places import Run
from factory.planning.usable import untested
from factory.recipe.recipe import Recipe
from factory.report.tripwire import tripped
from factory.storage.dataset import DatasetDir
from factory.storage.files import exists, filesystem, put_json
from schemas.datasets import OK, Row

SCORES: dict[str, tuple[Literal["bleu", "chrf"], str]] = {
    "s2t_bleu": ("bleu", "text"),
    "s2t_chrf": ("chrf", "text"),
    "asr_bleu": ("bleu", "asr_text"),
    "cascade_bleu": ("bleu", "cascade_text"),
    "round_trip": ("bleu", "back_translation"),
}
"""The corpus scores of an evaluation: metric, and the column that it reads; `round_trip` is against the source, not the reference."""


def is_summarised(run: Run, number: int) -> bool:
    """Whether the round has its summary, with which it is finished."""
    return exists(f"{run.place(number)}/summary.json")


def summarise(run: Run, number: int, recipe: Recipe, clock: Clock) -> Row:
    """Compute the summary, write it, with which the round is finished, and return it."""
    fs, place = filesystem(run.place(number))
    asked = {
        row["utt_id"]: row
        for row in select_test_rows(run.units("test"), recipe).select(["utt_id", "text", "spoken"]).to_pylist()
    }
    after = evaluated(run.dataset(number, "evaluation"), asked, recipe)
    before = evaluated(run.dataset(number - 1, "evaluation"), asked, recipe) if number else None
    summary = {
        "round": number,
        "recipe": recipe.name,
        **(_production(run, number, recipe) if number else {}),
        **_scores(after, before, recipe),
        "toplines": toplines(run.toplines, recipe),
        "untested": untested(run.units("test"), recipe),
        "failures": {name: dataset.failures().to_pylist() for name, dataset in _datasets(run, number, recipe).items()},
        "wall_s": clock.wall_s,
        "peak_rss_mb": round(clock.peak_rss_mb),
    }
    put_json(fs, f"{place}/summary.json", summary)
    return summary


def evaluated(evaluation: DatasetDir, asked: dict[str, Row], recipe: Recipe) -> list[Row]:
    """Return the rows of an evaluation; a translation that was lost (its row is not ok) counts as an empty text, and as silence where it
    was to be heard. So two policies are always compared on all that was `asked` (test utterances by id, with `text` and `spoken`).
    """
    return [
        row if row["status"] == OK else row | _nothing(asked[row["utt_id"]], recipe)
        for row in evaluation.rows().to_pylist()
    ]


def _nothing(asked: Row, recipe: Recipe) -> Row:
    heard = "" if asked["spoken"] else None
    told = {"text": "", "units": None, "finish": None, "asr_text": heard, "mos": None, "source_text": asked["text"]}
    return told | {
        "back_translation": "" if recipe.writes_text else heard,
        "cascade_text": heard if recipe.evaluate.cascade else None,
    }


def _datasets(run: Run, number: int, recipe: Recipe) -> dict[str, DatasetDir]:
    named = {f"units {place}": units for place, units in enumerate(run.sources(recipe), 1)} if number else {}
    named |= {"scored": run.dataset(number, "scored"), "pairs": run.dataset(number, "pairs")} if number else {}
    return named | {"evaluation": run.dataset(number, "evaluation")}


def _production(run: Run, number: int, recipe: Recipe) -> Row:
    """Count what came of the utterances, and how often the labels are right where references are known."""
    scored, pairs = run.dataset(number, "scored"), run.dataset(number, "pairs")
    rows, status = judged(referenced(scored), recipe.select.filters), scored.manifest().by_status
    kept = Counter(
        f"{pair['src_lang']}-{pair['tgt_lang']}" for pair in pairs.rows(["src_lang", "tgt_lang"], "ok").to_pylist()
    )
    metric = recipe.select.metric
    return {
        "rows": {name: status.get(name, 0) for name in ("ok", "skipped", "failed")},
        "pairs": {direction: kept.get(direction, 0) for direction in recipe.directions},
        "label_accuracy": {judge: _labels(rows, metric, judge) for judge in ("bleu", "chrf")},
        "unmeasured": unmeasured(len(rows), any(truth for row in rows for truth in row.truth)),
    }


def _labels(rows: list[Judged], metric: str, judge: str) -> list[Row]:
    """Return, by gap, how often the judge agrees with the labels that select would give."""
    return [{"metric": metric, "judge": judge} | found for found in by_gap(compare(rows, metric, judge), metric)]


def _scores(after: list[Row], before: list[Row] | None, recipe: Recipe) -> Row:
    """Score each direction before and after, on the same utterances, with a paired bootstrap of the difference."""
    table: dict[str, Row] = {}
    for direction in recipe.directions:
        ours = _side(after, direction)
        theirs = _side(before, direction) if before is not None else None
        for name, (metric, key) in SCORES.items():
            able = all(side is None or _scored(key, side, recipe) for side in (ours, theirs))
            table.setdefault(name, {})[direction] = _compared(metric, key, ours, theirs, recipe) if able else None
        table.setdefault("mos", {})[direction] = {"before": _mos(theirs), "after": _mos(ours)}
        table.setdefault("well_formed", {})[direction] = {"before": _well_formed(theirs), "after": _well_formed(ours)}
    return table | {"tripwire": tripped(table)}


def _scored(key: str, rows: list[Row], recipe: Recipe) -> list[Row]:
    """Return the rows that have something to score.

    A policy without text has no S2T score, an older evaluation no back-translation; that of a source without a text has
    nothing to be compared with.
    """
    if key == "text":
        return rows if recipe.writes_text else []
    return [row for row in rows if row.get(key) is not None and (key != "back_translation" or row["source_text"])]


def _side(rows: list[Row], direction: str) -> list[Row]:
    return sorted(
        (row for row in rows if f"{row['src_lang']}-{row['tgt_lang']}" == direction), key=lambda row: row["utt_id"]
    )


def _compared(
    metric: Literal["bleu", "chrf"], key: str, ours: list[Row], theirs: list[Row] | None, recipe: Recipe
) -> Row:
    sample = _sample(metric, key, _scored(key, ours, recipe))
    lang = ours[0]["src_lang" if key == "back_translation" else "tgt_lang"]
    heard = key in ("asr_text", "cascade_text") or (key == "back_translation" and not recipe.writes_text)
    signature = sample.signature + f"|{protocol(recipe.recognizer, lang)}" * heard
    told: Row = {"signature": signature, "utterances": len(sample.statistics)}
    if theirs is None:
        estimate = bootstrap.estimate(sample, recipe.evaluate.resamples)
        return told | {
            "before": None,
            "after": _rounded(estimate.point),
            "ci": [_rounded(estimate.low), _rounded(estimate.high)],
        }
    found = bootstrap.compare(sample, _sample(metric, key, _scored(key, theirs, recipe)), recipe.evaluate.resamples)
    return told | {
        "before": _rounded(found.baseline.point),
        "after": _rounded(found.system.point),
        "ci": [_rounded(found.system.low), _rounded(found.system.high)],
        "difference": _rounded(found.difference.point),
        "difference_ci": [_rounded(found.difference.low), _rounded(found.difference.high)],
        "p": _rounded(found.p, 4),
    }


def _sample(metric: Literal["bleu", "chrf"], key: str, rows: list[Row]) -> bootstrap.Sample:
    """Score what was written or heard; output that does not parse counts as an empty text."""
    home = key == "back_translation"
    lang = rows[0]["src_lang" if home else "tgt_lang"]
    texts = [row[key] or "" for row in rows]
    references = [row["source_text" if home else "reference"] or "" for row in rows]
    if key != "text":
        texts, references = ([normalise.text(text, lang) for text in side] for side in (texts, references))
    return bootstrap.corpus(metric, texts, references, lang)


def _mos(rows: list[Row] | None) -> float | None:
    rated = [row["mos"] for row in rows or [] if row["mos"] is not None]
    return _rounded(sum(rated) / len(rated)) if rated else None


def _well_formed(rows: list[Row] | None) -> float | None:
    return _rounded(sum(row["finish"] == "ok" for row in rows) / len(rows), 4) if rows else None


def toplines(dataset: DatasetDir, recipe: Recipe) -> Row:
    """Return, for each target language that has some, what a perfect translation would get: the recording, where there is one, and its
    units spoken.
    """
    rows = dataset.rows(status="ok").to_pylist()
    told = {}
    for lang in recipe.languages:
        some = [row | {"tgt_lang": lang, "reference": row["reference"] or ""} for row in rows if row["lang"] == lang]
        if not some:
            continue
        heard = {name: [row for row in some if row[f"{name}_asr"] is not None] for name in ("audio", "resynthesised")}
        known = {name: _heard(name, those, recipe) for name, those in heard.items() if those}
        told[lang] = {"utterances": len(some), **known}
    return told


def _heard(name: str, rows: list[Row], recipe: Recipe) -> Row:
    """Return ASR-BLEU and WER of the rows that have a transcript (None where none has), and MOS of those that were
    rated.
    """
    read = [row | {"asr_text": row[f"{name}_asr"]} for row in rows if row["reference"]]
    rated = [row[f"{name}_mos"] for row in rows if row[f"{name}_mos"] is not None]
    bleu = _interval(_sample("bleu", "asr_text", read), recipe.evaluate.resamples) if read else None
    wer = _interval(_word_errors(read), bootstrap.RESAMPLES) if read else None
    mos = _interval(bootstrap.mean(rated), bootstrap.RESAMPLES) if rated else None
    return {"asr_bleu": bleu, "wer": wer, "mos": mos}


def _word_errors(rows: list[Row]) -> bootstrap.Sample:
    heard, said = ([row[key] for row in rows] for key in ("asr_text", "reference"))
    return bootstrap.corpus("wer", heard, said, rows[0]["lang"])


def _interval(sample: bootstrap.Sample, resamples: int) -> Row:
    found = bootstrap.estimate(sample, resamples)
    return {"score": _rounded(found.point, 3), "ci": [_rounded(found.low, 3), _rounded(found.high, 3)]}


def _rounded(value: float, digits: int = 2) -> float:
    return round(float(value), digits)
