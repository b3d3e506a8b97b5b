"""The agreement of metrics with people is Cohen's kappa, and every metric is compared with every verdict."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from factory.cli import main
from factory.listen.agreement import audit_judgements, measure_agreement, render_human_audit
from factory.listen.judgements import save_judgement
from factory.planning.places import Round
from tests.listen.test_judgements import judge
from tests.toy_run import toy_recipe, toy_run


def test_kappa_is_cohens() -> None:
    draw = np.random.default_rng(3)
    people, metric = draw.random(60) < 0.6, draw.random(60) < 0.5
    agreement = measure_agreement(people, metric)
    assert agreement["kappa"] == pytest.approx(cohen_kappa_score(people, metric))
    assert agreement["accuracy"] == pytest.approx((people == metric).mean())
    for value, interval in ((agreement["accuracy"], agreement["ci"]), (agreement["kappa"], agreement["kappa_ci"])):
        assert value is not None and interval is not None and interval[0] < value < interval[1]


def test_kappa_is_0_if_both_raters_always_give_the_same_verdict() -> None:
    agreement = measure_agreement(np.ones(4, bool), np.ones(4, bool))
    assert (agreement["n"], agreement["accuracy"], agreement["kappa"]) == (4, 1, 0)


def test_without_verdicts_nothing_is_measured() -> None:
    agreement = measure_agreement(np.zeros(0, bool), np.zeros(0, bool))
    assert agreement == {"n": 0, "accuracy": None, "ci": None, "kappa": None, "kappa_ci": None}


def test_every_metric_is_compared_with_people(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    round_ = Round(toy_run(tmp_path / "run"), 1, toy_recipe())
    assert render_human_audit(audit_judgements(round_)).startswith("this round has no judgements yet")
    for number in range(10):
        good, bad = {"bleu": 0.9, "wer": 0.1, "mcd": 6.0}, {"bleu": 0.2, "wer": 0.8, "mcd": 5.0}
        judgement = judge("r", str(number), "same" if number == 0 else "a" if number % 2 else "b")
        judgement["a_scores"], judgement["b_scores"] = (good, bad) if number % 2 else (bad, good)
        save_judgement(round_, judgement)
    audit = audit_judgements(round_)
    assert (audit["judgements"], audit["same"], audit["raters"]) == (10, 1, ["r"])
    bleu = audit["metrics"]["bleu"]
    assert (bleu["n"], bleu["accuracy"], bleu["kappa"]) == (9, 1, 1)
    assert audit["metrics"]["wer"]["accuracy"] == 1 and audit["metrics"]["mcd"]["accuracy"] == 0
    assert audit["metrics"]["chrf"]["n"] == 0
    assert main(["audit", "--human", "--run", round_.run.uri]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "10 judgements by r, 1 of them undecided; 95 % intervals in brackets"
    assert "  bleu     agrees 1.00 [1.00, 1.00], kappa 1.00 [1.00, 1.00]  n=9" in lines
    assert "  chrf     has no preference between the judged candidates" in lines
