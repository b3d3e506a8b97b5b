"""Tar shards in WebDataset's layout, and archives with a table, as Common Voice and CVSS come."""

from __future__ import annotations

import tarfile
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import ClassVar

from factory.corpora.audio import AUDIO_SUFFIXES
from factory.corpora.base import CorpusError, Entry, entry, failed_row, in_batches
from factory.corpora.columns import Options, find, utterance
from factory.corpora.layouts import named_rows
from factory.corpora.listed import suffix_reason
from factory.corpora.tables import json_object
from factory.corpora.text import language, storable, suffix_of, transcript
from factory.storage.files import filesystem, retry
from schemas.datasets import Row

TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
TABLES = ("validated.tsv", "train.tsv", "dev.tsv", "test.tsv", "metadata.csv", "metadata.jsonl")
"""The tables of public corpora: Common Voice's, those of CVSS and FLEURS, and those of audio folders."""
_READ_AHEAD = 4 << 20
_LARGEST = 1 << 30
"""Bytes of a member that is read: a small archive may unpack to more than any memory holds."""


def is_tar(path: str) -> bool:
    """Whether a file is a tar archive by its suffix."""
    return path.lower().endswith(TAR_SUFFIXES)


def members(uri: str, path: str, left_out: Counter[str], heard: bool = True) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of the files of an archive, as they come; recordings are empty unless they are `heard`.

    Hidden files, `__MACOSX`, links and files of more than a GiB are counted in `left_out`. Raises CorpusError where the
    archive is broken.
    """
    fs, _ = filesystem(uri)
    opened = retry(fs, path, "read", lambda: fs.open_input_stream(path, compression=None, buffer_size=_READ_AHEAD))
    try:
        with opened as stream, tarfile.open(fileobj=stream, mode="r|*") as archive:
            for member in archive:
                name = storable(member.name.removeprefix("./").lstrip("/"))
                if reason := _passed_over(member, name):
                    left_out[reason] += not member.isdir()
                    continue
                wanted = heard or suffix_of(name) not in AUDIO_SUFFIXES
                yield name, archive.extractfile(member).read() if wanted else b""  # type: ignore[union-attr]  # it is a file
    except (tarfile.TarError, EOFError, OSError) as error:
        raise CorpusError(f"{path} is no complete tar archive ({error}): make or fetch it again") from error


def _passed_over(member: tarfile.TarInfo, name: str) -> str | None:
    parts = PurePosixPath(name).parts
    if "__MACOSX" in parts:
        return "in __MACOSX"
    if any(part.startswith(".") and part != ".." for part in parts):
        return "hidden"
    if not member.isfile():
        return "link"
    return "larger than 1 GiB" if member.size > _LARGEST else None


@dataclass(frozen=True)
class TarShard:
    """A tar in WebDataset's layout: files that follow each other with one name up to the first dot are an utterance.

    `KEY.wav` (or another audio format) is its recording, `KEY.txt` its transcript, `KEY.json` may hold any other column
    of UTTERANCE. Where several recordings share a key (dots in their names), each is an utterance that is called by its
    name without the suffix. Its id is `utt_id` of the JSON, else KEY; its language `lang` of the JSON, else `?lang=`,
    else KEY's first folder, else `lang` (the shard's own folder).
    """

    uri: str
    path: str
    lang: str = ""
    options: Options = field(default_factory=Options)

    reads_audio: ClassVar[bool] = True

    def entries(self) -> tuple[list[Entry], Counter[str]]:
        """Read through the archive without keeping what is heard."""
        left_out: Counter[str] = Counter()
        return [entry(row) for row in self._utterances(left_out, heard=False)], left_out

    def rows(self) -> Iterator[list[Row]]:
        """Read through the archive."""
        return in_batches(self._utterances(Counter(), heard=True))

    def _utterances(self, left_out: Counter[str], heard: bool) -> Iterator[Row]:
        seen: dict[str, bool] = {}
        for key, parts in _groups(members(self.uri, self.path, left_out, heard)):
            sounds = [name for name in parts if suffix_of(name) in AUDIO_SUFFIXES]
            if key in seen and bool(sounds) != seen[key]:
                told = f"in {self.path} the files of {key} do not follow each other"
                raise CorpusError(f"{told}, so that its transcript is not found: make it again with tar --sort=name")
            if sounds or any(suffix_of(name) in (".txt", ".json") for name in parts):
                seen[key] = bool(sounds)
            left_out += _alone(parts, sounds)
            for sound in sounds:
                yield self._row(
                    key if len(sounds) == 1 else sound.removesuffix(PurePosixPath(sound).suffix), sound, parts
                )

    def _row(self, key: str, sound: str, parts: dict[str, bytes]) -> Row:
        told, fault = self._json(key, parts)
        text = next((transcript(parts[name], f"{name} in {self.path}") for name in _beside(key, parts, ".txt")), {})
        folder = key.partition("/")[0] if "/" in key else self.lang
        if find(told, "text") is None:
            told |= {"text": text.get("text")}
        row = utterance(told, self.options, language(folder))
        row["utt_id"] = row["utt_id"] or key
        if fault := fault or text.get("reason"):
            return failed_row(row, fault)
        return {"audio": {"bytes": parts[sound], "path": sound}} | row

    def _json(self, key: str, parts: dict[str, bytes]) -> tuple[Row, str | None]:
        """Return what the JSON of an utterance holds, and what is wrong with it."""
        for name in _beside(key, parts, ".json"):
            told, fault = json_object(parts[name])
            return told, fault and f"broken_json: {name} in {self.path} is {fault}"
        return {}, None


def _groups(files: Iterator[tuple[str, bytes]]) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Yield the files that follow each other with one name up to the first dot.

    A name that comes again begins another group.
    """
    key, parts = "", dict[str, bytes]()
    for name, content in files:
        place = PurePosixPath(name)
        stem = str(place.with_name(place.name.partition(".")[0]))
        if parts and (stem != key or name in parts):
            yield key, parts
            parts = {}
        key = stem
        parts[name] = content
    if parts:
        yield key, parts


def _beside(key: str, parts: dict[str, bytes], suffix: str) -> list[str]:
    """Return the files of an utterance with a suffix, the one that is called exactly after it first."""
    named = [name for name in parts if suffix_of(name) == suffix]
    exact = [name for name in named if name[: -len(suffix)] == key]
    return exact or (named if sum(suffix_of(name) in AUDIO_SUFFIXES for name in parts) == 1 else [])


def _alone(parts: dict[str, bytes], sounds: list[str]) -> Counter[str]:
    """Count what stands without a recording: transcripts, and files that are neither."""
    if sounds:
        return Counter()
    texts = sum(suffix_of(name) in (".txt", ".json") for name in parts)
    others = Counter(suffix_reason(name) for name in parts if suffix_of(name) not in (".txt", ".json"))
    return others + Counter({"transcript without a recording": texts})


@dataclass(frozen=True)
class TableTar:
    """An archive whose recordings are named by tables inside it, which may stand behind them; it is read twice."""

    uri: str
    path: str
    options: Options = field(default_factory=Options)
    tables: tuple[str, ...] = TABLES

    reads_audio: ClassVar[bool] = True

    def entries(self) -> tuple[list[Entry], Counter[str]]:
        """Read the tables, and which recordings there are."""
        left_out: Counter[str] = Counter()
        names, listed = self._listed(left_out)
        here = [name for name in names if name in listed]
        if listed and not here:
            raise CorpusError(
                f"no recording that the tables of {self.path} name is in it; they name {next(iter(listed))}"
            )
        unnamed = sum(suffix_of(name) in AUDIO_SUFFIXES for name in names) - len(here)
        left_out += Counter({"recording that no table names": unnamed})
        found = [row for name in here for row in listed[name]]
        return [entry(row) for row in (*found, *_lost(listed, here))], left_out

    def lines(self) -> list[Row]:
        """Return the rows of the tables, without their audio.

        Raises CorpusError where the archive has none of the tables.
        """
        _, listed = self._listed(Counter())
        return [row for rows in listed.values() for row in rows]

    def rows(self) -> Iterator[list[Row]]:
        """Read the tables, then the recordings in their order; lines without a recording come last, as failed rows."""
        _, listed = self._listed(Counter())
        return in_batches(self._utterances(listed))

    def _utterances(self, listed: dict[str, list[Row]]) -> Iterator[Row]:
        here = set()
        for name, content in members(self.uri, self.path, Counter()):
            here.add(name)
            for row in listed.get(name, []):
                yield row | {"audio": None if row.get("status") else {"bytes": content, "path": name}}
        yield from _lost(listed, here)

    def _listed(self, left_out: Counter[str]) -> tuple[list[str], dict[str, list[Row]]]:
        """Return the members, and the rows of the tables by the member that each may be (none: an empty name)."""
        tables, names = dict[str, bytes](), []
        for name, content in members(self.uri, self.path, left_out, heard=False):
            names.append(name)
            if PurePosixPath(name).name in self.tables:
                tables[name] = content
        there, listed = set(names), dict[str, list[Row]]()
        for name in chosen_tables(list(tables)):
            for named in named_rows(name, tables[name], self.options):
                here = [path for path in named.paths if path in there] or [*named.paths, ""]
                listed.setdefault(here[0], []).append(named.row)
        return names, listed


def _lost(listed: dict[str, list[Row]], here: Collection[str]) -> list[Row]:
    """Return the lines whose recording is not among the members `here`, as failed rows."""
    there = set(here)
    lost = [(name, row) for name, rows in listed.items() if name not in there for row in rows]
    return [row | {"audio": None} if row.get("status") else failed_row(row, _missing(name)) for name, row in lost]


def _missing(name: str) -> str:
    return f"missing_file: the archive has no {name}" if name else "missing_file: the line names no recording"


def chosen_tables(paths: list[str]) -> list[str]:
    """Return the tables that name the recordings of their folder.

    Common Voice's `validated.tsv` stands for all of its others.
    """
    whole = {str(PurePosixPath(path).parent) for path in paths if PurePosixPath(path).name == "validated.tsv"}
    return [
        path
        for path in sorted(paths)
        if PurePosixPath(path).name == "validated.tsv" or str(PurePosixPath(path).parent) not in whole
    ]


def has_table(uri: str, path: str) -> bool:
    """Whether an archive's recordings are named by tables.

    Its first recording lies in a folder that only such layouts have.
    """
    for name, _ in members(uri, path, Counter(), heard=False):
        place = PurePosixPath(name)
        if place.name in TABLES:
            return True
        if suffix_of(name) in AUDIO_SUFFIXES:
            cvss = place.parent.name in ("train", "dev", "test") and name.endswith(".mp3.wav")
            return place.parent.name == "clips" or cvss or place.parent.parent.name == "audio"
    return False
