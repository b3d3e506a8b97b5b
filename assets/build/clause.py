"""A clause: two aligned templates, and the words that fill their slots."""

import math
import random
from typing import NamedTuple

from .words import Pair, english, french

PER_CLAUSE = 300  # most sentences of one clause, so that a clause with many slots does not dominate
WORDS = range(4, 13)  # the length of a sentence, in either language


class Sentence(NamedTuple):
    """A sentence and its translation, in lower case and without punctuation."""

    fr: str
    en: str
    mark: str  # the end mark "." or "?", for the speech synthesiser's intonation


class Clause(NamedTuple):
    """Two templates with the same slots and the same end mark."""

    fr: str
    en: str
    mark: str
    slots: dict[str, list[Pair]]

    def sentences(self) -> list[Sentence]:
        """Return up to PER_CLAUSE distinct sentences, sampled from all fillings, the same on every machine."""
        total = math.prod(len(words) for words in self.slots.values())
        chosen = random.Random(self.en).sample(range(total), min(total, 2 * PER_CLAUSE))
        fitting = dict.fromkeys(sentence for number in chosen if (sentence := self._fill(number)))
        return list(fitting)[:PER_CLAUSE]

    def _fill(self, number: int) -> Sentence | None:
        """Return the sentence of a filling's number; None if it uses a word twice or has the wrong length."""
        filling = {}
        for slot, words in self.slots.items():
            number, index = divmod(number, len(words))
            filling[slot] = words[index]
        fr = french(self.fr.format(**{slot: pair.fr for slot, pair in filling.items()}))
        en = english(self.en.format(**{slot: pair.en for slot, pair in filling.items()}))
        repeats = len({str(pair.en) for pair in filling.values()}) < len(filling)
        fits = len(fr.split()) in WORDS and len(en.split()) in WORDS
        return Sentence(fr, en, self.mark) if fits and not repeats else None


def clause(fr: str, en: str, **slots: list[Pair]) -> Clause:
    """Return a clause from two templates, which end in the same mark, "." or "?"."""
    if fr[-1] != en[-1] or fr[-1] not in ".?":
        raise ValueError(f"the templates must end in the same mark, . or ?: {fr!r} and {en!r}")
    return Clause(fr[:-1], en[:-1], fr[-1], slots)
