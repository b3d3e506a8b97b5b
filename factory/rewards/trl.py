"""The round trip as a reward function of TRL's GRPOTrainer.

    trainer = GRPOTrainer(model, RoundTripReward(rewards, tokenizer, "chrfpp"), ...)

The training set has the columns `prompt` (`schemas.sequences.prompt`), `source_text`, `src_lang` and `tgt_lang`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from factory.metrics import METRICS
from factory.rewards.round_trip import Question, RoundTripRewards
from schemas.datasets import OK
from schemas.sequences import EOS, parse, task

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class RoundTripReward:
    """How well the back-translation of a completion matches its source; higher is better.

    A completion that is no translation has the metric's worst score. A metric whose lower values are better (WER) is
    negated.
    """

    __name__ = "round_trip"
    """The name of the reward in TRL's logs."""

    def __init__(self, rewards: RoundTripRewards, tokenizer: PreTrainedTokenizerBase, metric: str) -> None:
        """Choose a metric of `rewards`; the tokenizer is that of the policy that is trained."""
        self.rewards, self.tokenizer, self.metric = rewards, tokenizer, METRICS[metric]

    def __call__(
        self,
        prompts: Sequence[str],
        completion_ids: Sequence[Sequence[int]],
        source_text: Sequence[str],
        src_lang: Sequence[str],
        tgt_lang: Sequence[str],
        **_: object,
    ) -> list[float]:
        """Return the reward of each completion.

        Args:
            prompts: texts of prompts, one per completion.
            completion_ids: the token ids of the completions. TRL's decoded texts lack the units.
            source_text: transcripts of the sources.
            src_lang: their languages.
            tgt_lang: the languages of the completions.

        Raises:
            RewardError: a completion could not be scored.
        """
        texts = self.tokenizer.batch_decode([list(ids) for ids in completion_ids], skip_special_tokens=False)
        sides = zip(prompts, texts, source_text, src_lang, tgt_lang, strict=True)
        questions = [self._ask(*side) for side in sides]
        scores = [answer["scores"][self.metric.name] for answer in self.rewards.score(questions)]
        sign = 1.0 if self.metric.direction == "up" else -1.0
        return [sign * cast(float, score) for score in scores]

    def _ask(self, question: str, completion: str, source: str, src_lang: str, tgt_lang: str) -> Question:
        """Return a completion as a candidate; a malformed one, or one without an end, has neither text nor units."""
        output, end, _ = completion.partition(EOS)
        parsed = parse(task(question), output)
        if not end or parsed.reason != OK:
            return Question(src_lang, tgt_lang, source)
        return Question(src_lang, tgt_lang, source, parsed.text, parsed.units)
