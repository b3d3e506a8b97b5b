"""Texts that are sampled before their units: which candidates share a text, and which texts are worth speaking."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import Generic, TypeVar

from factory.metrics import METRICS
from factory.models.engine import Output

Key = TypeVar("Key", bound=Hashable)
"""Names a candidate of the batch."""


class SampledTexts(Generic[Key]):
    """The sampled texts of a batch.

    Candidates of one utterance with the same text share their units, back-translation and scores: `leaders` maps each
    candidate to the first candidate with its text, and `outputs` holds the output of each candidate.
    """

    def __init__(self) -> None:
        self.leaders: dict[Key, Key] = {}
        self.outputs: dict[Key, Output] = {}
        self._first_with: dict[tuple[int, str], Key] = {}

    def add(self, row: int, key: Key, output: Output) -> bool:
        """Add the text of a candidate of a row; return True if it is the first candidate of the row with this text."""
        leader = self._first_with.setdefault((row, output.text), key)
        self.leaders[key], self.outputs[key] = leader, output
        return leader == key

    def join(self, key: Key, units: Output) -> Output:
        """Join the text of a candidate and the units that were generated for it into one output."""
        text = self.outputs[key]
        tokens, logprob = text.num_tokens + units.num_tokens, text.logprob + units.logprob
        self.outputs[key] = Output(text.text + units.text, units.finish, logprob, tokens)
        return self.outputs[key]


def find_extremes(
    back_translations: Mapping[Key, str],
    source: str,
    lang: str,
    metrics: Iterable[str],
    reconstructions: Mapping[Key, float],
) -> set[Key]:
    """Return the best and the worst candidate of an utterance, by each metric.

    Of equal candidates the first is the best and the last is the worst, as in `factory.passes.select`.

    Args:
        back_translations: the text of each candidate's back-translation, in the order of the candidates.
        source: the text of the utterance.
        lang: the language of the utterance.
        metrics: names of metrics that compare texts, or by which the policy scores candidates itself.
        reconstructions: the policy's own score of the candidates that have one, in the order of the candidates.
    """
    extremes: set[Key] = set()
    for metric in (METRICS[name] for name in metrics):
        if metric.by_policy:
            values = dict(reconstructions)
        else:
            values = {key: metric.score(text, source, lang) for key, text in back_translations.items()}
        scores = {key: metric.advantage(value, 0.0) for key, value in values.items()}
        if scores:
            extremes |= {max(scores, key=scores.__getitem__), min(reversed(scores), key=scores.__getitem__)}
    return extremes
