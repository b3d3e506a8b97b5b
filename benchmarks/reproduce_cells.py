"""What the cells of a reproduction have in common: their form, and the sizes of the grid."""

from __future__ import annotations

from dataclasses import dataclass

INTERLEAVE = "interleave"
"""The variant of the cells of tables G and H: chain of thought in three languages."""
PART = "part"
"""The variant of the cells of table I: a policy that hears continuous speech."""


@dataclass(frozen=True)
class Sizes:
    """The sizes of a reproduction.

    Attributes:
        seeds: seeds of the rounds of chain of modality; all other runs have the first one.
        limit: utterances per direction and round.
        s2t: test utterances per direction whose texts are evaluated.
        asr: of these, the utterances that are synthesised and transcribed.
        base_epochs: epochs of the base of all variants, which learns to transcribe speech and to translate text.
        epochs: epochs of a variant's round 0; half of them for tri-task, whose pairs have twice as many tokens.
        text_epochs: epochs of the text, from which the cells of tables G and H start.
        interleave_epochs: epochs of these cells' round 0.
    """

    seeds: tuple[int, ...] = (1, 2, 3)
    limit: int = 900
    s2t: int = 1_000
    asr: int = 300
    base_epochs: int = 6
    epochs: int = 4
    text_epochs: int = 2
    interleave_epochs: int = 2


@dataclass(frozen=True)
class Cell:
    """One run.

    Attributes:
        name: the name of its folder and record.
        variant: the variant of its recipe, BASE, INTERLEAVE or PART.
        seed: the seed of its recipe.
        changes: changes of its recipe.
        rounds: the rounds to run.
        base: the cell with the policy of round 0 that it starts from, or that its own round 0 trains further.
        shares: the cell whose candidates it selects from.
    """

    name: str
    variant: str
    seed: int
    changes: tuple[str, ...] = ()
    rounds: str = "1"
    base: str | None = None
    shares: str | None = None

    @property
    def last_round(self) -> int:
        """The number of its last round."""
        return int(self.rounds.rpartition("-")[2])
