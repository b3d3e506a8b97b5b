"""A finished run without a model: real datasets and manifests, the shipped corpus, and invented candidates."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from factory.passes.select import make_pair
from factory.planning.places import Round, Run
from factory.recipe.loading import load
from factory.recipe.recipe import Recipe
from factory.storage.dataset import DatasetDir
from factory.storage.files import filesystem, put_json
from schemas.datasets import EVALUATED, PAIR, SCORED, TOPLINE, UNITS, Row

ROOT = Path(__file__).resolve().parent.parent
BACK = ((0.9, 0.2), (0.3, 0.7), (0.5, 0.45), (0.6, 0.1), (0.4, 0.4), (0.8, 0.75))
"""BLEU of the back-translations of two candidates, used in turns. The first candidate is the reference."""
WRONG = {
    "en": "not at all </script> <b>what was said here</b>",
    "fr": "ce n'est pas </script> <b>ce que la dame a dit</b>",
}
"""The text of the wrong candidate in each language. A page must not use it as markup."""


def toy_recipe() -> Recipe:
    """Return the embedded recipe with few resamples and with all metrics, which need back-translations of speech."""
    recipe = load(
        ROOT / "recipes/phrasebook.yaml",
        ["translator.back_translate=speech", "scorer.metrics=[bleu, chrf, meteor, wer, mcd]"],
    )
    return replace(recipe, evaluate=replace(recipe.evaluate, resamples=50))


def utterances(count: int) -> list[Row]:
    """Return `count` utterances of each language of the shipped corpus, without their audio."""
    rows: list[Row] = []
    for lang in ("fr", "en"):
        table = pq.read_table(
            ROOT / f"assets/phrasebook/mono/{lang}.parquet", columns=["utt_id", "lang", "text", "reference"]
        )
        rows += table.slice(0, count).to_pylist()
    return rows


def scored_row(utterance: Row, index: int) -> Row:
    """Return a row of SCORED with a right and a wrong candidate and invented units."""
    good, bad = BACK[index % len(BACK)]
    src, tgt = utterance["lang"], "en" if utterance["lang"] == "fr" else "fr"
    units = [(7 * step + index) % 100 for step in range(20)]
    candidates: list[Row] = []
    for score, text, shift in ((good, utterance["reference"], 0), (bad, WRONG[tgt], 3)):
        scores = {
            "bleu": score,
            "chrf": score * 0.9,
            "meteor": score,
            "wer": 1 - score,
            "mcd": 9 - 5 * score if index % 3 else 4 + score,
        }
        own = [(unit * 3 + shift) % 100 for unit in units]
        candidates.append(
            {
                "text": text,
                "units": own,
                "logprob": -3.0,
                "finish": "ok",
                "back_translation": f"{utterance['text']} {shift}",
            }
        )
        candidates[-1] |= {
            "back_translation_units": units[: 10 + shift],
            "back_translation_finish": "ok",
            "scores": scores,
        }
    head = {
        "utt_id": utterance["utt_id"],
        "src_lang": src,
        "tgt_lang": tgt,
        "text": utterance["text"],
        "reference": utterance["reference"],
    }
    return head | {"units": units, "durations": [2] * 20, "candidates": candidates, "status": "ok", "reason": None}


def toy_run(
    folder: Path,
    count: int = 6,
    *,
    ids: Sequence[str] = (),
    references: bool = True,
    texts: bool = True,
    langs: Sequence[str] = ("fr", "en"),
) -> Run:
    """Write a run whose round 1 is finished.

    Args:
        folder: the folder of the run.
        count: utterances per language.
        ids: ids of the first utterances, instead of those of the corpus.
        references: if False, the utterances have no reference, so no label can be measured.
        texts: if False, the utterances have no text. Their back-translations have scores, as with a recognizer.
        langs: the languages.
    """
    run, recipe = Run(str(folder)), toy_recipe()
    dropped = dict.fromkeys([*([] if references else ["reference"]), *([] if texts else ["text"])])
    chosen = [utterance for utterance in utterances(count) if utterance["lang"] in langs]
    chosen = [row | ({"utt_id": ids[index]} if index < len(ids) else {}) for index, row in enumerate(chosen)]
    rows = [scored_row(utterance, number) | dropped for number, utterance in enumerate(chosen)]
    pairs = [make_pair(row, recipe.select, recipe.policy.variant, recipe.scorer.metrics) for row in rows]
    units = [
        {**utterance, **dropped, "units": row["units"], "durations": row["durations"], "status": "ok"}
        for utterance, row in zip(chosen, rows, strict=True)
    ]
    evaluated = [_make_evaluated(row) for row in rows if row["reference"]]
    toplines = [_make_topline(row) for row in rows if row["reference"]]
    _write(run.units("mono"), units, UNITS)
    _write(run.units("test"), units, UNITS)
    _write(Round(run, 1, recipe).scored, rows, SCORED)
    _write(Round(run, 1, recipe).pairs, pairs, PAIR)
    _write(Round(run, 0, recipe).evaluation, evaluated, EVALUATED)
    _write(Round(run, 1, recipe).evaluation, evaluated, EVALUATED)
    _write(run.toplines, toplines, TOPLINE)
    _write_rest(run, pairs)
    return run


def _make_evaluated(row: Row) -> Row:
    evaluated = {key: row[key] for key in ("utt_id", "src_lang", "tgt_lang", "reference", "status")}
    evaluated |= {
        "text": row["reference"],
        "units": row["units"],
        "finish": "ok",
        "asr_text": row["reference"],
        "mos": 2.0,
    }
    return evaluated | {"source_text": row["text"], "back_translation": row["text"] or ""}


def _make_topline(row: Row) -> Row:
    columns = {
        f"{name}_{key}": value
        for name in ("audio", "resynthesised")
        for key, value in (("asr", row["text"] or "oui"), ("mos", 3.0))
    }
    return {"utt_id": row["utt_id"], "lang": row["src_lang"], "reference": row["text"], "status": "ok"} | columns


def _write(dataset: DatasetDir, rows: list[Row], schema: pa.Schema) -> None:
    dataset.start({"stage": dataset.uri.rsplit("/", 1)[-1], "inputs": {"toy": str(len(rows))}})
    dataset.append(pa.Table.from_pylist(rows, schema=schema))
    dataset.publish()


def _write_rest(run: Run, pairs: list[Row]) -> None:
    """Write the summary of round 1, and the training log of its policy."""
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
    toplines = {
        "audio": {"asr_bleu": top, "wer": top, "mos": top},
        "resynthesised": {"asr_bleu": top, "wer": top, "mos": top},
    }
    failures = {
        "status": "skipped",
        "reason": "below_delta",
        "count": sum(pair["status"] != "ok" for pair in pairs),
        "ids": ["a", "b"],
    }
    summary = {
        "verdict": "The round gained S2T BLEU.",
        "round": 1,
        "recipe": "phrasebook",
        "s2t_bleu": both,
        "s2t_chrf": both,
        "asr_bleu": both,
        "slc_02": both,
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
        "toplines": {"fr": toplines | {"utterances": 6}, "en": toplines | {"utterances": 6}},
        "failures": {"pairs": [failures]},
    }
    summary |= {"wall_s": {"produce": 12.0, "select": 1.0, "train": 3.0, "evaluate": 4.0}}
    fs, path = filesystem(f"{run.uri}/round-1")
    put_json(fs, f"{path}/summary.json", summary)
    lines = [{"loss": 0.69 - step / 100, "rewards/margins": step / 10, "step": step} for step in range(1, 5)]
    policy = Path(path, "policy")
    policy.mkdir(parents=True)
    (policy / "training.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
