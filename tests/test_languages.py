"""A round over three languages, as a user runs it: two go into English, and English goes into both.

The third language is French under another name: its speech is that of the French corpus, and its token has the
embedding of French. So the shipped policy translates it, and no training comes before the round.
"""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from factory.arguments import INCOMPLETE
from factory.planning.kept_recipe import kept_recipe
from factory.planning.places import Round, Run
from factory.recipe.directions import Direction
from factory.report.history import history_rows
from factory.report.summary import read_summary
from schemas.datasets import UTTERANCE, Row
from schemas.sequences import tag
from tests.limits import HANG_S

ROOT = Path(__file__).resolve().parent.parent
DIRECTIONS = ["fr-en", "en-fr", "en-de", "de-en"]
SMALL = {
    "languages": "[fr, en, de]",
    "directions": "[de-en, fr-en, en-fr, en-de]",
    "vocoder.de": "assets/phrasebook/vocoder-fr",
    "evaluate.s2t_utterances": "3",
    "evaluate.asr_utterances": "1",
    "translator.n": "8",
    "select.delta": "0.0",
    "select.filters.max_wrong_language": "1.0",  # French under another name is no German
    "preference.epochs": "1",
}


def read_shipped(name: str, lang: str, start: int = 0, stop: int | None = None) -> list[Row]:
    """Return utterances of a shipped corpus."""
    rows: list[Row] = pq.read_table(ROOT / f"assets/phrasebook/{name}/{lang}.parquet").to_pylist()
    return rows[start:stop]


def make_mono() -> list[Row]:
    """Return four untranslated utterances of each language; each has one reference."""
    german = [row | {"utt_id": f"de-{row['utt_id']}", "lang": "de"} for row in read_shipped("mono", "fr", 4, 8)]
    return [*read_shipped("mono", "fr", 0, 4), *read_shipped("mono", "en", 0, 4), *german]


def make_test() -> list[Row]:
    """Return three sentences in three languages, `NAME/LANG` without references."""
    english = {row["text"]: row for row in read_shipped("test", "en")}
    return [
        side | {"utt_id": f"{row['utt_id']}/{lang}", "lang": lang, "reference": None}
        for row in read_shipped("test", "fr", 0, 3)
        for lang, side in (("fr", row), ("en", english[row["reference"]]), ("de", row))
    ]


def write_policy(out: Path) -> str:
    """Write the shipped policy with a token for German that has the embedding of French."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from trainers.policy import extend_policy

    extend_policy(ROOT / "assets/phrasebook/policy", out, num_units=100, langs=["fr", "en", "de"])
    tokenizer, model = AutoTokenizer.from_pretrained(out), AutoModelForCausalLM.from_pretrained(out)
    french, german = tokenizer.convert_tokens_to_ids([tag("fr"), tag("de")])
    with torch.no_grad():
        for module in (model.get_input_embeddings(), model.get_output_embeddings()):
            module.weight[german] = module.weight[french]
    model.save_pretrained(out)
    return str(out)


@pytest.fixture(scope="module")
def round_(tmp_path_factory: pytest.TempPathFactory) -> Round:
    """Return a finished round."""
    folder = tmp_path_factory.mktemp("three")
    for name, rows in (("mono", make_mono()), ("test", make_test())):
        pq.write_table(pa.Table.from_pylist(rows, schema=UTTERANCE), folder / f"{name}.parquet")
    corpora = {f"corpus.{name}": str(folder / f"{name}.parquet") for name in ("mono", "test")}
    changes = SMALL | corpora | {"policy.start": write_policy(folder / "start")}
    settings = [part for key, value in changes.items() for part in ("--set", f"{key}={value}")]
    command = [sys.executable, "factory/run_round.py", "--round", "1", "--recipe", "recipes/phrasebook.yaml"]
    command += ["--run", f"{folder}/run"]
    done = subprocess.run([*command, *settings], cwd=ROOT, capture_output=True, text=True, timeout=HANG_S)
    assert done.returncode in (0, INCOMPLETE), done.stdout[-5000:] + done.stderr[-3000:]
    recipe = kept_recipe(Run(str(folder / "run")), 1)
    assert recipe is not None and recipe.used_directions == tuple(DIRECTIONS)
    return Round(Run(str(folder / "run")), 1, recipe)


@pytest.mark.slow
def test_an_utterance_has_a_row_in_each_direction_and_one_of_units(round_: Round) -> None:
    units = round_.run.units("mono").rows(["utt_id", "lang"])
    assert Counter(units["lang"].to_pylist()) == {"fr": 4, "en": 4, "de": 4}
    for dataset in (round_.scored, round_.pairs):
        rows = dataset.rows(["utt_id", "src_lang", "tgt_lang"])
        assert Counter(map(Direction.of_row, rows.to_pylist())) == dict.fromkeys(DIRECTIONS, 4)
        assert len(set(dataset.list_ids(rows))) == rows.num_rows == dataset.manifest().rows == 16
    assert set(round_.scored.rows()["status"].to_pylist()) == {"ok"}


@pytest.mark.slow
def test_a_candidate_is_translated_back_into_the_language_of_its_source(round_: Round) -> None:
    rows = round_.scored.rows().to_pylist()
    best = [max(one["scores"]["bleu"] or 0.0 for one in row["candidates"]) for row in rows]
    by_direction = {name: [] for name in DIRECTIONS}
    for row, score in zip(rows, best, strict=True):
        by_direction[Direction.of_row(row)].append(score)
    assert all(sum(scores) / len(scores) > 0.3 for scores in by_direction.values()), by_direction
    owned = {Direction.of_row(row) for row in rows if row["reference"]}
    assert owned == {"fr-en", "de-en"}, "nobody knows which language an English utterance was translated into"


@pytest.mark.slow
def test_every_direction_is_evaluated_against_its_own_references(round_: Round) -> None:
    summary = read_summary(round_.run, 1)
    for name in ("s2t_bleu", "asr_bleu", "round_trip", "mos", "pairs"):
        assert list(summary[name]) == DIRECTIONS  # type: ignore[literal-required]
    assert all(score and score["utterances"] == 3 for score in summary["s2t_bleu"].values())
    assert set(summary["toplines"]) == {"fr", "en", "de"} and summary["untested"] == []
    rows = round_.evaluation.rows().to_pylist()
    references = {Direction.of_row(row): row["reference"] for row in rows if "00000" in row["utt_id"]}
    assert references["en-fr"] == references["en-de"] != references["fr-en"] == references["de-en"]


@pytest.mark.slow
def test_report_and_history_have_every_direction(round_: Round) -> None:
    page = Path(round_.uri, "report/index.html").read_text()
    history = [row["direction"] for row in history_rows(round_.run)]
    for name in DIRECTIONS:
        assert f"<option>{name}</option>" in page and name in history
    assert "all directions" in page
    assert Path(round_.uri, "samples/texts.tsv").is_file()
