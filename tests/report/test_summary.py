"""The summary of a round: written last, with which the round is finished."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from factory.audit.comparisons import compare, group_by_gap
from factory.audit.labels import explain_unmeasured, judge_rows, read_rows_with_reference
from factory.passes.progress import Clock
from factory.planning.places import Round
from factory.report.summary import is_summarised, read_summary, summarise, summarise_production
from factory.storage.manifest import StoreError
from tests.toy_run import toy_recipe, toy_run


@pytest.fixture(scope="module")
def round_(tmp_path_factory: pytest.TempPathFactory) -> Round:
    return Round(toy_run(tmp_path_factory.mktemp("run")), 1, toy_recipe())


def test_the_summary_has_the_scores_counts_and_times_of_the_round(round_: Round) -> None:
    clock = Clock(round_.uri)
    with clock.stage("select"):
        pass
    summary = summarise(round_, clock)
    assert read_summary(round_.run, 1) == summary
    assert json.loads(Path(round_.uri, "summary.json").read_text("utf-8")) == summary
    assert (summary["round"], summary["recipe"]) == (1, "phrasebook")
    assert summary["rows"] == {"ok": 12, "skipped": 0, "failed": 0}
    pairs = round_.pairs.rows(["src_lang"], "ok")["src_lang"].to_pylist()
    assert summary["pairs"] == {"fr-en": pairs.count("fr"), "en-fr": pairs.count("en")}
    assert summary["malformed"] == {"pairs": 0, "chosen": 0, "rejected": 0, "of": len(pairs)}
    assert list(summary["wall_s"]) == ["select"] and summary["peak_rss_mb"] > 0
    assert summary["unmeasured"] is None and "fr-en is measured on 6 utterances" in summary["untested"][0]
    assert set(summary["failures"]) == {"units 1", "scored", "pairs", "evaluation"}
    assert [failure["status"] for failure in summary["failures"]["pairs"]] == ["skipped"] * len(
        summary["failures"]["pairs"]
    )
    assert set(summary["toplines"]) == {"fr", "en"}
    score = summary["asr_bleu"]["fr-en"]
    assert score and score["before"] == score["after"] == 100


def test_the_accuracy_of_the_labels_is_in_the_summary_by_judge_and_gap(round_: Round) -> None:
    production = summarise_production(round_)
    rows = judge_rows(read_rows_with_reference(round_.scored), round_.recipe.select.filters)
    for judge in ("bleu", "chrf"):
        bins = group_by_gap(compare(rows, "bleu", judge), "bleu")
        assert production["label_accuracy"][judge] == [{"metric": "bleu", "judge": judge, **one} for one in bins]


def test_labels_are_measured_among_candidates_that_the_filters_accept(round_: Round) -> None:
    select = round_.recipe.select
    strict = replace(select, filters=replace(select.filters, max_length_ratio=0.9))  # every candidate is longer
    rounds = [round_, replace(round_, recipe=replace(round_.recipe, select=strict))]
    counts = [sum(one["n"] for one in summarise_production(each)["label_accuracy"]["bleu"]) for each in rounds]
    assert counts == [10, 0]  # two of the 12 utterances have equally good back-translations


def test_a_round_without_references_explains_why_its_labels_are_unmeasured(tmp_path: Path) -> None:
    round_ = Round(toy_run(tmp_path, references=False), 1, toy_recipe())
    assert summarise_production(round_)["unmeasured"] == explain_unmeasured(0, False)


def test_round_0_makes_no_pairs(tmp_path: Path) -> None:
    run = toy_run(tmp_path)
    assert not is_summarised(run, 0)
    summary = summarise(Round(run, 0, toy_recipe()), Clock(f"{run.uri}/round-0"))
    assert is_summarised(run, 0) and not is_summarised(run, 2)
    assert not {"rows", "pairs", "label_accuracy", "unmeasured"} & set(summary)
    assert set(summary["failures"]) == {"evaluation"}
    score = summary["s2t_bleu"]["fr-en"]
    assert score and score["before"] is None and "difference" not in score


def test_a_file_that_is_no_summary_is_refused(tmp_path: Path) -> None:
    run = toy_run(tmp_path)
    for content in ('{"a": 1}', "[]"):
        (tmp_path / "round-1/summary.json").write_text(content)
        with pytest.raises(StoreError, match=r"round-1/summary.json is no summary of a round: delete it"):
            read_summary(run, 1)
