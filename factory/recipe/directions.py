"""The directions of a recipe: which language is translated into which."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from itertools import permutations
from typing import Any


class Direction(str):
    """A direction by its name: `fr-en` translates French into English."""

    __slots__ = ()

    @classmethod
    def between(cls, source: str, target: str) -> Direction:
        """Return the direction from a language to another."""
        return cls(f"{source}-{target}")

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> Direction:
        """Return the direction of a row with `src_lang` and `tgt_lang`."""
        return cls.between(row["src_lang"], row["tgt_lang"])

    @property
    def source(self) -> str:
        """The language that is translated."""
        return self.partition("-")[0]

    @property
    def target(self) -> str:
        """The language of the translation."""
        return self.partition("-")[2]

    @property
    def reverse(self) -> Direction:
        """The direction of a back-translation."""
        return Direction.between(self.target, self.source)


class Directions(tuple[Direction, ...]):
    """The directions that a recipe uses, in the order of its languages whatever the order of `directions`."""

    @classmethod
    def choose(cls, languages: Sequence[str], names: Collection[str] | None) -> Directions:
        """Return the directions with these names between the languages; None: every language into every other one."""
        every = (Direction.between(*pair) for pair in permutations(languages, 2))
        return cls(direction for direction in every if names is None or direction in names)

    @property
    def sources(self) -> list[str]:
        """The languages that are translated, each once."""
        return list(dict.fromkeys(direction.source for direction in self))

    @property
    def targets(self) -> list[str]:
        """The languages of translations, each once."""
        return list(dict.fromkeys(direction.target for direction in self))

    @property
    def branches(self) -> bool:
        """True if a language is translated into several ones, so that an utterance can have several rows."""
        return len(self.sources) < len(self)

    @cached_property
    def _by_source(self) -> dict[str, Directions]:
        return {lang: Directions(one for one in self if one.source == lang) for lang in self.sources}

    def from_language(self, lang: str) -> Directions:
        """Return the directions from a language; none if nothing is translated from it."""
        return self._by_source.get(lang, Directions())

    def of_utterance(self, utt_id: str, lang: str) -> Directions:
        """Return the directions that an utterance is translated in: all from its language.

        An utterance with the id `NAME/fr-en` is one side of a pair (a row of PAIRED), and its reference is the other
        side. Where French is translated into several languages, it is translated into English only.
        """
        possible = self.from_language(lang)
        if len(possible) < 2:
            return possible
        return Directions(direction for direction in possible if utt_id.endswith(f"/{direction}")) or possible

    def owns_reference(self, utt_id: str, direction: Direction) -> bool:
        """Return True if the `reference` of an utterance is in the target language of a direction.

        Where its language is translated into several ones, only the id `NAME/fr-en` says that.
        """
        return len(self.from_language(direction.source)) < 2 or utt_id.endswith(f"/{direction}")
