"""A finished run of a few utterances without a model: real datasets and manifests, made-up candidates, the shipped corpus and voices."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from factory.passes.select import make_pair
from factory.planning.places import Round, Run
from factory.recipe.loading import load
from factory.recipe.recipe import Recipe
from factory.storage.files import filesystem, put_json
from schemas.datasets import EVALUATED, PAIR, SCORED, TOPLINE, UNITS

ROOT = Path(__file__).resolve().parent.parent
BACK = ((0.9, 0.2), (0.3, 0.7), (0.5, 0.45), (0.6, 0.1), (0.4, 0.4), (0.8, 0.75))
"""BLEU of the ways back of two candidates, in turns; the first candidate is the reference itself."""

WRONG = {
    "en": "not at all </script> <b>what was said here</b>",
    "fr": "ce n'est pas </script> <b>ce que la dame a dit</b>",
}
"""What the wrong candidate says in each language: words that would be markup if a page took them as they are."""


def toy_recipe() -> Recipe:
    """Return the embedded recipe with the speech going back, so that every metric has something to measure, and fewer resamples."""
    recipe = load(
        ROOT / "recipes/phrasebook.yaml",
        ["translator.back_translate=speech", "scorer.metrics=[bleu, chrf, meteor, wer, mcd]"],
    )
    return replace(recipe, evaluate=replace(recipe.evaluate, resamples=50))


def utterances(count: int) -> list[dict[str, Any]]:
    """Return `count` utterances of each language of the shipped corpus, without their audio."""
    told = []
    for lang in ("fr", "en"):
        table = pq.read_table(
            ROOT / f"assets/phrasebook/mono/{lang}.parquet", columns=["utt_id", "lang", "text", "reference"]
        )
        told += table.slice(0, count).to_pylist()
    return told


def scored_row(utterance: dict[str, Any], place: int) -> dict[str, Any]:
    """Return a row of SCORED: a right and a wrong candidate of made-up units."""
    good, bad = BACK[place % len(BACK)]
    src, tgt = utterance["lang"], "en" if utterance["lang"] == "fr" else "fr"
    units = [(7 * step + place) % 100 for step in range(20)]
    sides = []
    for score, text, shift in ((good, utterance["reference"], 0), (bad, WRONG[tgt], 3)):
        scores = {
            "bleu": score,
            "chrf": score * 0.9,
            "meteor": score,
            "wer": 1 - score,
            "mcd": 9 - 5 * score if place % 3 else 4 + score,
        }
        own = [(unit * 3 + shift) % 100 for unit in units]
        sides.append(
            {
                "text": text,
                "units": own,
                "logprob": -3.0,
                "finish": "ok",
                "back_translation": f"{utterance['text']} {shift}",
            }
        )
        sides[-1] |= {"back_translation_units": units[: 10 + shift], "back_translation_finish": "ok", "scores": scores}
    head = {
        "utt_id": utterance["utt_id"],
        "src_lang": src,
        "tgt_lang": tgt,
        "text": utterance["text"],
        "reference": utterance["reference"],
    }
    return head | {"units": units, "durations": [2] * 20, "candidates": sides, "status": "ok", "reason": None}


def toy_run(
    place: Path,
    count: int = 6,
    *,
    ids: Sequence[str] = (),
    references: bool = True,
    texts: bool = True,
    langs: Sequence[str] = ("fr", "en"),
) -> Run:
    """Write a run with round 1 finished, of `count` utterances of each of `langs`.

    `ids` are those of the first utterances, in place of the corpus's own. Without `references` no label can be
    measured; without `texts` the sources have no transcript (their back-translations are scored all the same, as the
    recognizer would let them be).
    """
    run, recipe = Run(str(place)), toy_recipe()
    lost = dict.fromkeys([*([] if references else ["reference"]), *([] if texts else ["text"])])
    spoken = [utterance for utterance in utterances(count) if utterance["lang"] in langs]
    spoken = [utterance | ({"utt_id": ids[at]} if at < len(ids) else {}) for at, utterance in enumerate(spoken)]
    rows = [scored_row(utterance, number) | lost for number, utterance in enumerate(spoken)]
    pairs = [make_pair(row, recipe.select, recipe.policy.variant, recipe.scorer.metrics) for row in rows]
    units = [
        {**u, **lost, "units": r["units"], "durations": r["durations"], "status": "ok"}
        for u, r in zip(spoken, rows, strict=True)
    ]
    heard = [_evaluated(row) for row in rows if row["reference"]]
    tops = [_topline(row) for row in rows if row["reference"]]
    _write(run.units("mono"), units, UNITS)
    _write(run.units("test"), units, UNITS)
    _write(Round(run, 1, recipe).scored, rows, SCORED)
    _write(Round(run, 1, recipe).pairs, pairs, PAIR)
    _write(Round(run, 0, recipe).evaluation, heard, EVALUATED)
    _write(Round(run, 1, recipe).evaluation, heard, EVALUATED)
    _write(run.toplines, tops, TOPLINE)
    _write_rest(run, pairs)
    return run


def _evaluated(row: dict[str, Any]) -> dict[str, Any]:
    told = {key: row[key] for key in ("utt_id", "src_lang", "tgt_lang", "reference", "status")}
    told |= {"text": row["reference"], "units": row["units"], "finish": "ok", "asr_text": row["reference"], "mos": 2.0}
    return told | {"source_text": row["text"], "back_translation": row["text"] or ""}


def _topline(row: dict[str, Any]) -> dict[str, Any]:
    heard = {
        f"{name}_{key}": value
        for name in ("audio", "resynthesised")
        for key, value in (("asr", row["text"] or "oui"), ("mos", 3.0))
    }
    return {"utt_id": row["utt_id"], "lang": row["src_lang"], "reference": row["text"], "status": "ok"} | heard


def _write(dataset: Any, rows: list[dict[str, Any]], schema: pa.Schema) -> None:
    dataset.start({"stage": dataset.uri.rsplit("/", 1)[-1], "inputs": {"toy": str(len(rows))}})
    dataset.append(pa.Table.from_pylist(rows, schema=schema))
    dataset.publish()


def _write_rest(run: Run, pairs: list[dict[str, Any]]) -> None:
    """Write the summary and the training log, and name a policy."""
    score = {
        "signature": "sig",
        "utterances": 6,
        "before": 10.0,
        "after": 12.5,
        "ci": [11.0, 13.0],
        "difference": 2.5,
        "p": 0.01,
    }
    both = {direction: score | {"difference_ci": [1.0, 4.0]} for direction in ("fr-en", "en-fr")}
    top = {"score": 50.0, "ci": [40.0, 60.0]}
    heard = {
        "audio": {"asr_bleu": top, "wer": top, "mos": top},
        "resynthesised": {"asr_bleu": top, "wer": top, "mos": top},
    }
    lost = {
        "status": "skipped",
        "reason": "below_delta",
        "count": sum(pair["status"] != "ok" for pair in pairs),
        "ids": ["a", "b"],
    }
    summary = {
        "round": 1,
        "recipe": "phrasebook",
        "s2t_bleu": both,
        "s2t_chrf": both,
        "asr_bleu": both,
        "peak_rss_mb": 1000,
    }
    summary |= {"cascade_bleu": dict.fromkeys(both), "round_trip": dict.fromkeys(both), "tripwire": [], "untested": []}
    summary |= {"rows": {"ok": len(pairs), "skipped": 0, "failed": 0}, "label_accuracy": {}, "unmeasured": None}
    summary |= {"pairs": dict.fromkeys(both, 4)}
    summary |= {
        "mos": {d: {"before": None, "after": 2.0} for d in both},
        "well_formed": {d: {"before": 1.0, "after": 1.0} for d in both},
    }
    summary |= {
        "toplines": {"fr": heard | {"utterances": 6}, "en": heard | {"utterances": 6}},
        "failures": {"pairs": [lost]},
    }
    summary |= {"wall_s": {"produce": 12.0, "select": 1.0, "train": 3.0, "evaluate": 4.0}}
    fs, path = filesystem(f"{run.uri}/round-1")
    put_json(fs, f"{path}/summary.json", summary)
    lines = [{"loss": 0.69 - step / 100, "rewards/margins": step / 10, "step": step} for step in range(1, 5)]
    policy = Path(path, "policy")
    policy.mkdir(parents=True)
    (policy / "training.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
