"""Scores candidates by their back-translation, in a process of its own.

rewards = RoundTripRewards(load("recipes/station.yaml"), "assets/station/policy")
rewards.score([Question("fr", "en", "le train part", text="the train leaves")])
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple, TypedDict

import pyarrow as pa

from factory.actors.guard import guard_actor
from factory.actors.rewards import REWARDED, RoundTripScorer
from factory.metrics import METRICS
from factory.passes.produce import build_engine_config
from factory.passes.weights import actor_weights
from factory.recipe.recipe import Recipe
from schemas.datasets import OK, Scores
from schemas.errors import RoundtripError


class RewardError(RoundtripError):
    """Candidates that cannot be scored. A failed scorer is an error and never a score of 0."""


class Question(NamedTuple):
    """A candidate to score, and its source.

    Attributes:
        src_lang: language of the source.
        tgt_lang: language of the candidate.
        source: transcript of the source.
        text: the candidate as text.
        units: the candidate as cluster ids.
    """

    src_lang: str
    tgt_lang: str
    source: str
    text: str | None = None
    units: list[int] | None = None


class Answer(TypedDict):
    """The scores of a candidate by metric, its back-translation, and `ok` or why that is missing or malformed."""

    scores: Scores
    back_translation: str | None
    finish: str


class RoundTripRewards:
    """The back-translation and the metrics of a recipe.

    The policy runs in a process of its own, so that a crash is an error here, and the random state of a training stays
    as it is.
    """

    def __init__(self, recipe: Recipe, policy: str, metrics: Sequence[str] = ()) -> None:
        """Start the process.

        Args:
            recipe: the experiment: what is translated back, how vLLM computes, and the languages.
            policy: the policy that translates back.
            metrics: metrics that compare texts; (): those of the recipe.

        Raises:
            RewardError: a metric does not compare texts, or the recipe's back-translations have no text.
            ActorError: the policy cannot be loaded.
        """
        known = [name for name in recipe.scorer.metrics if METRICS[name].compares_texts]
        self.metrics = tuple(metrics or known)
        texts = [name for name, one in METRICS.items() if one.compares_texts]
        if others := sorted(set(self.metrics) - set(texts)):
            raise RewardError(f"rewards are metrics that compare texts: {', '.join(texts)}; got {', '.join(others)}")
        if not recipe.writes_text:
            raise RewardError(f"rewards need back-translations with a text; policy.variant is {recipe.policy.variant}")
        self.languages, pool = recipe.languages, recipe.resources.translator
        trip = recipe.translator
        actor = partial(
            RoundTripScorer,
            actor_weights(policy),
            recipe.policy.variant,
            trip.back_translate,
            self.metrics,
            trip.max_tokens,
            build_engine_config(recipe),
        )
        guard, arguments = guard_actor(actor, pool.row_timeout_s, pool.threads)
        self.guard = guard(**arguments)

    def score(self, questions: Sequence[Question]) -> list[Answer]:
        """Return the scores of candidates, in their order; raise RewardError if one cannot be scored."""
        for question in questions:
            if unknown := {question.src_lang, question.tgt_lang} - set(self.languages):
                listed = ", ".join(self.languages)
                raise RewardError(f"{', '.join(sorted(unknown))} is no language of the recipe ({listed})")
        rows = [{"utt_id": str(index), **question._asdict(), "status": OK} for index, question in enumerate(questions)]
        answers = self.guard(pa.Table.from_pylist(rows, schema=REWARDED)).to_pylist()
        if failed := next((row for row in answers if row["status"] != OK), None):
            raise RewardError(f"candidate {failed['utt_id']} could not be scored: {failed['reason']}")
        return [
            {
                "scores": {name: row["scores"][name] for name in self.metrics},
                "back_translation": row["back_translation"],
                "finish": row["finish"],
            }
            for row in answers
        ]
