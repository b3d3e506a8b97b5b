"""A clause: aligned templates, one per language, and the words that fill their slots."""

import math
import random
from typing import NamedTuple

from .spanish import spanish
from .words import Entry, english, french

PER_CLAUSE = 300  # most sentences of one clause, so that a clause with many slots does not dominate
WORDS = range(4, 13)  # the length of a sentence, in French and English


class Sentence(NamedTuple):
    """A sentence and its translations, in lower case and without punctuation."""

    fr: str
    en: str
    mark: str  # the end mark "." or "?", for the speech synthesiser's intonation
    es: str = ""  # "" in the station, which has no Spanish


class Clause(NamedTuple):
    """Templates with the same slots and the same end mark."""

    fr: str
    en: str
    mark: str
    slots: dict[str, list[Entry]]
    es: str = ""

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
        fr = french(self.fr.format(**{slot: entry.fr for slot, entry in filling.items()}))
        en = english(self.en.format(**{slot: entry.en for slot, entry in filling.items()}))
        repeats = len({str(entry.en) for entry in filling.values()}) < len(filling)
        fits = len(fr.split()) in WORDS and len(en.split()) in WORDS
        es = spanish(self.es.format(**{slot: entry.es for slot, entry in filling.items()}))
        return Sentence(fr, en, self.mark, es) if fits and not repeats else None


def clause(fr: str, en: str, es: str = "", **slots: list[Entry]) -> Clause:
    """Return a clause from its templates, which end in the same mark, "." or "?"."""
    marks = {template[-1] for template in (fr, en, es) if template}
    if len(marks) > 1 or not marks <= {".", "?"}:
        raise ValueError(f"the templates must end in the same mark, . or ?: {fr!r}, {en!r} and {es!r}")
    return Clause(fr[:-1], en[:-1], fr[-1], slots, es[:-1])
