"""The sections of a report: which plots and tables there are, and what they say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from factory.audit.audit import audit_round
from factory.planning.places import Round
from factory.report import sections
from factory.report.pairs import read_shown_pairs
from factory.report.summary import read_summary
from tests.toy_run import toy_recipe, toy_run


@pytest.fixture(scope="module")
def round_(tmp_path_factory: pytest.TempPathFactory) -> Round:
    return Round(toy_run(tmp_path_factory.mktemp("run")), 1, toy_recipe())


def test_every_metric_has_its_gaps_and_the_metric_of_select_its_delta(round_: Round) -> None:
    figures, correlation = sections.plot_gaps(round_)
    captions = [figure.caption for figure in figures]
    assert captions == [
        f"Gap between the best and the worst candidate by {metric}." for metric in round_.recipe.scorer.metrics
    ]
    assert ["δ = 0.1" in figure.svg for figure in figures] == [True, False, False, False, False]
    assert correlation.caption.startswith("Spearman correlation")
    auto = replace(round_.recipe, select=replace(round_.recipe.select, delta="auto"))
    assert "δ =" not in sections.plot_gaps(replace(round_, recipe=auto))[0][0].svg


def test_a_round_with_one_metric_and_one_direction_has_its_plots(tmp_path: Path, round_: Round) -> None:
    scorer = replace(round_.recipe.scorer, metrics=("bleu",))
    one = Round(toy_run(tmp_path, langs=("fr",)), 1, replace(round_.recipe, scorer=scorer))
    figures, correlation = sections.plot_gaps(one)
    assert len(figures) == 1 and "fr-en (n=6)" in figures[0].svg
    assert ">1.00<" in correlation.svg


def test_shapes_name_a_sample(round_: Round) -> None:
    pairs = read_shown_pairs(round_.pairs, round_.scored, 3)
    whole, part = sections.plot_shapes(pairs, 3), sections.plot_shapes(pairs, 1234)
    assert [figure.caption for figure in whole] == [
        "Length of chosen and rejected.",
        "Repetition of chosen and rejected.",
    ]
    assert part[0].caption == "Length of chosen and rejected; a sample of 3 of 1,234 pairs."


def test_scores_of_all_rounds_are_plotted_with_the_toplines_of_speech(round_: Round) -> None:
    first = read_summary(round_.run, 1)
    second = read_summary(round_.run, 1)
    second["round"] = 2
    second["s2t_chrf"] = {"fr-en": None, "en-fr": None}
    text, speech = sections.plot_scores([first, second])
    assert text.caption == "S2T BLEU of the test set by round, 95 % intervals."
    assert all(f"round {number}" in text.svg for number in (0, 1, 2)) and "topline" not in text.svg
    assert speech.caption == "ASR-BLEU of the test set by round, 95 % intervals; dotted: resynthesised recordings."
    assert "topline fr-en (50.0)" in speech.svg and "topline en-fr (50.0)" in speech.svg
    del second["toplines"]["en"]
    assert "topline fr-en" not in sections.plot_scores([second])[-1].svg


def test_training_curves_are_of_losses_and_margins() -> None:
    log = [
        {"step": 1.0, "loss": 0.7, "rewards/margins": 0.1},
        {"step": 1.0, "eval_loss": 0.8},
        {"step": 2.0, "loss": 0.6},
        {"loss": 9.0},
    ]
    loss, margin = sections.plot_training(log)
    assert loss.caption == "Loss during training." and "training" in loss.svg and "held out" in loss.svg
    assert margin.caption == "Reward margin during training." and "held out" not in margin.svg
    assert sections.plot_training([]) == []
    [first_round] = sections.plot_training([{"step": 1.0, "loss": 0.7}, {"step": 2.0, "loss": 0.6, "dev_loss": 0.9}])
    assert "held out" in first_round.svg, "round 0 measures held-out pairs too"
    loss, share = sections.plot_training([{"step": 1.0, "loss": 0.7, "words": 9, "text_share": 0.9}])
    assert share.caption == "Share of words that are text during training."


def test_the_audit_is_two_plots_and_a_table(round_: Round) -> None:
    audit = audit_round(round_)
    audit["recommended"]["bleu"] = {"delta": 0.2, "reason": "why not"}
    accuracy, worth = sections.plot_audit(audit)
    assert "by bleu" in accuracy.svg and "by chrf" in accuracy.svg and "random (0.5)" in accuracy.svg
    assert "0.75+" in accuracy.svg or "0.5-0.75" in accuracy.svg
    assert "δ in bleu" in worth.svg and worth.caption.startswith("The worth of the labels above each δ")
    rows = sections.make_audit_rows(audit)
    assert [row["direction"] for row in rows[:3]] == ["all", "en-fr", "fr-en"]
    assert len(rows) == 3 * len(round_.recipe.scorer.metrics)
    above = rows[0]["above_delta"]
    assert rows[0]["all_labels"]["delta"] == 0.0 and above and above["delta"] == 0.2
    assert above["n"] < rows[0]["all_labels"]["n"] == 10
    assert rows[-1]["above_delta"] is None  # 10 labels are too few for a recommendation


def test_an_audit_without_bleu_of_texts_uses_its_first_judge(tmp_path: Path, round_: Round) -> None:
    audit = audit_round(round_)
    audit["judges"] = ["chrf"]
    assert "by chrf" in sections.plot_audit(audit)[0].svg and "by bleu" not in sections.plot_audit(audit)[0].svg
    assert sections.make_audit_rows(audit)[0]["all_labels"]["n"] == 10
