"""choose: which two of several candidates each policy takes, and what it says when it takes none."""

from __future__ import annotations

from typing import Any

import pytest

from factory.passes.rules import RULES, Choice, preference

ALL = ("bleu", "chrf", "wer")


def candidates(*rows: tuple[float | None, ...]) -> list[dict[str, Any]]:
    """Return candidates named by their place, with scores of ALL; the best by BLEU has to come first."""
    return [{"text": str(place), "scores": dict(zip(ALL, row, strict=True))} for place, row in enumerate(rows)]


def names(policy: str, rows: list[dict[str, Any]], quantile: float = 0.75) -> tuple[str, str] | str:
    found = RULES[policy](rows, Choice("bleu", ALL, quantile))
    return found if isinstance(found, str) else (found[0]["text"], found[1]["text"])


def test_best_and_worst_are_the_ends() -> None:
    assert names("best_worst", candidates((0.9, 0, 1), (0.5, 0, 1), (0.1, 0, 1))) == ("0", "2")


@pytest.mark.parametrize(
    ("many", "place", "taken"),
    [
        *[(2, 0.75, (0, 1)), (4, 0.75, (1, 2)), (8, 0.75, (2, 5)), (8, 1.0, (0, 7)), (5, 0.75, (1, 3))],
        *[(5, 0.6, (1, 3)), (3, 0.6, (0, 2))],  # never the middle one against itself
    ],
)
def test_a_quantile_keeps_away_from_the_ends(many: int, place: float, taken: tuple[int, int]) -> None:
    rows = candidates(*((1 - number / 10, 0.5, 0.5) for number in range(many)))
    assert names("quantile", rows, place) == (str(taken[0]), str(taken[1]))


def test_all_agree_asks_every_metric_about_the_two_ends() -> None:
    assert names("all_agree", candidates((0.9, 0.8, 0.1), (0.1, 0.2, 0.9))) == ("0", "1")
    assert names("all_agree", candidates((0.9, 0.2, 0.1), (0.1, 0.8, 0.9))).startswith("disagreement: chrf prefer")
    assert names("all_agree", candidates((0.9, 0.8, 0.5), (0.1, 0.2, 0.5))).startswith(
        "disagreement: wer"
    )  # a tie is no agreement


def test_pareto_takes_the_widest_gap_in_which_the_rejected_is_never_better() -> None:
    rows = candidates((0.9, 0.2, 0.5), (0.8, 0.9, 0.3), (0.4, 0.5, 0.5), (0.1, 0.4, 0.6))
    assert names("pareto", rows) == ("1", "3")  # of 0 against 3 chrf prefers 3
    assert names("pareto", candidates((0.9, 0.5, 0.5), (0.1, 0.5, 0.5))) == ("0", "1")  # equal is not better
    assert names("pareto", candidates((0.9, 0.2, 0.5), (0.1, 0.8, 0.5))).startswith("no_dominance")


def test_a_score_that_is_missing_is_the_worst_and_two_say_nothing() -> None:
    full, empty = candidates((0.5, None, 0.2), (0.5, 0.1, None))
    assert preference("chrf", full, empty) == -float("inf")
    assert preference("wer", full, empty) == float("inf")
    assert preference("wer", empty, empty) == preference("mcd", full, empty) == 0
    assert preference("wer", *candidates((0, 0, 0.2), (0, 0, 0.5))) == pytest.approx(0.3)
