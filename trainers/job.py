"""What a training reads, writes and depends on, as its workers receive it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

Location = Path | str
"""A path on this disk, or a URI in an object store."""
C = TypeVar("C")


@dataclass(frozen=True)
class Job(Generic[C]):
    """One training. Inputs and output may be anywhere."""

    config: C
    seed: int
    inputs: dict[str, Location]
    """Data and weights by name; an input that the training does without is absent."""
    out: Location
    """The folder of the policy."""

    @property
    def work(self) -> Location:
        """The folder next to `out` that keeps the state of the training until the policy is published."""
        return self.out.with_name(f"{self.out.name}.work") if isinstance(self.out, Path) else f"{self.out}.work"


@dataclass(frozen=True)
class LocalJob(Generic[C]):
    """The same training with all its files on the disk of the worker."""

    config: C
    seed: int
    inputs: dict[str, Path]
    out: Path
    work: Path


def absolute_location(location: Location) -> Location:
    """Return a URI unchanged, and anything else as an absolute path."""
    return location if "://" in str(location) else Path(location).expanduser().absolute()


def name_for_workers(location: Location) -> str:
    """Return the name by which every worker finds an input.

    A path on this disk becomes absolute. A URI and a name of weights (`owner/name`, `package:NAME`) stay as they are.
    """
    path = Path(location).expanduser()
    return str(path.absolute()) if path.exists() else str(location)
