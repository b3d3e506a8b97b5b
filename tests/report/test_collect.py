"""The numbers of a report."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

from factory.audit.labels import ScoredCandidate, ScoredUtterance
from factory.planning.places import Round
from factory.report import collect
from factory.report.pairs import read_shown_pairs
from factory.report.scores import asr_protocol
from factory.report.summary import read_summary
from tests.toy_run import ROOT, toy_recipe, toy_run


@pytest.fixture(scope="module")
def round_(tmp_path_factory: pytest.TempPathFactory) -> Round:
    return Round(toy_run(tmp_path_factory.mktemp("run")), 1, toy_recipe())


def utterance(
    *scores: dict[str, float | None], direction: str = "fr-en", invalid: int | None = None
) -> ScoredUtterance:
    candidates = [ScoredCandidate(one, {}, index != invalid, True) for index, one in enumerate(scores)]
    return ScoredUtterance("u", direction, candidates)


def test_the_funnel_counts_each_step_and_the_losses(round_: Round) -> None:
    steps = collect.make_funnel(round_)
    names = [
        "tokenized utterances",
        "utterances of this round",
        "candidates",
        "well-formed candidates",
        "pairs",
    ]
    assert [step["step"] for step in steps] == names
    assert [step["count"] for step in steps] == [12, 12, 24, 24, 6]
    lost = steps[-1]["lost"]
    assert sum(count for _, count in lost) == 6 and lost == sorted(lost, key=lambda item: (-item[1], item[0]))


def test_a_sample_of_candidates_is_read_with_the_filters_of_the_recipe(round_: Round) -> None:
    utterances, total = collect.read_candidates(round_)
    assert (len(utterances), total) == (12, 12)
    assert all(one.is_valid for found in utterances for one in found.candidates)
    select = round_.recipe.select
    strict = replace(select, filters=replace(select.filters, max_length_ratio=0.9))
    rejected, _ = collect.read_candidates(replace(round_, recipe=replace(round_.recipe, select=strict)))
    assert not any(one.is_valid for found in rejected for one in found.candidates)
    text = " ".join((ROOT / "docs/report.md").read_text("utf-8").split())
    assert f"histograms show {collect.MAX_PLOTTED:,} utterances" in text


def test_a_gap_is_between_the_best_and_the_worst_valid_candidate_of_a_direction() -> None:
    utterances = [
        utterance({"bleu": 0.5}, {"bleu": 0.25}, {"bleu": 0.75}),
        utterance({"bleu": 0.5}, {"bleu": 0.25}, {"bleu": 1.0}, invalid=2),
        utterance({"bleu": 0.5}, {"bleu": None}),
        utterance({"bleu": 0.5}, {"bleu": 1.0}, direction="en-fr"),
        utterance(),
    ]
    assert list(collect.compute_gaps(utterances, "bleu", "fr-en")) == [0.5, 0.25]
    assert list(collect.compute_gaps(utterances, "bleu", "en-fr")) == [0.5]
    assert collect.compute_gaps(utterances, "wer", "fr-en").shape == (0,)


def test_metrics_correlate_by_their_preferences() -> None:
    draw = np.random.default_rng(1)
    scores = draw.random((40, 2, 2)).round(1)
    utterances = [
        utterance(*({"bleu": bleu, "wer": wer} for bleu, wer in pair), {"bleu": 9.0, "wer": 9.0})
        for pair in scores.tolist()
    ]
    incomplete = utterance({"bleu": 1.0, "wer": None}, {"bleu": 0.1, "wer": 0.1})
    bleu, wer = scores[:, 0, 0] - scores[:, 1, 0], scores[:, 1, 1] - scores[:, 0, 1]
    matrix = collect.correlate_metrics([*utterances, incomplete], ["bleu", "wer"])
    np.testing.assert_allclose(matrix, [[1, spearmanr(bleu, wer)[0]], [spearmanr(bleu, wer)[0], 1]])
    assert np.isnan(collect.correlate_metrics(utterances[:2], ["bleu", "wer"])).all()
    np.testing.assert_allclose(collect.correlate_metrics(utterances[:3], ["bleu"]), [[1]])


def test_shapes_compare_the_units_of_both_sides(round_: Round) -> None:
    pairs = read_shown_pairs(round_.pairs, round_.scored, 2)
    pairs[0]["chosen"]["units"] = [1, 2] * (len(pairs[0]["source"]["units"] or []) // 2)
    pairs[0]["rejected"]["units"] = None
    shapes = collect.measure_shapes(pairs)
    assert shapes["length"]["chosen"][0] == 1 and len(shapes["length"]["rejected"]) == 1
    assert shapes["repetition"]["chosen"][0] > 0.8 and shapes["repetition"]["rejected"][0] == 0


def test_stages_have_seconds_and_rows_per_second(round_: Round) -> None:
    times = collect.time_stages(round_, read_summary(round_.run, 1))
    by_stage = {one["stage"]: one for one in times}
    assert by_stage["produce"] == {"stage": "produce", "seconds": 12.0, "rows": 12, "rate": 1.0}
    assert by_stage["evaluate"]["rate"] == 12 / 4
    assert by_stage["train"] == {"stage": "train", "seconds": 3.0, "rows": None, "rate": None}


def test_finished_datasets_have_their_origin(round_: Round) -> None:
    origins = collect.list_origins(round_)
    names = [origin["dataset"] for origin in origins]
    assert names == ["units of mono", "units of test", "toplines", "scored", "pairs", "evaluation"]
    manifest = round_.scored.manifest()
    assert origins[3]["fingerprint"] == manifest.fingerprint and origins[3]["rows"] == 12
    assert origins[3]["inputs"] == {"toy": "12"} and origins[3]["versions"] == manifest.versions


def test_summaries_of_later_rounds_are_left_out(tmp_path: Path) -> None:
    run = toy_run(tmp_path)
    later = Path(Round(run, 2, toy_recipe()).uri)
    later.mkdir()
    (later / "summary.json").write_text(json.dumps(read_summary(run, 1) | {"round": 2}))
    rounds = [[one["round"] for one in collect.read_summaries(Round(run, number, toy_recipe()))] for number in (1, 2)]
    assert rounds == [[1], [1, 2]]


def test_metrics_of_transcripts_are_signed_with_the_recognizer_too() -> None:
    recipe = toy_recipe()
    text = collect.list_signatures(recipe)
    speech = collect.list_signatures(replace(recipe, scorer=replace(recipe.scorer, score_text="asr")))
    assert text["asr (fr)"] == asr_protocol(recipe, "fr")
    assert speech["bleu (en)"] == f"{text['bleu (en)']}|{asr_protocol(recipe, 'en')}"
    assert speech["mcd (fr)"] == text["mcd (fr)"] and "asr:" not in text["bleu (fr)"]
    own = replace(recipe, scorer=replace(recipe.scorer, score_text="asr", metrics=("reconstruction",)))
    assert "asr:" not in collect.list_signatures(own)["reconstruction (fr)"], "nothing is transcribed for it"
