"""The first sentence of a summary, in every case that a round can end in."""

from __future__ import annotations

from typing import Any

import pytest

from factory.recipe.loading import load
from factory.report.summary_types import EvaluationScores, Score
from factory.report.verdict import state_verdict
from tests.toy_run import toy_recipe

RECIPE = toy_recipe()
GAIN, LOSS, NONE = (2.8, 0.5, 5.1), (-3.0, -6.0, -0.25), (-2.67, -6.47, 1.83)
EDGE = (1.0, 0.0, 2.0)
GENERAL = [{"rewards/margins": 0.0}, {"rewards/margins": 1.0}, {"eval_rewards/margins": 0.6}]
BY_HEART = [{"rewards/margins": 0.0}, {"rewards/margins": 2.0}, {"eval_rewards/margins": 0.01}]
FLAT = [{"rewards/margins": 0.0}, {"rewards/margins": -0.1}, {"eval_rewards/margins": 0.0}]


def score(change: tuple[float, float, float] | None) -> Score:
    first = Score(signature="s", utterances=100, before=None, after=52.5, ci=[48.0, 57.25])
    if change is None:
        return first
    difference, low, high = change
    return Score(**first | {"before": 50.0, "difference": difference, "difference_ci": [low, high]})  # type: ignore[typeddict-item]


def scores(fr_en: Score | None, en_fr: Score | None, name: str = "s2t_bleu") -> EvaluationScores:
    nothing: dict[str, Any] = {"fr-en": None, "en-fr": None}
    names = ("s2t_bleu", "s2t_chrf", "asr_bleu", "cascade_bleu", "round_trip", "mos", "well_formed")
    values: dict[str, Any] = dict.fromkeys(names, nothing) | {"tripwire": []}
    return EvaluationScores(**values | {name: {"fr-en": fr_en, "en-fr": en_fr}})


def test_a_gain_in_both_directions() -> None:
    assert state_verdict(scores(score(GAIN), score((3.9, 1.1, 6.0))), GENERAL, 361, RECIPE) == (
        "The round gained S2T BLEU +2.80 [+0.50, +5.10] in fr-en and +3.90 [+1.10, +6.00] in en-fr."
    )


def test_a_gain_and_an_unclear_direction() -> None:
    assert state_verdict(scores(score(GAIN), score(NONE)), GENERAL, 361, RECIPE) == (
        "The round gained S2T BLEU +2.80 [+0.50, +5.10] in fr-en; nothing can be told about S2T BLEU "
        "-2.67 [-6.47, +1.83] in en-fr, because the interval includes 0: give more test utterances (corpus.test and "
        "evaluate.s2t_utterances, now 100); four times as many halve an interval."
    )


def test_a_loss_names_what_to_do() -> None:
    sentence = state_verdict(scores(score(LOSS), score(GAIN)), GENERAL, 361, RECIPE)
    assert sentence.startswith(
        "The round gained S2T BLEU +2.80 [+0.50, +5.10] in en-fr; the round lost S2T BLEU -3.00 [-6.00, -0.25] in "
        "fr-en: keep the policy before it"
    )
    assert "roundtrip audit" in sentence and "nothing can be told" not in sentence


def test_pairs_that_were_learned_by_heart_are_too_few() -> None:
    assert state_verdict(scores(score(NONE), score(EDGE)), BY_HEART, 1357, RECIPE) == (
        "Nothing can be told about S2T BLEU -2.67 [-6.47, +1.83] in fr-en and +1.00 [+0.00, +2.00] in en-fr, because "
        "the intervals include 0: the margin of held-out pairs did not rise, so 1,357 pairs are too few to learn from; "
        "give more utterances (corpus.limit, now 250 per direction)."
    )


@pytest.mark.parametrize(
    ("log", "advice"),
    [
        (FLAT, "raise preference.lr (now 0.001) or preference.epochs (now 3)."),
        ([], "9 pairs are so few that none could be held out; give more utterances"),
        (GENERAL, "give more test utterances"),
    ],
)
def test_the_advice_depends_on_the_training(log: list[dict[str, float]], advice: str) -> None:
    assert advice in state_verdict(scores(score(NONE), score(NONE)), log, 9, RECIPE)


def test_round_0_has_nothing_to_compare_with() -> None:
    assert state_verdict(scores(score(None), score(None)), [], 0, RECIPE) == (
        "The policy of this round has S2T BLEU 52.50 [48.00, 57.25] in fr-en and 52.50 [48.00, 57.25] in en-fr; the "
        "next round shows what preference pairs add."
    )


def test_a_direction_without_a_score_is_left_out_and_no_score_is_said() -> None:
    assert "en-fr" not in state_verdict(scores(score(GAIN), None), GENERAL, 5, RECIPE)
    assert state_verdict(scores(None, None), GENERAL, 5, RECIPE) == (
        "Nothing can be told: no test utterance gave a score, so give corpus.test utterances with a reference in both "
        "languages."
    )


def test_a_policy_without_text_is_judged_by_its_speech() -> None:
    changes = ["policy.variant=vanilla", "policy.tasks={vanilla: 1.0}", "scorer.score_text=asr", "sft.weights={}"]
    changes += ["translator.back_translate=speech", "translator.unit_temperature=null", "preference.unit_weight=1.0"]
    recipe = load("recipes/phrasebook.yaml", [*changes, "corpus.limit=null"])
    unclear = scores(score(NONE), score(NONE), "asr_bleu")
    sentence = state_verdict(unclear, GENERAL, 5, recipe)
    assert "ASR-BLEU -2.67" in sentence and "evaluate.asr_utterances, now 50" in sentence
    assert "corpus.limit, now all per direction" in state_verdict(unclear, BY_HEART, 5, recipe)
