"""select: which candidates make a pair, and that an utterance without one says why."""

from __future__ import annotations

from typing import Any

import pytest

from factory.passes.select import select
from factory.recipe.sections import FiltersConfig
from schemas.sequences import Variant, parse

SETTINGS = {"metric": "bleu", "delta": 0.1, "filters": FiltersConfig(), "variant": Variant.COM}


def candidate(
    text: str, bleu: float | None, units: tuple[int, ...] = (1, 2, 3, 4), finish: str = "ok", **scores: float
) -> dict[str, Any]:
    return {"text": text, "units": list(units), "finish": finish, "scores": {"bleu": bleu, **scores}}


def row(*candidates: dict[str, Any], **changes: Any) -> dict[str, Any]:
    told = {
        "utt_id": "u1",
        "src_lang": "fr",
        "tgt_lang": "en",
        "text": "il pleut",
        "units": [5, 6, 7, 8],
        "status": "ok",
        "reason": None,
    }
    return told | {"candidates": list(candidates)} | changes


def test_the_better_way_back_is_chosen() -> None:
    pair = select(row(candidate("it snows", 0.2), candidate("it rains", 0.9, units=(9, 8, 7))), **SETTINGS)
    assert (pair["status"], pair["chosen_text"], pair["rejected_text"]) == ("ok", "it rains", "it snows")
    assert pair["margin"] == pytest.approx(0.7)
    assert pair["prompt"] == "<|com|><|fr|><|en|><|sosp|><|u5|><|u6|><|u7|><|u8|><|eosp|>"
    assert parse(Variant.COM, pair["chosen"])[:2] == ("it rains", [9, 8, 7])


def test_a_lower_mcd_is_better() -> None:
    worse, better = candidate("a", None, mcd=7.5), candidate("b", None, units=(9, 9, 1), mcd=5.0)
    pair = select(row(worse, better), **SETTINGS | {"metric": "mcd", "delta": 1.0})
    assert (pair["chosen_text"], pair["margin"]) == ("b", 2.5)


def test_best_against_worst_of_many() -> None:
    pair = select(row(*(candidate(str(score), score) for score in (0.5, 0.1, 0.9, 0.3))), **SETTINGS)
    assert (pair["chosen_text"], pair["rejected_text"]) == ("0.9", "0.1")


def test_a_candidate_that_is_not_spoken_is_in_no_pair() -> None:
    silent = candidate("0.95", 0.95, units=(), finish="unspoken")
    pair = select(row(*(candidate(str(score), score) for score in (0.5, 0.1, 0.9)), silent), **SETTINGS)
    assert (pair["chosen_text"], pair["rejected_text"]) == ("0.9", "0.1")
    alone = select(row(silent, candidate("a", 0.5), candidate("b", 0.9, finish="unclosed")), **SETTINGS)
    assert alone["reason"].startswith("unclosed:"), "the reason is what is wrong with those that were spoken"


@pytest.mark.parametrize(
    ("candidates", "slug"),
    [
        ((candidate("a", 0.5), candidate("b", 0.55)), "below_delta"),
        ((candidate("a", 0.5), candidate("b", 0.5)), "tie"),
        ((candidate("a", 0.5), candidate("a", 0.5)), "duplicate"),
        ((candidate("a", 0.9), candidate("b", 0.5), candidate("a", 0.1)), "duplicate"),
        ((candidate("a", 0.5), candidate("b", 0.9, finish="unclosed")), "unclosed"),
        ((candidate("a", 0.5), candidate("il pleut", 0.9)), "copy"),
        ((candidate("a", 0.5), candidate("b", 0.9, units=(1,))), "too_short"),
        ((candidate("a", 0.5), candidate("b", 0.9, units=tuple(range(9)))), "too_long"),
        ((candidate("a", 0.5), candidate("b", 0.9, units=(1, 2) * 4)), "repetition"),
        ((candidate("a", 0.5), candidate("b", None)), "unscored"),
    ],
)
def test_an_utterance_without_a_pair_says_why(candidates: tuple[dict[str, Any], ...], slug: str) -> None:
    pair = select(row(*candidates), **SETTINGS)
    assert pair["status"] == "skipped"
    assert pair["reason"].split(":")[0] == slug
    assert pair["utt_id"] == "u1"


def test_delta_is_exclusive_and_rows_that_failed_before_travel_on() -> None:
    assert select(row(candidate("a", 0.25), candidate("b", 0.5)), **SETTINGS | {"delta": 0.25})["reason"].startswith(
        "below_delta"
    )
    failed = select(row(status="failed", reason="not_audio: noise"), **SETTINGS)
    assert (failed["status"], failed["reason"]) == ("failed", "not_audio: noise")


def test_the_policy_names_the_two_and_its_reason_is_kept() -> None:
    rows = row(
        *(candidate(str(score), score, wer=wer) for score, wer in ((0.9, 0.6), (0.7, 0.1), (0.5, 0.5), (0.1, 0.4)))
    )
    told = {"metrics": ("bleu", "wer")}
    assert select(rows, **SETTINGS, rule="quantile")["chosen_text"] == "0.7"
    assert select(rows, **SETTINGS | told, rule="pareto")["chosen_text"] == "0.7"
    assert select(rows, **SETTINGS | told, rule="all_agree")["reason"].startswith("disagreement: wer")


def test_a_single_candidate_is_no_pair() -> None:
    assert select(row(candidate("a", 0.5)), **SETTINGS)["reason"].startswith("one_candidate:")


def test_a_policy_without_text_makes_pairs_of_speech_alone() -> None:
    mute = [candidate("", score, units=units) | {"text": None} for score, units in ((0.2, (1, 2, 3)), (0.9, (9, 8, 7)))]
    pair = select(row(*mute, text=None), **SETTINGS | {"variant": Variant.VANILLA})
    assert (pair["status"], pair["chosen_text"]) == ("ok", None)
    assert parse(Variant.VANILLA, pair["chosen"]).units == [9, 8, 7]


def test_each_side_of_a_pair_has_its_own_text_units_and_scores() -> None:
    worse = candidate("it snows", 0.2, units=(3, 2, 1), wer=0.75)
    better = candidate("it rains", 0.9, units=(9, 8, 7), wer=0.25)
    pair = select(row(worse, better), **SETTINGS)
    for side, one in (("chosen", better), ("rejected", worse)):
        assert (pair[f"{side}_text"], pair[f"{side}_scores"]) == (one["text"], one["scores"])
        assert parse(Variant.COM, pair[side])[:2] == (one["text"], one["units"])
