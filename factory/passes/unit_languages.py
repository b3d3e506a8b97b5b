"""The language of speech by its units: what a candidate without text can be checked by."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

import pyarrow.compute as pc

from factory.passes.sampling import sample_rows
from factory.recipe.recipe import Recipe
from factory.storage.dataset import DatasetDir
from schemas.datasets import OK

MAX_UTTERANCES = 2000
"""Utterances of each language that are learned from, at most: in the embedded world a hundred are enough."""
SMOOTHING = 0.1
"""What is added to the count of every trigram (additive smoothing), so that an unseen one is rare, not impossible."""


@dataclass
class Trigrams:
    """How often a unit follows two others in one language."""

    pairs: Counter[tuple[int, int]] = field(default_factory=Counter)
    triples: Counter[tuple[int, int, int]] = field(default_factory=Counter)

    def learn(self, units: Sequence[int]) -> None:
        """Count the trigrams of an utterance."""
        triples = list(zip(units, units[1:], units[2:], strict=False))
        self.triples.update(triples)
        self.pairs.update((first, second) for first, second, _ in triples)

    def log_probability(self, units: Sequence[int], num_units: int) -> float:
        """Return log p(units | the first two), in nats; `num_units` is the size of the codebook."""
        return sum(
            math.log((self.triples[triple] + SMOOTHING) / (self.pairs[triple[:2]] + SMOOTHING * num_units))
            for triple in zip(units, units[1:], units[2:], strict=False)
        )


class UnitLanguages:
    """Identifies the language of units by trigrams of speech whose language is known: the sources of the corpus.

    Whisper could identify the language of synthesised candidates. But most rounds synthesise none, and what it hears
    follows the voice: of 32 French utterances by the vocoder of English it took 25 for English.
    """

    def __init__(self, speech: Iterable[tuple[str, Sequence[int]]]) -> None:
        """Learn from utterances: the language and the units of each."""
        self._known: dict[str, Trigrams] = {}
        for lang, units in speech:
            self._known.setdefault(lang, Trigrams()).learn(units)
        self._num_units = len({unit for known in self._known.values() for triple in known.triples for unit in triple})

    def wrong_language_probability(self, units: Sequence[int], languages: Collection[str], tgt_lang: str) -> float:
        """Return the probability (0..1) that units are in another language than the target's.

        Every language is as likely as the others before the units are seen. The probability is 0 if no speech in the
        target's language was learned, or none in another one: a direction whose target is the source of none.

        Args:
            units: the units of a candidate.
            languages: the languages that they can be in, with or without the target's.
            tgt_lang: the target's language.
        """
        if tgt_lang not in self._known:
            return 0.0
        known = {lang: self._known[lang] for lang in {*languages, tgt_lang} if lang in self._known}
        logs = {lang: one.log_probability(units, self._num_units) for lang, one in known.items()}
        return 1 - 1 / sum(math.exp(min(log - logs[tgt_lang], 700.0)) for log in logs.values())


@dataclass(frozen=True)
class Languages:
    """The languages that a candidate may be in by mistake, and what identifies them.

    Attributes:
        names: the languages of the recipe; the two of a row always count.
        speech: identifies the language of candidates without text; None: they are not checked.
    """

    names: tuple[str, ...] = ()
    speech: UnitLanguages | None = None


OF_ROW = Languages()
"""The two languages of a row alone."""


def read_languages(scored: DatasetDir, recipe: Recipe) -> Languages:
    """Return the languages of a recipe; for a policy that writes no text, learn them from the sources of `scored`.

    Args:
        scored: the dataset of SCORED, whose sources are speech in known languages.
        recipe: the experiment.
    """
    if recipe.policy.variant.has_text:
        return Languages(recipe.languages)
    table = scored.rows(["utt_id", "src_lang", "units"], status=OK)
    chosen = {lang: table.filter(pc.equal(table["src_lang"], lang)) for lang in recipe.languages}
    return Languages(
        recipe.languages,
        UnitLanguages((lang, row["units"]) for lang, own in chosen.items() for row in sample_rows(own, MAX_UTTERANCES)),
    )
