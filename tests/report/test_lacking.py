"""Rounds over speech that lacks references, transcripts or a language end: summary, audit, report, card, export,
listening.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pytest
from factory.planning.usable import Unusable, check_dev, check_kinds, check_sources, untested

from factory.audit.labels import sampled
from factory.cli import main
from factory.corpora.base import Kind
from factory.export.export import export_pairs
from factory.listen.choose import questions
from factory.passes import evaluate as evaluation
from factory.passes.produce import utterances_of
from factory.passes.progress import Clock
from factory.passes.train import _no_pair
from factory.planning.kept_recipe import keep_recipe
from factory.planning.places import Run
from factory.recipe.loading import load
from factory.recipe.recipe import Recipe
from factory.report.history import falls, history_rows, render_history, write_history
from factory.report.report import write_report
from factory.report.samples import speak_samples
from factory.report.summary import summarise
from factory.report.table import render
from factory.storage.dataset import DatasetDir
from schemas.datasets import PAIR, UNITS
from tests.toy_run import toy_recipe, toy_run

UNMEASURED = "labels could not be measured: no utterance of this round has a reference; add a column reference"
KINDS: dict[str, dict[str, Any]] = {
    "no references": {"references": False},
    "no transcripts": {"texts": False},
    "neither": {"references": False, "texts": False},
    "one language": {"langs": ("fr",)},
    "one utterance": {"count": 1, "langs": ("en",)},
}


class Ended(NamedTuple):
    """A round that has its summary, samples, report and history."""

    kind: str
    run: Run
    summary: dict[str, Any]


def end(kind: str, place: Path) -> Ended:
    """Return a run of this kind with the summary that its datasets give."""
    run = toy_run(place, **KINDS[kind])
    keep_recipe(run, 1, toy_recipe())
    return Ended(kind, run, summarise(run, 1, toy_recipe(), Clock(run.place(1))))


@pytest.fixture(scope="module", params=KINDS)
def ended(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Ended:
    made = end(request.param, tmp_path_factory.mktemp("run"))
    speak_samples(made.run, 1, toy_recipe())
    write_report(made.run, 1, toy_recipe())
    write_history(made.run)
    return made


def test_a_round_ends_and_says_whether_its_labels_were_measured(
    ended: Ended, capsys: pytest.CaptureFixture[str]
) -> None:
    kind, run, summary = ended
    assert main(["audit", "--run", run.uri]) == 0
    audited, shown = capsys.readouterr().out, render(summary, run.place(1))
    html = Path(run.place(1), "report/index.html").read_text()
    bare = not KINDS[kind].get("references", True)
    assert summary == json.loads(Path(run.place(1), "summary.json").read_text())
    assert (UNMEASURED in shown, UNMEASURED in audited, "Labels could not be measured" in html) == (bare, bare, bare)
    assert falls(history_rows(run), 1, toy_recipe()) is None and render_history(history_rows(run))
    silent = bare or not KINDS[kind].get("texts", True)
    assert (summary["round_trip"]["fr-en"] is None) == (silent or kind == "one utterance")
    assert all((top["audio"]["wer"] is None) == silent for top in summary["toplines"].values())


def test_what_was_not_measured_is_said_in_the_summary(tmp_path: Path) -> None:
    shown = {kind: render(end(kind, tmp_path / kind).summary, "here") for kind in KINDS}
    assert "no score is measured: no utterance of corpus.test has a reference" in shown["no references"]
    assert "the toplines in fr have no ASR-BLEU and no WER" in shown["no transcripts"]
    assert (
        "en-fr has no score: none of the 0 usable utterances of corpus.test in en has a reference"
        in shown["one language"]
    )
    assert "en-fr is measured on 1 utterances of the 100 asked for" in shown["one utterance"]


def test_every_kind_is_listened_to_and_exported(ended: Ended, tmp_path: Path) -> None:
    kind, run, _ = ended
    assert questions(run, 1, toy_recipe(), "disagree", 4)
    place = Path(export_pairs(run, 1, toy_recipe(), str(tmp_path / "set"), format="trl"))
    card = (place / "README.md").read_text()
    assert ("Labels could not be measured: no utterance of this round has a reference" in card) == (
        not KINDS[kind].get("references", True)
    )


def units(place: Path, *rows: dict[str, Any]) -> DatasetDir:
    """Write rows of UNITS, `ok` unless they say otherwise."""
    dataset = DatasetDir(str(place), UNITS)
    dataset.start({"stage": "toy"})
    dataset.append(
        pa.Table.from_pylist(
            [{"utt_id": str(at), "status": "ok", "units": [1], **row} for at, row in enumerate(rows)], schema=UNITS
        )
    )
    dataset.publish()
    return dataset


def by_ear() -> Recipe:
    return load(
        "recipes/phrasebook.yaml",
        ["translator.back_translate=speech", "translator.unit_temperature=null", "scorer.score_text=asr"],
    )


LOST = {"status": "skipped", "reason": "unknown_lang: 'clips' is not among the languages asked for (fr, en)"}


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([], "no utterance of corpus.mono can be used: it holds no utterance; expected utterances in fr or en"),
        (
            [{"lang": "clips", **LOST}],
            r"unknown_lang 1 \(the first: .*; expected utterances in fr or en; an utterance's language is the first folder",
        ),
        ([{"lang": "fr", "status": "failed", "reason": "not_audio: no"}], "can be used: not_audio 1"),
        ([{"lang": "de", "text": "ja"}], "its 1 utterances are in de"),
        (
            [{"lang": "fr"}, {"lang": "en", "text": " "}],
            "no utterance of corpus.mono has a text, and .* --set scorer.score_text=asr",
        ),
    ],
)
def test_speech_of_which_no_pair_can_come_is_refused_before_produce(
    rows: list[dict[str, Any]], words: str, tmp_path: Path
) -> None:
    with pytest.raises(Unusable, match=words):
        check_sources([units(tmp_path / "units", *rows)], load("recipes/phrasebook.yaml"))


def test_speech_of_which_some_pairs_can_come_is_taken(tmp_path: Path) -> None:
    recipe = load("recipes/phrasebook.yaml")
    spoken = units(tmp_path / "units", {"lang": "fr", "text": "oui"}, {"lang": "en"})
    assert check_sources([spoken], recipe) == [
        "en-fr can have no pair: corpus.mono has no usable utterance in en with a text"
    ]
    assert check_sources([spoken], by_ear()) == []
    assert utterances_of([units(tmp_path / "alone", {"lang": "fr"})], 1, recipe).to_pylist() == ["0"]


def test_one_language_alone_is_refused_before_a_model_is_loaded_and_after(tmp_path: Path) -> None:
    french = {Kind("fr", True, False): 1, Kind("clips", True, False): 1}
    with pytest.raises(
        Unusable, match=r"corpus.mono \(x\) is in en \(languages there: 'fr' 1, 'clips' 1\); an utterance's"
    ):
        check_kinds(french, "x", by_ear())
    rows = [{"lang": "fr"}, {"lang": "en", "status": "failed", "reason": "not_audio: no"}]
    with pytest.raises(
        Unusable, match=r"no utterance of corpus.mono in en can be used: not_audio 1 \(the first: not_audio: no\)"
    ):
        check_sources([units(tmp_path / "units", *rows)], by_ear())


def test_speech_without_texts_is_refused_before_a_model_is_loaded_unless_it_is_judged_by_ear() -> None:
    silent = {Kind("fr", False, False): 3, Kind("en", False, False): 2}
    check_kinds(silent, "x", by_ear())
    check_kinds(silent | {Kind("en", True, False): 1}, "x", load("recipes/phrasebook.yaml"))
    with pytest.raises(
        Unusable, match="has a text, and the recipe compares texts: give .* --set scorer.score_text=asr"
    ):
        check_kinds(silent, "x", load("recipes/phrasebook.yaml"))


def test_a_dev_set_without_references_is_refused_before_produce(tmp_path: Path) -> None:
    recipe = load("recipes/phrasebook.yaml", ["select.delta=auto"])
    dev = units(tmp_path / "dev", *[{"lang": "fr", "reference": "yes" if at < 3 else None} for at in range(30)])
    with pytest.raises(
        Unusable,
        match="select.delta is auto, and 3 of the 30 usable utterances of corpus.dev have a reference, where 20",
    ):
        check_dev(dev, recipe, 20)
    check_dev(dev, recipe, 3)


def test_an_unmeasurable_test_set_is_told(tmp_path: Path) -> None:
    recipe = load("recipes/phrasebook.yaml", ["evaluate.s2t_utterances=1"])
    empty = units(tmp_path / "empty")
    assert untested(empty, recipe) == [
        "no score is measured: no utterance of corpus.test can be used: it holds no utterance; expected utterances in fr or en"
    ]
    assert (
        evaluation.heard_ids(evaluation.test_rows(empty, recipe)) == []
        and utterances_of([empty], 1, recipe).type == pa.string()
    )
    whole = [{"lang": lang, "text": "a", "reference": "b"} for lang in ("fr", "en")]
    assert untested(units(tmp_path / "whole", *whole), recipe) == []


def test_no_row_can_be_sampled_of_none() -> None:
    assert sampled(UNITS.empty_table(), 5) == []


@pytest.mark.parametrize(
    ("reasons", "recipe", "words"),
    [
        (
            ["unscored", "unscored", "duplicate"],
            load,
            "reason: unscored 2, duplicate 1; the utterances have no text to compare with",
        ),
        (["below_delta"], load, r"lower select.delta \(now 0.1\)$"),
        (
            ["duplicate", "one_candidate"],
            load,
            r"raise translator.temperature \(now 0.7\) or translator.n \(now 16\), or raise translator.n",
        ),
        (["unscored"], by_ear, "give more utterances, or a policy that has learned more"),
        (["copy", "wrong_language"], load, "; give more utterances, or a policy that has learned more$"),
    ],
)
def test_the_advice_fits_the_reasons(
    reasons: list[str], recipe: Callable[..., Recipe], words: str, tmp_path: Path
) -> None:
    pairs = DatasetDir(str(tmp_path / "pairs"), PAIR)
    pairs.start({"stage": "toy"})
    head = {"src_lang": "fr", "tgt_lang": "en", "status": "skipped"}
    rows = [
        head | {"utt_id": str(at), "pair_id": str(at), "reason": f"{reason}: so"} for at, reason in enumerate(reasons)
    ]
    pairs.append(pa.Table.from_pylist(rows, schema=PAIR))
    pairs.publish()
    asked = recipe("recipes/phrasebook.yaml") if recipe is load else recipe()
    assert re.search(words, _no_pair(pairs, asked))
