"""The first sentence of a summary: what the round gained, or why nothing can be told, and what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from factory.recipe.recipe import Recipe
from factory.report.summary_types import EvaluationScores, Score
from factory.report.training_log import Learning, LogLine, judge_learning


class _Change(NamedTuple):
    """The change of a score in one direction, with its 95 % interval."""

    direction: str
    score: Score

    @property
    def sign(self) -> int:
        """1 for a gain, -1 for a loss, 0 if the interval includes 0."""
        low, high = self.score["difference_ci"]
        return (low > 0) - (high < 0)

    def __str__(self) -> str:
        low, high = self.score["difference_ci"]
        return f"{self.score['difference']:+.2f} [{low:+.2f}, {high:+.2f}] in {self.direction}"


def state_verdict(scores: EvaluationScores, log: Sequence[LogLine], pairs: int, recipe: Recipe) -> str:
    """Return one sentence about a round, for readers who know no statistics.

    Args:
        scores: the scores of the round.
        log: the training log of its policy.
        pairs: the pairs that the policy learned from; 0 for round 0.
        recipe: the experiment.
    """
    name, label = ("s2t_bleu", "S2T BLEU") if recipe.writes_text else ("asr_bleu", "ASR-BLEU")
    by_direction: Mapping[str, Score | None] = scores["s2t_bleu"] if name == "s2t_bleu" else scores["asr_bleu"]
    measured = {direction: score for direction, score in by_direction.items() if score is not None}
    if not measured:
        return (
            "Nothing can be told: no test utterance gave a score, so give corpus.test utterances with a reference in "
            f"{'both languages' if len(recipe.languages) == 2 else 'every direction'}."
        )
    changes = [_Change(direction, score) for direction, score in measured.items() if "difference" in score]
    if not changes:
        levels = _join([f"{score['after']:.2f} {_interval(score)} in {name}" for name, score in measured.items()])
        return f"The policy of this round has {label} {levels}; the next round shows what preference pairs add."
    clauses = [*_certain(changes, label), *_uncertain(changes, label, judge_learning(log), pairs, recipe)]
    sentence = "; ".join(clauses)
    return f"{sentence[0].upper()}{sentence[1:]}."


def _certain(changes: Sequence[_Change], label: str) -> list[str]:
    """Return a clause for the directions that gained, and one for those that lost."""
    gained, lost = ([change for change in changes if change.sign == sign] for sign in (1, -1))
    clauses = [f"the round gained {label} {_join(gained)}"] if gained else []
    if lost:
        clauses.append(
            f"the round lost {label} {_join(lost)}: keep the policy before it, see with `roundtrip audit` whether the "
            "labels are right, and train more gently (preference.lr, preference.epochs)"
        )
    return clauses


def _uncertain(changes: Sequence[_Change], label: str, learning: Learning, pairs: int, recipe: Recipe) -> list[str]:
    """Return a clause for the directions whose interval includes 0: why, and what to do."""
    unclear = [change for change in changes if change.sign == 0]
    if not unclear:
        return []
    includes = "the interval includes 0" if len(unclear) == 1 else "the intervals include 0"
    return [
        f"nothing can be told about {label} {_join(unclear)}, because {includes}: {_advise(learning, pairs, recipe)}"
    ]


def _advise(learning: Learning, pairs: int, recipe: Recipe) -> str:
    limit = "all" if recipe.corpus.limit is None else f"{recipe.corpus.limit:,}"
    if learning is Learning.MEMORISED:
        return (
            f"the margin of held-out pairs did not rise, so {pairs:,} pairs are too few to learn from; give more "
            f"utterances (corpus.limit, now {limit} per direction)"
        )
    if learning is Learning.NOTHING:
        return (
            f"the training changed too little (its margin did not rise); raise preference.lr (now "
            f"{recipe.preference.lr:g}) or preference.epochs (now {recipe.preference.epochs:g})"
        )
    key = "s2t_utterances" if recipe.writes_text else "asr_utterances"
    tested = f"more test utterances (corpus.test and evaluate.{key}, now {getattr(recipe.evaluate, key):,})"
    if learning is Learning.UNKNOWN:
        return (
            f"{pairs:,} pairs are so few that none could be held out; give more utterances (corpus.limit, now {limit} "
            f"per direction) and {tested}"
        )
    return f"give {tested}; four times as many halve an interval"


def _interval(score: Score) -> str:
    low, high = score["ci"]
    return f"[{low:.2f}, {high:.2f}]"


def _join(parts: Sequence[object]) -> str:
    return " and ".join(map(str, parts))
