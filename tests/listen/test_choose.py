"""The utterances to judge are chosen at random, near δ or where metrics disagree, the same ones every time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from factory.listen.choose import Question, choose_questions
from factory.listen.judgements import ListenError
from factory.planning.places import Round
from tests.toy_run import toy_recipe, toy_run


@pytest.fixture(scope="module")
def round_(tmp_path_factory: pytest.TempPathFactory) -> Round:
    return Round(toy_run(tmp_path_factory.mktemp("run")), 1, toy_recipe())


def advantage(question: Question, metric: str) -> float:
    """Return by how much a metric prefers A; for MCD, where less is better, the sign is reversed."""
    a, b = question.a["scores"][metric], question.b["scores"][metric]
    assert a is not None and b is not None
    return b - a if metric == "mcd" else a - b


def test_near_begins_with_the_gap_closest_to_delta(round_: Round) -> None:
    distances = [abs(abs(advantage(question, "bleu")) - 0.1) for question in choose_questions(round_, "near", 50)]
    assert len(set(distances)) > 3 and distances == sorted(distances)
    auto = replace(round_.recipe, select=replace(round_.recipe.select, delta="auto"))
    gaps = [abs(advantage(question, "bleu")) for question in choose_questions(replace(round_, recipe=auto), "near", 50)]
    assert gaps == sorted(gaps)


def test_disagree_begins_with_metrics_that_prefer_different_candidates(round_: Round) -> None:
    differ = [
        (advantage(question, "bleu") > 0) != (advantage(question, "mcd") > 0)
        for question in choose_questions(round_, "disagree", 50)
    ]
    assert differ == sorted(differ, reverse=True) and differ[0] and not differ[-1]


def test_random_is_the_same_for_the_same_seed(round_: Round) -> None:
    questions = choose_questions(round_, "random", 6)
    assert len(questions) == 6 and questions == choose_questions(round_, "random", 6)
    other = replace(round_, recipe=replace(round_.recipe, seed=7))
    assert questions != choose_questions(other, "random", 6)


def test_either_candidate_may_be_a(round_: Round) -> None:
    questions = choose_questions(round_, "random", 50)
    assert {(question.a_index, question.b_index) for question in questions} == {(0, 1), (1, 0)}
    question = questions[0]
    assert question.a == question.row["candidates"][question.a_index] and question.a != question.b


def test_a_round_without_two_different_candidates_is_refused(tmp_path: Path, round_: Round) -> None:
    strict = replace(round_.recipe.select.filters, min_length_ratio=0.001, max_length_ratio=0.01)
    recipe = replace(round_.recipe, select=replace(round_.recipe.select, filters=strict))
    with pytest.raises(ListenError, match="round 1 of .* has no utterance with two valid candidates that differ"):
        choose_questions(replace(round_, recipe=recipe), "random", 6)
