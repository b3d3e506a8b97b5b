"""Where an export goes: a folder, an object store or a repository of the Hub.

A new folder or a commit appears whole or not at all. In a store, and in a folder that holds a round already, files go one by one; the mark,
which names the rounds that are there, is written last.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from factory.storage.files import files_below, filesystem, get
from factory.storage.transfer import upload
from schemas.datasets import Row
from schemas.errors import RoundtripError

T = TypeVar("T")

MARK = "roundtrip.json"
"""What tells an export of ours from other content; it lists the rounds that are in it."""
STORE = "store"
TRIES, LONGEST_WAIT_S = 8, 300.0
_BUSY = (429, 503)


class ExportError(RoundtripError):
    """An export that cannot be made or published; the message says why, and what to do."""


class Target(NamedTuple):
    """A local folder (`repo_type` None), a folder of an object store (STORE) or a repository."""

    name: str
    repo_type: str | None

    def __str__(self) -> str:
        return {"dataset": "hf://datasets/", "model": "hf://"}.get(self.repo_type or "", "") + self.name


def target(to: str, repo_type: str) -> Target:
    """Read what `--to` says; `repo_type` is what is exported: a dataset or a model."""
    if not to.startswith("hf://"):
        if "://" in to:
            filesystem(to)  # raises for a scheme that nobody knows
            return Target(to.rstrip("/"), STORE)
        return Target(str(Path(to).absolute()), None)
    name = to.removeprefix("hf://")
    found = "dataset" if name.startswith("datasets/") else "model"
    name = name.removeprefix("datasets/").removeprefix("models/").strip("/")
    if found != repo_type:
        wanted = "hf://datasets/OWNER/NAME" if repo_type == "dataset" else "hf://OWNER/NAME"
        raise ExportError(f"--to {to} is the address of a {found}, and a {repo_type} is exported: give {wanted}")
    if name.count("/") > 1 or not all(name.split("/")):
        raise ExportError(f"--to {to} names no repository: expected OWNER/NAME behind hf://")
    return Target(name, found)


def earlier(to: Target) -> Row | None:
    """Return the mark of an export that is at the target already, None where nothing is.

    Raises ExportError where other content is there, where there is no token, and where the server refuses.
    """
    files = _files(to)
    if not files:
        return None
    if MARK not in files:
        some = ", ".join(sorted(files)[:3])
        raise ExportError(
            f"{to} holds other content ({some}{', …' if len(files) > 3 else ''}): choose another name; nothing was changed"
        )
    return dict(json.loads(_read(to, MARK)))


def _files(to: Target) -> list[str]:
    if to.repo_type == STORE:
        fs, path = filesystem(to.name)
        return [file.path.removeprefix(path).lstrip("/") for file in files_below(fs, path)]
    if to.repo_type is None:
        folder = Path(to.name)
        if folder.exists() and not folder.is_dir():
            raise ExportError(f"{to} is a file; --to takes a folder")
        return (
            [str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()] if folder.exists() else []
        )
    from huggingface_hub.errors import RepositoryNotFoundError

    api = _api(to)
    try:
        files = patiently(lambda: api.list_repo_files(to.name, repo_type=to.repo_type), to)
    except RepositoryNotFoundError:
        return []
    return [name for name in files if name != ".gitattributes"]


def _read(to: Target, name: str) -> str:
    if to.repo_type == STORE:
        fs, path = filesystem(to.name)
        return get(fs, f"{path}/{name}").decode()
    if to.repo_type is None:
        return Path(to.name, name).read_text("utf-8")
    api = _api(to)
    return Path(patiently(lambda: api.hf_hub_download(to.name, name, repo_type=to.repo_type), to)).read_text("utf-8")


def _api(to: Target) -> Any:
    """Return the client; the token is the environment's or the one that huggingface_hub keeps itself."""
    from huggingface_hub import HfApi, get_token

    if get_token() is None:
        raise ExportError(f"there is no token to write {to} with: set HF_TOKEN, or log in once with `hf auth login`")
    return HfApi(library_name="roundtrip")


def publish(stage: Path, to: Target, *, replaces: str, private: bool, message: str) -> str:
    """Move or push what lies in `stage` to the target and return where it is; old files below the folder `replaces` go."""
    if to.repo_type is None:
        return _to_folder(stage, Path(to.name), replaces)
    if to.repo_type == STORE:
        return _to_store(stage, to, replaces)
    return _to_hub(stage, to, replaces, private, message)


def _to_folder(stage: Path, folder: Path, replaces: str) -> str:
    """Put the staged files in place: a new folder by one rename, an old one file by file, its mark last."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    if not folder.exists() or not any(folder.iterdir()):
        near = folder.with_name(f".{folder.name}.part")
        shutil.rmtree(near, ignore_errors=True)
        shutil.copytree(stage, near)
        if folder.exists():
            folder.rmdir()
        os.replace(near, folder)
        return str(folder)
    shutil.rmtree(folder / replaces, ignore_errors=True)
    for path in sorted(stage.rglob("*"), key=lambda path: path.name == MARK):
        if path.is_file():
            place = folder / path.relative_to(stage)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place.with_name(f".{place.name}.part"))
            os.replace(place.with_name(f".{place.name}.part"), place)
    return str(folder)


def _to_store(stage: Path, to: Target, replaces: str) -> str:
    """Upload what is staged, its mark last; what an earlier export had besides goes after that."""
    upload(stage, to.name, last=MARK)
    fs, path = filesystem(to.name)
    for name in _files(to):
        if name.startswith(f"{replaces}/") and not (stage / name).exists():
            fs.delete_file(f"{path}/{name}")
    return to.name


def _to_hub(stage: Path, to: Target, replaces: str, private: bool, message: str) -> str:
    """Push in one commit. Large files go up before it and stay there: pushed again after an interruption, they are not sent again."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    api = _api(to)
    patiently(lambda: api.create_repo(to.name, repo_type=to.repo_type, private=private, exist_ok=True), to)
    staged = {str(path.relative_to(stage)): path for path in sorted(stage.rglob("*")) if path.is_file()}
    gone = [name for name in _files(to) if name.startswith(f"{replaces}/") and name not in staged]

    def commit() -> Any:
        added = [CommitOperationAdd(name, path) for name, path in staged.items()]
        operations = [*added, *(CommitOperationDelete(name) for name in gone)]
        return api.create_commit(to.name, operations, commit_message=message, repo_type=to.repo_type)

    patiently(commit, to)
    return str(to)


def patiently(call: Callable[[], T], to: Target) -> T:
    """Call the Hub; a busy server (429, 503) is asked again after the time that it names in Retry-After, or longer every time.

    Raises RepositoryNotFoundError as it comes, and every other refusal as an ExportError in a sentence.
    """
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

    for attempt in range(TRIES):
        try:
            return call()
        except RepositoryNotFoundError as error:
            if error.response.status_code == 401:
                raise ExportError(_refusal(to, 401, error)) from error
            raise
        except HfHubHTTPError as error:
            status = error.response.status_code
            if status not in _BUSY or attempt == TRIES - 1:
                raise ExportError(_refusal(to, status, error)) from error
            time.sleep(_wait(error.response.headers.get("Retry-After"), attempt))
        except httpx2.TransportError as error:
            raise ExportError(
                f"the Hub cannot be reached for {to} ({error}); nothing was published: try again later"
            ) from error
    raise AssertionError("the last attempt returns or raises")


def _wait(retry_after: str | None, attempt: int) -> float:
    """Return the seconds to wait: what the server asks for, else 1, 2, 4, ..."""
    asked = float(retry_after) if retry_after and retry_after.replace(".", "", 1).isdigit() else 2.0**attempt
    return min(asked, LONGEST_WAIT_S)


def _refusal(to: Target, status: int, error: Exception) -> str:
    told = str(error).strip().splitlines()[-1]
    if status == 401:
        return f"the Hub does not accept the token for {to}; nothing was published: check HF_TOKEN"
    if status == 403:
        return (
            f"the Hub refuses to write {to} ({status}): the token must have write access there; nothing was published"
        )
    if status in _BUSY:
        return f"the Hub stayed too busy for {to} ({status}) after {TRIES} tries; nothing was published: run the command again later"
    return f"the Hub answered {status} for {to} ({told}); nothing was published"
