"""Reads what `--to` names, and which export is there already."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal, cast

from factory.export.base import MARK, ExportError, Mark, Target
from factory.export.folder import FolderTarget, StoreTarget
from factory.export.hub import HubTarget

RepoType = Literal["dataset", "model"]


def parse_target(to: str, repo_type: RepoType) -> Target:
    """Return the target that `--to` names.

    Args:
        to: a folder, a URI of an object store, `hf://datasets/OWNER/NAME` or `hf://OWNER/NAME`.
        repo_type: what is exported.

    Raises:
        ExportError: the repository has another type, or no name.
        StoreError: the scheme of the URI is unknown.
    """
    if not to.startswith("hf://"):
        return StoreTarget(to) if "://" in to else FolderTarget(Path(to).absolute())
    path = to.removeprefix("hf://")
    named_type = "dataset" if path.startswith("datasets/") else "model"
    name = path.removeprefix("datasets/").removeprefix("models/").strip("/")
    if named_type != repo_type:
        expected = "hf://datasets/OWNER/NAME" if repo_type == "dataset" else "hf://OWNER/NAME"
        raise ExportError(f"--to {to} is the address of a {named_type}, but a {repo_type} is exported: give {expected}")
    if name.count("/") > 1 or not all(name.split("/")):
        raise ExportError(f"--to {to} is not a repository: expected OWNER/NAME after hf://")
    return HubTarget(name, repo_type)


def parse_base(base: str) -> str:
    """Return the name of a base model as peft reads it: `OWNER/NAME` of `hf://OWNER/NAME`, or the folder as it is.

    Raises ExportError if it is no model on the Hub, and no folder of one.
    """
    if not base.startswith("hf://"):
        if not Path(base, "config.json").is_file():
            raise ExportError(f"--base {base} has no config.json: expected hf://OWNER/NAME, or a folder with a model")
        return base
    name = base.removeprefix("hf://").removeprefix("models/").strip("/")
    if name.startswith("datasets/") or name.count("/") != 1:
        raise ExportError(f"--base {base} is not a model: expected hf://OWNER/NAME, or a folder")
    return name


def read_mark(target: Target) -> Mark | None:
    """Return the mark of the export that is at the target; None if nothing is there.

    Raises ExportError if there is other content, if there is no token, and if the server refuses.
    """
    files = target.list_files()
    if not files:
        return None
    if MARK not in files:
        examples = ", ".join(sorted(files)[:3]) + (", …" if len(files) > 3 else "")
        raise ExportError(f"{target} holds other content ({examples}): choose another name; nothing was changed")
    try:
        return cast(Mark, json.loads(target.read(MARK)))
    except ValueError as error:
        raise ExportError(f"{MARK} at {target} is not valid JSON ({error}): choose another name") from error
