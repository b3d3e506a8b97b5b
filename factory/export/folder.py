"""Targets without a Hub: a folder of this machine, and a folder of an object store.

A new folder appears in one rename. Into a store, and into a folder that holds a round already, files are copied one by
one; MARK comes last, so that an export without it is incomplete.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from factory.export.base import MARK, ExportError, Target
from factory.storage.files import delete, files_below, filesystem, get
from factory.storage.transfer import upload


class FolderTarget(Target):
    """A folder of this machine."""

    def __init__(self, path: Path) -> None:
        self.folder = path
        self.name = str(path)

    def list_files(self) -> list[str]:
        """Return the files of the folder."""
        with self._convert_errors():
            if self.folder.exists() and not self.folder.is_dir():
                raise ExportError(f"{self} is a file; --to takes a folder")
            return [str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if path.is_file()]

    def read(self, name: str) -> str:
        """Return the text of a file."""
        with self._convert_errors():
            return (self.folder / name).read_text("utf-8")

    def publish(self, stage: Path, replaces: str, private: bool, message: str) -> str:
        """Copy the files: a new folder in one rename, an old one file by file."""
        with self._convert_errors():
            if self.folder.exists() and any(self.folder.iterdir()):
                self._update(stage, replaces)
            else:
                self._create(stage)
        return self.name

    def _create(self, stage: Path) -> None:
        part = self.folder.with_name(f".{self.folder.name}.part")
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(part, ignore_errors=True)
        shutil.copytree(stage, part)
        if self.folder.exists():
            self.folder.rmdir()
        os.replace(part, self.folder)

    def _update(self, stage: Path, replaces: str) -> None:
        shutil.rmtree(self.folder / replaces, ignore_errors=True)
        for source in sorted(stage.rglob("*"), key=lambda path: path.name == MARK):
            if source.is_file():
                file = self.folder / source.relative_to(stage)
                part = file.with_name(f".{file.name}.part")
                file.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, part)
                os.replace(part, file)

    @contextmanager
    def _convert_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = error.strerror or error
            raise ExportError(f"{self} cannot be used ({reason}): choose another folder, or free space") from error


class StoreTarget(Target):
    """A folder of an object store."""

    def __init__(self, uri: str) -> None:
        """Raises StoreError if the scheme of the URI is unknown."""
        self.name = uri.rstrip("/")
        self.fs, self.path = filesystem(self.name)

    def list_files(self) -> list[str]:
        """Return the files of the folder."""
        return [file.path.removeprefix(self.path).lstrip("/") for file in files_below(self.fs, self.path)]

    def read(self, name: str) -> str:
        """Return the text of a file."""
        return get(self.fs, f"{self.path}/{name}").decode()

    def publish(self, stage: Path, replaces: str, private: bool, message: str) -> str:
        """Upload the files, MARK last; then remove the other files of `replaces`."""
        upload(stage, self.name, last=MARK)
        for name in self.list_files():
            if name.startswith(f"{replaces}/") and not (stage / name).exists():
                delete(self.fs, f"{self.path}/{name}")
        return self.name
