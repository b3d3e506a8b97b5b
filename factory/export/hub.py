"""A repository of the Hugging Face Hub as the target of an export. A push is one commit: complete or absent."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from factory.export.base import ExportError, Target

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

T = TypeVar("T")

TRIES = 8
MAX_WAIT_S = 301.0
"""The window of the Hub's quotas (300 s), and the second that the server may round away."""
_BUSY = (429, 503)


class HubTarget(Target):
    """A repository of the Hub: a `dataset` or a `model`."""

    def __init__(self, name: str, repo_type: str) -> None:
        self.repository, self.repo_type = name, repo_type
        self.name = name

    def __str__(self) -> str:
        return f"hf://datasets/{self.name}" if self.repo_type == "dataset" else f"hf://{self.name}"

    def list_files(self) -> list[str]:
        """Return the files of the repository; none if it does not exist."""
        from huggingface_hub.errors import RepositoryNotFoundError

        api = self._client()
        try:
            files = call_with_retries(lambda: api.list_repo_files(self.name, repo_type=self.repo_type), str(self))
        except RepositoryNotFoundError:
            return []
        return [name for name in files if name != ".gitattributes"]

    def read(self, name: str) -> str:
        """Return the text of a file."""
        api = self._client()
        path = call_with_retries(lambda: api.hf_hub_download(self.name, name, repo_type=self.repo_type), str(self))
        return Path(path).read_text("utf-8")

    def publish(self, stage: Path, replaces: str, private: bool, message: str) -> str:
        """Push the files in one commit.

        Large files are uploaded before the commit and stay on the Hub, so that a second try does not upload them again.
        """
        api, to, kind = self._client(), str(self), self.repo_type
        call_with_retries(lambda: api.create_repo(self.name, repo_type=kind, private=private, exist_ok=True), to)
        files = {str(path.relative_to(stage)): path for path in sorted(stage.rglob("*")) if path.is_file()}
        removed = [name for name in self.list_files() if name.startswith(f"{replaces}/") and name not in files]
        call_with_retries(
            lambda: api.create_commit(self.name, _operations(files, removed), commit_message=message, repo_type=kind),
            to,
        )
        return to

    def _client(self) -> HfApi:
        """Return a client that uses HF_TOKEN, or the token that huggingface_hub has stored."""
        from huggingface_hub import HfApi, get_token

        if get_token() is None:
            raise ExportError(f"there is no token to write {self}: set HF_TOKEN, or log in once with `hf auth login`")
        return HfApi(library_name="roundtrip")


def _operations(files: Mapping[str, Path], removed: Sequence[str]) -> list[CommitOperationAdd | CommitOperationDelete]:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    added = [CommitOperationAdd(name, path) for name, path in files.items()]
    return [*added, *(CommitOperationDelete(name) for name in removed)]


def call_with_retries(call: Callable[[], T], target: str) -> T:
    """Call the Hub; if it is busy (429, 503), wait as long as it says, or longer every time, and try again.

    Raises RepositoryNotFoundError as it is, and any other error as an ExportError about `target`.
    """
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

    for attempt in range(TRIES):
        try:
            return call()
        except RepositoryNotFoundError as error:
            if error.response.status_code == 401:
                raise ExportError(_explain(target, 401, error)) from error
            raise
        except HfHubHTTPError as error:
            status = error.response.status_code
            if status not in _BUSY or attempt == TRIES - 1:
                raise ExportError(_explain(target, status, error)) from error
            time.sleep(wait_s(error.response.headers, attempt))
        except httpx2.TransportError as error:
            raise ExportError(
                f"the Hub cannot be reached for {target} ({error}); nothing was published: try again later"
            ) from error
    raise AssertionError("the last attempt returns or raises")


def wait_s(headers: Mapping[str, str], attempt: int) -> float:
    """Return the seconds to wait: what the server asks for, else 1, 2, 4, ...; at most MAX_WAIT_S.

    The server asks by `RateLimit` when a quota is used up (`"api";r=0;t=200`: 200 s), or by `Retry-After`, which holds
    seconds or a date.
    """
    from huggingface_hub.utils import parse_ratelimit_headers  # type: ignore[attr-defined]  # documented there

    quota = parse_ratelimit_headers(headers)
    if quota is not None and quota.remaining == 0:
        asked: float | None = quota.reset_in_seconds + 1.0  # the server rounds
    else:
        asked = _read_retry_after(headers.get("Retry-After") or "")
    return min(max(0.0, 2.0**attempt if asked is None else asked), MAX_WAIT_S)


def _read_retry_after(value: str) -> float | None:
    """Return the seconds that a Retry-After asks for, None if it cannot be read."""
    with suppress(ValueError):
        return float(value)
    with suppress(ValueError):
        return parsedate_to_datetime(value).timestamp() - time.time()
    return None


def _explain(target: str, status: int, error: Exception) -> str:
    message = str(error).strip().splitlines()[-1]
    if status == 401:
        return f"the Hub does not accept the token for {target}; nothing was published: check HF_TOKEN"
    if status == 403:
        return f"the Hub refuses to write {target} (403); nothing was published: use a token with write access"
    if status in _BUSY:
        return (
            f"the Hub was too busy for {target} ({status}) in {TRIES} tries; nothing was published: run the command "
            "again later"
        )
    return f"the Hub answered {status} for {target} ({message}); nothing was published"
