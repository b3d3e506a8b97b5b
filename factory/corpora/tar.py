"""Reads tar shards in WebDataset's layout, and archives with tables, such as those of Common Voice and CVSS."""

from __future__ import annotations

import tarfile
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import ClassVar

from factory.corpora.audio import AUDIO_SUFFIXES
from factory.corpora.base import CorpusError, Entry, Shard, make_entry, mark_failed, split_into_batches
from factory.corpora.columns import Options, find_value, to_utterance
from factory.corpora.layouts import read_table_rows
from factory.corpora.listed import name_suffix
from factory.corpora.tables import parse_json_object
from factory.corpora.text import escape_surrogates, get_suffix, normalise_language, read_transcript
from factory.storage.files import filesystem, retry
from schemas.datasets import Row

TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
TABLES = ("validated.tsv", "train.tsv", "dev.tsv", "test.tsv", "metadata.csv", "metadata.jsonl")
"""The names of tables in public corpora: Common Voice, CVSS, FLEURS and audio folders."""
_READ_AHEAD = 4 << 20
_MAX_MEMBER_BYTES = 1 << 30
"""Largest member that is read: a small archive may unpack to more than fits in memory."""


def is_tar(path: str) -> bool:
    """Return whether a file is a tar archive by its suffix."""
    return path.lower().endswith(TAR_SUFFIXES)


def read_members(uri: str, path: str, left_out: Counter[str], with_audio: bool = True) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of the files of an archive, in their order.

    Args:
        uri: a URI of the file system.
        path: the path of the archive in it.
        left_out: counts hidden files, `__MACOSX`, links and files over 1 GiB, which are left out.
        with_audio: whether recordings are read; otherwise their content is empty.

    Raises:
        CorpusError: the archive is incomplete.
    """
    fs, _ = filesystem(uri)
    opened = retry(fs, path, "read", lambda: fs.open_input_stream(path, compression=None, buffer_size=_READ_AHEAD))
    try:
        with opened as stream, tarfile.open(fileobj=stream, mode="r|*") as archive:
            for member in archive:
                name = escape_surrogates(member.name.removeprefix("./").lstrip("/"))
                if reason := _explain_left_out(member, name):
                    left_out[reason] += not member.isdir()
                    continue
                file = archive.extractfile(member) if with_audio or get_suffix(name) not in AUDIO_SUFFIXES else None
                yield name, file.read() if file else b""
    except (tarfile.TarError, EOFError, OSError) as error:
        raise CorpusError(f"{path} is not a complete tar archive ({error}): make or download it again") from error


def _explain_left_out(member: tarfile.TarInfo, name: str) -> str | None:
    parts = PurePosixPath(name).parts
    if "__MACOSX" in parts:
        return "in __MACOSX"
    if any(part.startswith(".") and part != ".." for part in parts):
        return "hidden"
    if not member.isfile():
        return "link"
    return "larger than 1 GiB" if member.size > _MAX_MEMBER_BYTES else None


@dataclass(frozen=True)
class TarShard(Shard):
    """A tar in WebDataset's layout: consecutive files with one name up to the first dot are an utterance.

    `KEY.wav` (or another audio format) is its recording, `KEY.txt` its transcript, and `KEY.json` may hold any other
    column of UTTERANCE. Several recordings with one key (dots in their names) are several utterances, each named by its
    file without the suffix. The id is `utt_id` of the JSON, or else KEY. The language is `lang` of the JSON, or else
    `?lang=`, the first folder of KEY, or the folder of the archive, `lang`.
    """

    uri: str
    path: str
    lang: str = ""
    options: Options = field(default_factory=Options)

    reads_audio: ClassVar[bool] = True

    def list_entries(self) -> tuple[list[Entry], Counter[str]]:
        """Read through the archive without keeping audio."""
        left_out: Counter[str] = Counter()
        return [make_entry(row) for row in self._read_utterances(left_out, with_audio=False)], left_out

    def read_rows(self) -> Iterator[list[Row]]:
        """Yield the utterances in batches."""
        return split_into_batches(self._read_utterances(Counter(), with_audio=True))

    def _read_utterances(self, left_out: Counter[str], with_audio: bool) -> Iterator[Row]:
        has_sound: dict[str, bool] = {}
        for key, files in _group(read_members(self.uri, self.path, left_out, with_audio)):
            sounds = [name for name in files if get_suffix(name) in AUDIO_SUFFIXES]
            if key in has_sound and bool(sounds) != has_sound[key]:
                problem = f"in {self.path} the files of {key} are not consecutive"
                raise CorpusError(f"{problem}, so its transcript cannot be found: make it again with tar --sort=name")
            if sounds or any(get_suffix(name) in (".txt", ".json") for name in files):
                has_sound[key] = bool(sounds)
            left_out += _count_without_sound(files, sounds)
            for sound in sounds:
                name = key if len(sounds) == 1 else sound.removesuffix(PurePosixPath(sound).suffix)
                yield self._make_row(name, sound, files)

    def _make_row(self, key: str, sound: str, files: dict[str, bytes]) -> Row:
        cells, error = self._read_json(key, files)
        text = next(
            (read_transcript(files[name], f"{name} in {self.path}") for name in _find_files(key, files, ".txt")), {}
        )
        folder = key.partition("/")[0] if "/" in key else self.lang
        if find_value(cells, "text") is None:
            cells |= {"text": text.get("text")}
        row = to_utterance(cells, self.options, normalise_language(folder))
        row["utt_id"] = row["utt_id"] or key
        if reason := error or text.get("reason"):
            return mark_failed(row, reason)
        return {"audio": {"bytes": files[sound], "path": sound}} | row

    def _read_json(self, key: str, files: dict[str, bytes]) -> tuple[Row, str | None]:
        """Return the cells in the JSON of an utterance, and the reason if it cannot be read."""
        for name in _find_files(key, files, ".json"):
            cells, error = parse_json_object(files[name])
            return cells, error and f"broken_json: {name} in {self.path} is {error}"
        return {}, None


def _group(members: Iterator[tuple[str, bytes]]) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Yield consecutive files with one name up to the first dot; a repeated name begins another group."""
    key, files = "", dict[str, bytes]()
    for name, content in members:
        path = PurePosixPath(name)
        stem = str(path.with_name(path.name.partition(".")[0]))
        if files and (stem != key or name in files):
            yield key, files
            files = {}
        key = stem
        files[name] = content
    if files:
        yield key, files


def _find_files(key: str, files: dict[str, bytes], suffix: str) -> list[str]:
    """Return the file named KEY and `suffix`; otherwise all with this suffix if the group has only one recording."""
    names = [name for name in files if get_suffix(name) == suffix]
    exact = [name for name in names if name[: -len(suffix)] == key]
    return exact or (names if sum(get_suffix(name) in AUDIO_SUFFIXES for name in files) == 1 else [])


def _count_without_sound(files: dict[str, bytes], sounds: list[str]) -> Counter[str]:
    """Count the files of a group without a recording: transcripts and others."""
    if sounds:
        return Counter()
    texts = sum(get_suffix(name) in (".txt", ".json") for name in files)
    others = Counter(name_suffix(name) for name in files if get_suffix(name) not in (".txt", ".json"))
    return others + Counter({"transcript without a recording": texts})


@dataclass(frozen=True)
class TableTar(Shard):
    """An archive with tables that name its recordings. It is read twice: the tables may come last."""

    uri: str
    path: str
    options: Options = field(default_factory=Options)
    tables: tuple[str, ...] = TABLES

    reads_audio: ClassVar[bool] = True

    def list_entries(self) -> tuple[list[Entry], Counter[str]]:
        """Read the tables and the names of the recordings."""
        left_out: Counter[str] = Counter()
        names, rows = self._read_tables(left_out)
        present = [name for name in names if name in rows]
        if rows and not present:
            raise CorpusError(
                f"no recording that the tables of {self.path} name is in it; the first is {next(iter(rows))}"
            )
        unnamed = sum(get_suffix(name) in AUDIO_SUFFIXES for name in names) - len(present)
        left_out += Counter({"recording that no table names": unnamed})
        found = [row for name in present for row in rows[name]]
        return [make_entry(row) for row in (*found, *_fail_missing(rows, present))], left_out

    def read_lines(self) -> list[Row]:
        """Return the rows of the tables without their audio; there are none if the archive has none of the tables."""
        _, rows = self._read_tables(Counter())
        return [row for lines in rows.values() for row in lines]

    def read_rows(self) -> Iterator[list[Row]]:
        """Yield the rows in the order of the recordings; lines without a recording come last, as failed rows."""
        _, rows = self._read_tables(Counter())
        return split_into_batches(self._read_utterances(rows))

    def _read_utterances(self, rows: dict[str, list[Row]]) -> Iterator[Row]:
        present = set()
        for name, content in read_members(self.uri, self.path, Counter()):
            present.add(name)
            for row in rows.get(name, []):
                yield row | {"audio": None if row.get("status") else {"bytes": content, "path": name}}
        yield from _fail_missing(rows, present)

    def _read_tables(self, left_out: Counter[str]) -> tuple[list[str], dict[str, list[Row]]]:
        """Return the names of all members, and the rows of the tables by member; rows without a path are under ""."""
        tables, names = dict[str, bytes](), []
        for name, content in read_members(self.uri, self.path, left_out, with_audio=False):
            names.append(name)
            if PurePosixPath(name).name in self.tables:
                tables[name] = content
        present, rows = set(names), dict[str, list[Row]]()
        for name in choose_tables(list(tables)):
            for table_row in read_table_rows(name, tables[name], self.options):
                members = [path for path in table_row.paths if path in present] or [*table_row.paths, ""]
                rows.setdefault(members[0], []).append(table_row.row)
        return names, rows


def _fail_missing(rows: dict[str, list[Row]], present: Collection[str]) -> list[Row]:
    """Return the rows whose recording is not in the archive, as failed rows."""
    members = set(present)
    missing = [(name, row) for name, lines in rows.items() if name not in members for row in lines]
    return [row | {"audio": None} if row.get("status") else mark_failed(row, _explain(name)) for name, row in missing]


def _explain(name: str) -> str:
    return f"missing_file: the archive has no {name}" if name else "missing_file: the line names no recording"


def choose_tables(paths: list[str]) -> list[str]:
    """Return the tables to read: `validated.tsv` includes the other tables of its folder (Common Voice)."""
    validated = {str(PurePosixPath(path).parent) for path in paths if PurePosixPath(path).name == "validated.tsv"}
    return [
        path
        for path in sorted(paths)
        if PurePosixPath(path).name == "validated.tsv" or str(PurePosixPath(path).parent) not in validated
    ]


def has_table(uri: str, path: str) -> bool:
    """Return whether an archive has tables that name its recordings.

    The first recording is enough to see it: it is in a folder that only such archives have.
    """
    for name, _ in read_members(uri, path, Counter(), with_audio=False):
        member = PurePosixPath(name)
        if member.name in TABLES:
            return True
        if get_suffix(name) in AUDIO_SUFFIXES:
            is_cvss = member.parent.name in ("train", "dev", "test") and name.endswith(".mp3.wav")
            return member.parent.name == "clips" or is_cvss or member.parent.parent.name == "audio"
    return False
