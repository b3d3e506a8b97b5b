"""Texts that are sampled before they are spoken: which candidates share one, and which of them are worth speaking."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import Generic, TypeVar

from factory.metrics import METRICS
from factory.models.engine import Output

Key = TypeVar("Key", bound=Hashable)


class Texts(Generic[Key]):
    """The sampled texts of a batch. Candidates of one utterance with the same text are spoken once: `leaders` maps each candidate to the
    first with its text, whose units, way back and scores they share.
    """

    def __init__(self) -> None:
        self.leaders: dict[Key, Key] = {}
        self.outputs: dict[Key, Output] = {}
        self._said: dict[tuple[int, str], Key] = {}

    def first(self, row: int, key: Key, output: Output) -> bool:
        """Take a candidate's text in; say whether no other candidate of its row had it before."""
        leader = self._said.setdefault((row, output.text), key)
        self.leaders[key], self.outputs[key] = leader, output
        return leader == key

    def whole(self, key: Key, units: Output) -> Output:
        """Join a text and the units that say it into one output."""
        text = self.outputs[key]
        tokens, logprob = text.num_tokens + units.num_tokens, text.logprob + units.logprob
        self.outputs[key] = Output(text.text + units.text, units.finish, logprob, tokens)
        return self.outputs[key]


def extremes(backs: Mapping[Key, str], source: str, lang: str, metrics: Iterable[str]) -> set[Key]:
    """Return which texts of an utterance can stand at an end of a ranking: by each metric the one that comes back best, and worst.

    `backs` holds the ways back, in the order of the candidates, `source` what the utterance says, in `lang`. Of equals the first is
    the best and the last the worst, as in `factory.passes.select`.
    """
    found: set[Key] = set()
    for metric in (METRICS[name] for name in metrics):
        scores = {key: metric.advantage(metric.score(back, source, lang), 0.0) for key, back in backs.items()}
        found |= (
            {max(scores, key=scores.__getitem__), min(reversed(scores), key=scores.__getitem__)} if scores else set()
        )
    return found
