"""A round over speech without references, transcripts or one language ends with all its results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from factory.cli import main
from factory.export.export import export_pairs
from factory.listen.choose import choose_questions
from factory.passes.progress import Clock
from factory.planning.kept_recipe import keep_recipe
from factory.planning.places import Round
from factory.report.extras import make_extras
from factory.report.history import find_stop_reason, history_rows, render_history
from factory.report.summary import summarise
from factory.report.summary_types import Summary
from factory.report.table import render_summary
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
    """A finished round over speech of a kind, and its summary."""

    kind: str
    round_: Round
    summary: Summary

    @property
    def has_references(self) -> bool:
        return bool(KINDS[self.kind].get("references", True))

    @property
    def has_texts(self) -> bool:
        return bool(KINDS[self.kind].get("texts", True))


def end(kind: str, folder: Path) -> Ended:
    """Return a round of this kind with the summary of its datasets."""
    round_ = Round(toy_run(folder, **KINDS[kind]), 1, toy_recipe())
    keep_recipe(round_)
    return Ended(kind, round_, summarise(round_, Clock(round_.uri)))


@pytest.fixture(scope="module", params=KINDS)
def ended(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Ended:
    made = end(request.param, tmp_path_factory.mktemp("run"))
    assert make_extras(made.round_) == []
    return made


def test_a_round_ends_and_says_if_its_labels_were_measured(ended: Ended, capsys: pytest.CaptureFixture[str]) -> None:
    kind, round_, summary = ended
    assert main(["audit", "--run", round_.run.uri]) == 0
    audit, table = capsys.readouterr().out, render_summary(summary, round_.uri)
    html = Path(round_.uri, "report/index.html").read_text("utf-8")
    assert summary == json.loads(Path(round_.uri, "summary.json").read_text("utf-8"))
    explained = [UNMEASURED in table, UNMEASURED in audit, "Labels could not be measured" in html]
    assert explained == [not ended.has_references] * 3
    rows = history_rows(round_.run)
    assert find_stop_reason(rows, 1, round_.recipe) is None and render_history(rows)
    is_silent = not (ended.has_references and ended.has_texts)
    assert (summary["round_trip"]["fr-en"] is None) == (is_silent or kind == "one utterance")
    toplines = [one["audio"] for one in summary["toplines"].values() if "audio" in one]
    assert all((topline["wer"] is None) == is_silent for topline in toplines)


def test_the_table_says_what_was_not_measured(tmp_path: Path) -> None:
    tables = {kind: render_summary(end(kind, tmp_path / kind).summary, "uri") for kind in KINDS}
    assert "no score is measured: no utterance of corpus.test has a reference" in tables["no references"]
    assert "the toplines in fr have no ASR-BLEU and no WER" in tables["no transcripts"]
    reason = "none of the 0 usable utterances of corpus.test in en has a reference"
    assert f"en-fr has no score: {reason}" in tables["one language"]
    assert "en-fr is measured on 1 utterances instead of 100" in tables["one utterance"]


def test_every_kind_is_listened_to_and_exported(ended: Ended, tmp_path: Path) -> None:
    assert choose_questions(ended.round_, "disagree", 4)
    folder = Path(export_pairs(ended.round_, str(tmp_path / "set"), format="trl"))
    card = (folder / "README.md").read_text("utf-8")
    unmeasured = "Labels could not be measured: no utterance of this round has a reference" in card
    assert unmeasured == (not ended.has_references)
