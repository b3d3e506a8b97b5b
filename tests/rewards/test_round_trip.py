"""Rewards by the round trip, with the station's policy in a real vLLM."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from factory.metrics import METRICS
from factory.recipe.loading import load
from factory.rewards.round_trip import Question, RewardError, RoundTripRewards

ROOT = Path(__file__).resolve().parent.parent.parent
POLICY = str(ROOT / "assets/station/policy")
SOURCE = "le bus de marseille arrive à quatre heures vingt-trois"
RIGHT = Question("fr", "en", SOURCE, text="the bus from marseille arrives at four twenty-three")
WRONG = Question("fr", "en", SOURCE, text="the train to geneva leaves from platform two")


@pytest.fixture(scope="module")
def rewards() -> Iterator[RoundTripRewards]:
    yield RoundTripRewards(load(ROOT / "recipes/station.yaml"), POLICY, ("chrfpp", "wer"))


@pytest.mark.service
def test_a_right_translation_has_the_better_scores(rewards: RoundTripRewards) -> None:
    right, wrong, again = rewards.score([RIGHT, WRONG, RIGHT])
    assert right == again and right["finish"] == wrong["finish"] == "ok"
    back = right["back_translation"] or ""
    assert "marseille" in back and "genève" in (wrong["back_translation"] or "")
    assert right["scores"] == {name: METRICS[name].score(back, SOURCE, "fr") for name in ("chrfpp", "wer")}
    assert (right["scores"]["chrfpp"] or 0) > 0.6 > (wrong["scores"]["chrfpp"] or 0)
    assert (right["scores"]["wer"] or 0) < (wrong["scores"]["wer"] or 0)


@pytest.mark.service
def test_a_candidate_without_text_has_the_worst_scores_and_a_reason(rewards: RoundTripRewards) -> None:
    [none, right] = rewards.score([RIGHT._replace(text=None), RIGHT])
    assert none == {"scores": {"chrfpp": 0.0, "wer": 1.0}, "back_translation": None, "finish": "no_text"}
    assert right["finish"] == "ok"


@pytest.mark.service
def test_a_back_translation_that_does_not_end_has_the_worst_scores_and_a_reason() -> None:
    recipe = load(ROOT / "recipes/station.yaml", ["translator.max_tokens=3"])
    [cut] = RoundTripRewards(recipe, POLICY, ("chrfpp", "wer")).score([RIGHT])
    assert cut["back_translation"] and SOURCE.startswith(cut["back_translation"])
    assert (cut["scores"], cut["finish"]) == ({"chrfpp": 0.0, "wer": 1.0}, "length")


@pytest.mark.service
def test_a_failed_scorer_is_an_error_and_no_score(rewards: RoundTripRewards) -> None:
    with pytest.raises(RewardError, match="candidate 1 could not be scored: error: "):
        rewards.score([RIGHT, RIGHT._replace(source=None), WRONG])  # type: ignore[arg-type]
    with pytest.raises(RewardError, match=r"de is no language of the recipe \(fr, en\)"):
        rewards.score([RIGHT._replace(tgt_lang="de")])


def test_what_cannot_be_a_reward_is_refused() -> None:
    recipe = load(ROOT / "recipes/station.yaml")
    with pytest.raises(RewardError, match=r"metrics that compare texts: bleu, .*; got mcd, reconstruction$"):
        RoundTripRewards(recipe, POLICY, ("bleu", "mcd", "reconstruction"))
    silent = load(ROOT / "recipes/phrasebook_vanilla.yaml")
    with pytest.raises(RewardError, match="need back-translations with a text; policy.variant is vanilla"):
        RoundTripRewards(silent, POLICY, ("bleu",))
