"""rules: which two of several candidates each rule takes, and its reason if it takes none."""

from __future__ import annotations

import math
from typing import cast

import pytest

from factory.passes.rules import RULES, preference
from factory.recipe.sections import SelectConfig
from schemas.datasets import Candidate

ALL = ("bleu", "chrf", "wer")


def candidates(*rows: tuple[float | None, ...]) -> list[Candidate]:
    """Return candidates named by their index, with scores of ALL; the best by BLEU has to come first."""
    return [
        cast(Candidate, {"text": str(index), "scores": dict(zip(ALL, row, strict=True))})
        for index, row in enumerate(rows)
    ]


def choose(rule: str, rows: list[Candidate], quantile: float = 0.75) -> tuple[str | None, str | None] | str:
    """Return the names of the chosen and the rejected candidate, or the reason."""
    choice = RULES[rule](rows, SelectConfig(metric="bleu", quantile=quantile), ALL)
    return choice if isinstance(choice, str) else (choice[0]["text"], choice[1]["text"])


def test_best_and_worst_are_the_ends() -> None:
    assert choose("best_worst", candidates((0.9, 0, 1), (0.5, 0, 1), (0.1, 0, 1))) == ("0", "2")


@pytest.mark.parametrize(
    ("number", "quantile", "indices"),
    [
        (2, 0.75, (0, 1)),
        (4, 0.75, (1, 2)),
        (8, 0.75, (2, 5)),
        (8, 1.0, (0, 7)),
        (9, 0.75, (2, 6)),
        (9, 0.9, (1, 7)),
        (9, 0.95, (0, 8)),
        (9, 0.6, (3, 5)),
        (5, 0.75, (1, 3)),
        (5, 0.6, (1, 3)),  # never the middle one against itself
        (3, 0.6, (0, 2)),
        (2, 0.51, (0, 1)),
    ],
)
def test_a_quantile_stays_away_from_the_ends(number: int, quantile: float, indices: tuple[int, int]) -> None:
    rows = candidates(*((1 - index / 10, 0.5, 0.5) for index in range(number)))
    assert choose("quantile", rows, quantile) == (str(indices[0]), str(indices[1]))


def test_all_agree_compares_the_two_ends_by_every_metric() -> None:
    assert choose("all_agree", candidates((0.9, 0.8, 0.1), (0.5, 0.1, 0.9), (0.1, 0.2, 0.9))) == ("0", "2")
    reason = "disagreement: {} prefer the other candidate or neither"
    assert choose("all_agree", candidates((0.9, 0.2, 0.1), (0.1, 0.8, 0.9))) == reason.format("chrf")
    assert choose("all_agree", candidates((0.9, 0.2, 0.9), (0.1, 0.8, 0.1))) == reason.format("chrf, wer")
    assert choose("all_agree", candidates((0.9, 0.8, 0.5), (0.1, 0.2, 0.5))) == reason.format("wer"), "a tie counts"
    assert choose("all_agree", candidates((0.5, 0.8, 0.1), (0.5, 0.2, 0.9))) == ("0", "1"), "select finds its own tie"


def test_pareto_takes_the_widest_gap_in_which_the_rejected_is_better_by_no_metric() -> None:
    rows = candidates((0.9, 0.2, 0.5), (0.8, 0.9, 0.3), (0.4, 0.5, 0.5), (0.1, 0.4, 0.6))
    assert choose("pareto", rows) == ("1", "3"), "chrF prefers 3 to 0"
    assert choose("pareto", candidates((0.9, 0.5, 0.5), (0.1, 0.5, 0.5))) == ("0", "1"), "an equal score is not better"
    for rows in (candidates((0.9, 0.2, 0.5), (0.1, 0.8, 0.5)), candidates((0.9, 0.5, 0.5), (0.9, 0.4, 0.5))):
        assert choose("pareto", rows) == (
            "no_dominance: in every pair of candidates each is better by a metric, or they are equal"
        )


def test_a_preference_is_the_gap_in_the_direction_of_the_metric() -> None:
    one, two = candidates((0.75, 0.5, 0.25), (0.25, 0.5, 0.75))
    assert [preference(metric, one, two) for metric in ALL] == [0.5, 0.0, 0.5]
    assert [preference(metric, two, one) for metric in ALL] == [-0.5, 0.0, -0.5]


def test_a_missing_score_is_worse_than_any_and_two_missing_scores_are_equal() -> None:
    one, two = candidates((0.5, None, 0.2), (0.5, 0.1, None))
    assert preference("chrf", one, two) == -math.inf
    assert preference("chrf", two, one) == math.inf
    assert preference("wer", one, two) == math.inf
    assert preference("wer", two, two) == preference("mcd", one, two) == 0
