"""The pairs that a report shows."""

from __future__ import annotations

import pytest

from factory.planning.places import Round
from factory.report.pairs import (
    ShownPair,
    choose_pairs_with_players,
    join_scored,
    make_table_row,
    margin_key,
    mark_differences,
    read_shown_pairs,
)
from schemas.datasets import Candidate, Row, Scores
from schemas.sequences import Variant, completion, prompt
from tests.toy_run import toy_recipe, toy_run


@pytest.fixture(scope="module")
def round_(tmp_path_factory: pytest.TempPathFactory) -> Round:
    return Round(toy_run(tmp_path_factory.mktemp("run")), 1, toy_recipe())


def candidate(text: str, scores: Scores | None = None) -> Candidate:
    return {
        "text": text,
        "units": [1, 2],
        "logprob": None,
        "finish": "ok",
        "back_translation": f"back {text}",
        "back_translation_units": [3],
        "back_translation_finish": "ok",
        "scores": scores or {},
    }


def pair(number: int, margin: float = 0.5, src: str = "fr", **sides: Candidate) -> ShownPair:
    return {
        "pair_id": f"p{number}",
        "utt_id": f"u{number}",
        "src_lang": src,
        "tgt_lang": "en" if src == "fr" else "fr",
        "metric": "bleu",
        "margin": margin,
        "source": {"text": "le train part", "units": [7], "reference": "the train leaves"},
        "chosen": sides.get("chosen", candidate("the train leaves")),
        "rejected": sides.get("rejected", candidate("the boat leaves")),
    }


def test_a_pair_has_its_source_and_both_candidates(round_: Round) -> None:
    pairs = read_shown_pairs(round_.pairs, round_.scored, 100)
    rows = {row["utt_id"]: row for row in round_.scored.rows().to_pylist()}
    strings = {row["pair_id"]: row for row in round_.pairs.rows(status="ok").to_pylist()}
    assert len(pairs) == len(strings) == 6
    for found in pairs:
        row, string = rows[found["utt_id"]], strings[found["pair_id"]]
        right, wrong = row["candidates"]
        order = (right, wrong) if right["scores"]["bleu"] > wrong["scores"]["bleu"] else (wrong, right)
        assert (found["chosen"], found["rejected"]) == order
        assert found["source"] == {key: row[key] for key in ("text", "units", "reference")}
        for key in ("src_lang", "tgt_lang", "metric", "margin"):
            assert found[key] == string[key]  # type: ignore[literal-required]


def test_the_widest_margin_comes_first_and_ids_decide_ties(round_: Round) -> None:
    pairs = read_shown_pairs(round_.pairs, round_.scored, 100)
    keys = [(-found["margin"], found["pair_id"]) for found in pairs]
    assert keys == sorted(keys) and keys[0][0] < keys[-1][0]
    assert [margin_key({"margin": 0.5, "pair_id": name}) for name in "ba"] == [(-0.5, "b"), (-0.5, "a")]
    assert len(read_shown_pairs(round_.pairs, round_.scored, 2)) == 2


def test_the_rejected_candidate_is_found_by_its_own_scores(round_: Round) -> None:
    [row] = round_.pairs.rows(status="ok").slice(0, 1).to_pylist()
    scored = {one["utt_id"]: one for one in round_.scored.rows().to_pylist()}[row["utt_id"]]
    assert row["chosen_scores"] != row["rejected_scores"]
    assert [one["scores"] for one in scored["candidates"]] in (
        [row["chosen_scores"], row["rejected_scores"]],
        [row["rejected_scores"], row["chosen_scores"]],
    )
    [found] = join_scored([row], round_.scored)
    assert (found["chosen"].get("scores"), found["rejected"].get("scores")) == (
        row["chosen_scores"],
        row["rejected_scores"],
    )


def test_a_candidate_of_before_a_metric_existed_is_found(round_: Round) -> None:
    row = next(row for row in round_.pairs.rows(status="ok").to_pylist())
    later = {f"{side}_scores": row[f"{side}_scores"] | {"later": None} for side in ("chosen", "rejected")}
    [expected], [found] = join_scored([row], round_.scored), join_scored([row | later], round_.scored)
    assert found == expected and found["chosen"]["back_translation"] and found["rejected"]["back_translation"]


def test_a_side_without_its_candidate_is_parsed_from_its_sequence(round_: Round) -> None:
    [row] = round_.pairs.rows(status="ok").slice(0, 1).to_pylist()
    changes: Row = {"rejected_text": "another text", "rejected": completion(Variant.COM, "another text", [5, 6])}
    changes["prompt"] = prompt(Variant.COM, row["src_lang"], row["tgt_lang"], [1])
    [found] = join_scored([row | changes], round_.scored)
    rejected = found["rejected"]
    assert (rejected["text"], rejected["units"], rejected["back_translation"]) == ("another text", [5, 6], None)
    assert rejected.get("scores") == row["rejected_scores"] and found["chosen"]["text"] == row["chosen_text"]


def test_a_pair_without_its_source_is_left_out(round_: Round) -> None:
    [row] = round_.pairs.rows(status="ok").slice(0, 1).to_pylist()
    assert join_scored([row | {"utt_id": "gone"}, row | {"tgt_lang": "de"}], round_.scored) == []


def test_players_go_to_both_directions_and_to_the_ends_and_the_middle_of_the_margins() -> None:
    french = [pair(number, 1 - number / 100) for number in range(30)]
    english = [pair(100 + number, 1 - number / 100, "en") for number in range(3)]
    chosen = choose_pairs_with_players([*french, *english], 24)
    assert [found["pair_id"] for found in chosen[:3]] == ["p100", "p101", "p102"]
    numbers = [int(found["pair_id"][1:]) for found in chosen[3:]]
    assert numbers == [0, 1, 2, 3, 26, 27, 28, 29, 4, 9, 14, 19]
    assert choose_pairs_with_players(french[:12], 12) == french[:12]
    assert len(choose_pairs_with_players(french, 2)) == 2
    assert choose_pairs_with_players([], 24) == []
    assert len(choose_pairs_with_players(french)) == 24


@pytest.mark.parametrize(
    ("text", "other", "runs"),
    [
        (
            "the red car is here",
            "the blue car",
            [("the", False), ("red", True), ("car", False), ("is here", True)],
        ),
        ("the same", "the same", [("the same", False)]),
        ("all new", None, [("all new", True)]),
        (None, "anything", []),
        ("", "anything", []),
    ],
)
def test_differences_are_marked(text: str | None, other: str | None, runs: list[tuple[str, bool]]) -> None:
    assert mark_differences(text, other) == runs


def test_a_row_of_the_table_has_marked_texts_scores_and_its_sounds() -> None:
    chosen = candidate("the train leaves", {"bleu": 0.98765, "chrf": None, "wer": 0.1})
    row = make_table_row(pair(1, 0.123456, chosen=chosen), toy_recipe(), {"p1.source", "p1.rejected_back", "p2.chosen"})
    assert row == {
        "id": "p1",
        "direction": "fr-en",
        "margin": 0.1235,
        "source": "le train part",
        "reference": "the train leaves",
        "chosen": {
            "text": [("the", False), ("train", True), ("leaves", False)],
            "back_translation": [("back the", True), ("train", False), ("leaves", True)],
            "scores": [0.988, None, None, 0.1, None],
        },
        "rejected": {
            "text": [("the", False), ("boat", True), ("leaves", False)],
            "back_translation": [("back the boat leaves", True)],
            "scores": [None] * 5,
        },
        "sounds": {"source": "p1.source", "rejected_back": "p1.rejected_back"},
    }
