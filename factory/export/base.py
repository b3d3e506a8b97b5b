"""The target of an export, the mark by which an export is recognised, and the error of an export."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import NotRequired, TypedDict

from schemas.errors import RoundtripError

MARK = "roundtrip.json"
"""The file of an export that says what it holds."""


class ExportError(RoundtripError):
    """An export that cannot be made or published; the message says why and what to do."""


class SplitSize(TypedDict):
    """The size of a split, by the names of `datasets`; only Parquet has bytes."""

    num_examples: int
    num_bytes: NotRequired[int]


class ExportedRound(TypedDict):
    """What an export holds of one round."""

    splits: dict[str, SplitSize]
    bytes: int
    """Bytes of its files."""
    format: str
    judgements: int
    versa: NotRequired[list[str]]
    """The names of the scores of VERSA."""
    section: str
    """Its section of the card."""


class Mark(TypedDict):
    """The content of MARK: `rounds` of an export of pairs (by number), or `round` of an export of a policy."""

    kind: str
    recipe: str
    format: NotRequired[str]
    rounds: NotRequired[dict[str, ExportedRound]]
    round: NotRequired[int]


class Target(ABC):
    """Where an export goes."""

    name: str

    def __str__(self) -> str:
        return self.name

    @abstractmethod
    def list_files(self) -> list[str]:
        """Return the relative paths of the files that are there already."""

    @abstractmethod
    def read(self, name: str) -> str:
        """Return the text of one of these files."""

    @abstractmethod
    def publish(self, stage: Path, replaces: str, private: bool, message: str) -> str:
        """Publish the files of the folder `stage` and return where they are.

        Args:
            stage: the files of the export, with MARK among them.
            replaces: a folder of the target whose other files are removed.
            private: True to make a new repository private.
            message: the commit message of a repository.
        """
