"""Rows that are finished inside batches that still run: a batch can take minutes, and no part file has its rows before.

An actor's guard writes the number of its batch to the key-value store of Ray's GCS, and the driver reads the sum. The
store needs no process of its own and is reached from every node. A batch that Ray runs again has the same key, so its
rows count once. Ray calls the store experimental; if it fails, nothing is shown, and no batch is lost.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Iterable
from types import TracebackType

log = logging.getLogger(__name__)
WRITE_EVERY_S = 1.0
"""Seconds between two writes of a batch."""
_NAMESPACE = "roundtrip"


class RunningBatch:
    """A batch whose finished rows are counted until the block ends; without Ray in this process, nowhere."""

    def __init__(self, actor: str, ids: Iterable[str]) -> None:
        """Name the batch by the actor and the ids of its rows."""
        digest = hashlib.sha256(repr((actor, list(ids))).encode()).hexdigest()[:16]
        self._name, self._wrote_at, self._before = digest, float("-inf"), 0

    def __enter__(self) -> RunningBatch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._wrote_at > float("-inf"):
            _try(self._delete)

    def begin_at(self, rows: int) -> None:
        """Note that `rows` of the batch are finished, and that `show` counts those behind them from now on."""
        self._before = rows

    def show(self, rows: int) -> None:
        """Write how many rows are finished, unless the last write was less than `WRITE_EVERY_S` ago."""
        if time.monotonic() - self._wrote_at >= WRITE_EVERY_S and _has_ray():
            self._wrote_at = time.monotonic()
            _try(lambda: self._write(self._before + rows))

    def _write(self, rows: int) -> None:
        from ray.experimental.internal_kv import _internal_kv_put

        _internal_kv_put(_prefix() + self._name, str(rows), overwrite=True, namespace=_NAMESPACE)

    def _delete(self) -> None:
        from ray.experimental.internal_kv import _internal_kv_del

        _internal_kv_del(_prefix() + self._name, namespace=_NAMESPACE)


def count_running_rows() -> int:
    """Return the rows that are finished in the batches of this driver that still run; 0 if Ray does not say."""
    counts: list[int] = []
    if _has_ray():
        _try(lambda: counts.extend(_read_counts()))
    return sum(counts)


def forget_running_rows() -> None:
    """Delete the counts of batches that ended with their process and were not run again."""
    from ray.experimental.internal_kv import _internal_kv_del

    if _has_ray():
        _try(lambda: _internal_kv_del(_prefix(), del_by_prefix=True, namespace=_NAMESPACE))


def _read_counts() -> list[int]:
    from ray.experimental.internal_kv import _internal_kv_get, _internal_kv_list

    keys = _internal_kv_list(_prefix(), namespace=_NAMESPACE)
    values = [_internal_kv_get(key, namespace=_NAMESPACE) for key in keys]
    return [int(value) for value in values if value is not None]  # None: the batch has just ended


def _prefix() -> str:
    """Return the start of the keys of this driver, which its workers know too."""
    import ray

    return f"running-rows/{ray.get_runtime_context().get_job_id()}/"


def _has_ray() -> bool:
    import ray

    return bool(ray.is_initialized())


def _try(work: Callable[[], object]) -> None:
    """Call `work`, and log its error: progress is not worth a batch."""
    try:
        work()
    except Exception as error:  # Ray documents no errors of its store
        log.warning("no progress inside batches: %s: %s", type(error).__name__, error)
