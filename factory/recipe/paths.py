"""Where the paths of a recipe lead."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


def locate(path: str) -> str:
    """Return where a path of a recipe leads: URIs and package names stay, relative paths count from here or else from the repository.

    A job on a cluster has the repository's code alone: there they count as well from the folders of `ROUNDTRIP_HOME`, a list like PATH.
    What stands behind a `#` (the sha256 of weights) or a `?` (options of a corpus) stays there.
    """
    place = _bare(path)
    if "://" in path or path.startswith("package:") or Path(path).exists() or Path(place).exists():
        return path
    homes = (ROOT, *map(Path, filter(None, os.environ.get("ROUNDTRIP_HOME", "").split(os.pathsep))))
    return next((str(home / path) for home in homes if (home / place).exists()), path)


def is_there(path: str) -> bool:
    """Whether the path of a recipe leads to something on this disk."""
    return Path(_bare(locate(path))).expanduser().exists()


def explain_missing_assets(paths: Iterable[str]) -> list[str]:
    """Return one sentence that says where the shipped assets are, if one of the paths needs them and they are not here; else nothing."""
    if (ROOT / "assets").is_dir() or not any(path.startswith("assets/") and not is_there(path) for path in paths):
        return []
    return [
        "the installed package has no assets/: a checkout of the repository has it, so set ROUNDTRIP_HOME to the folder of the checkout"
    ]


def _bare(path: str) -> str:
    """Return a path without the sha256 of weights (behind `#`) and the options of a corpus (behind `?`), unless they are in its name."""
    return path if Path(path).exists() else path.partition("#")[0].partition("?")[0]
