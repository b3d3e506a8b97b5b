"""Tars: which files are one utterance, which are left out, and the errors of broken archives."""

from __future__ import annotations

import gzip
import json
import tarfile
from collections import Counter
from pathlib import Path

import pytest

from factory.corpora.base import CorpusError
from factory.corpora.opening import open_corpus
from factory.corpora.tar import choose_tables, has_table, is_tar, read_members
from tests.corpora.speech import rows, shard, tone

pytestmark = pytest.mark.usefixtures("local_ray")


def test_webdatasets_layout(tmp_path: Path) -> None:
    columns = json.dumps({"utt_id": 7, "lang": "en", "text": "hello", "reference": "bonjour", "extra": 1})
    shard(
        tmp_path / "all/fr/000.tar",
        {"a.wav": tone(), "a.txt": "il pleut\n", "./b.wav": tone(), "._b.wav": "mac", "c.txt": "seul"},
    )
    shard(
        tmp_path / "all/001.tar.gz",
        {"b.json": columns, "b.flac": tone(format="FLAC"), "en/a.mp3": tone(), "a.seg1.wav": tone()},
    )
    corpus = open_corpus(str(tmp_path / "all"))
    found = rows(corpus)
    assert sorted(found) == ["7", "a", "a#2", "b", "en/a"]
    assert (found["7"]["lang"], found["7"]["text"], found["7"]["reference"]) == ("en", "hello", "bonjour")
    assert (found["en/a"]["lang"], found["b"]["lang"], found["a#2"]["status"]) == ("en", "fr", "failed")
    left_out = sum((shard.list_entries()[1] for shard in corpus.shards), Counter())
    assert left_out == {"hidden": 1, "transcript without a recording": 1}


def test_several_recordings_under_one_key_are_several_utterances(tmp_path: Path) -> None:
    names = ("fr/rec_0.00-2.50", "fr/rec_0.00-5.10")
    files = {
        f"{name}{suffix}": tone() if suffix == ".wav" else f"text of {name}"
        for name in names
        for suffix in (".wav", ".txt")
    }
    found = rows(open_corpus(str(shard(tmp_path / "dots.tar", files))))
    assert {name: row["text"] for name, row in found.items()} == {name: f"text of {name}" for name in names}


def test_other_files_are_left_out_and_counted(tmp_path: Path) -> None:
    files = {
        "README.md": "x",
        "LICENSE": "x",
        "fr/a.wav": tone(),
        "fr/metadata.json": "{}",
        "fr/x.xyz": "x",
        "fr/b.wav@": "a.wav",
    }
    corpus = open_corpus(str(shard(tmp_path / "a.tar", files)))
    assert list(rows(corpus)) == ["fr/a"]
    assert dict(corpus.shards[0].list_entries()[1]) == {
        ".md files": 1,
        "files without a suffix": 1,
        "transcript without a recording": 1,
        ".xyz files": 1,
        "link": 1,
    }


@pytest.mark.parametrize(
    "files",
    [
        {"fr/a.wav": tone(), "fr/b.wav": tone(), "fr/a.txt": "x"},
        {"fr/a.txt": "x", "fr/b.wav": tone(), "fr/a.wav": tone()},
    ],
)
def test_an_unsorted_shard_is_refused_so_that_no_text_is_lost(tmp_path: Path, files: dict[str, bytes | str]) -> None:
    with pytest.raises(CorpusError, match="the files of fr/a are not consecutive.* tar --sort=name"):
        rows(open_corpus(str(shard(tmp_path / "a.tar", files))))


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ("[1]", "a JSON list;"),
        ("{", "invalid JSON ("),
        ("null", "a JSON NoneType;"),
        ("[" * 100_000, "invalid JSON (maximum"),
    ],
)
def test_broken_json_fails_only_its_row(tmp_path: Path, content: str, error: str) -> None:
    path = shard(tmp_path / "a.tar", {"fr/a.json": content, "fr/a.wav": tone(), "fr/b.wav": tone()})
    found = rows(open_corpus(str(path)))
    assert found["fr/b"]["status"] == "ok" and found["fr/a"]["status"] == "failed"
    assert found["fr/a"]["reason"].startswith(f"broken_json: fr/a.json in {path} is {error}")


def test_a_broken_archive_is_named(tmp_path: Path) -> None:
    whole = shard(tmp_path / "0.tar", {"a.wav": b"x" * 5_000, "b.wav": b"x" * 5_000}).read_bytes()
    (tmp_path / "0.tar").write_bytes(whole[:7_000])
    with pytest.raises(CorpusError, match=r"0.tar is not a complete tar archive \(.*\): make or download it again"):
        rows(open_corpus(str(tmp_path)))


def test_a_member_with_dots_in_its_path_is_only_a_name_and_nothing_is_written(tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    path = shard(tmp_path / "in/a.tar", {"../../fr/x.wav": tone()})
    [row] = rows(open_corpus(f"{path}?lang=fr")).values()
    assert row["utt_id"] == "../../fr/x" and row["audio"]["bytes"]
    assert sorted(tmp_path.rglob("*")) == [*before, tmp_path / "in", path]


def test_a_leading_slash_is_removed_as_tar_does(tmp_path: Path) -> None:
    path = shard(tmp_path / "a.tar", {"/fr/a.wav": tone(), "/fr/a.txt": "oui"})
    assert [(name, row["lang"]) for name, row in rows(open_corpus(str(path))).items()] == [("fr/a", "fr")]


def test_json_without_a_text_leaves_the_transcript_and_unknown_keys_are_ignored(tmp_path: Path) -> None:
    columns = json.dumps({"text": None, "error": "wind"})
    path = shard(tmp_path / "a.tar", {"fr/a.json": columns, "fr/a.txt": "oui", "fr/a.wav": tone()})
    [row] = rows(open_corpus(str(path))).values()
    assert (row["text"], row["status"]) == ("oui", "ok")


def test_every_line_of_a_table_in_an_archive_is_a_row(tmp_path: Path) -> None:
    lines = ["client_id\tpath\tsentence\tlocale", "s\ta.wav\toui\tfr", "s\ta.wav\tnon\tfr", "s\t\tvide\tfr"]
    path = shard(tmp_path / "a.tar", {"fr/clips/a.wav": tone(), "fr/validated.tsv": "\n".join(lines)})
    found = rows(open_corpus(str(path)))
    assert {name: (row["text"], row["status"]) for name, row in found.items()} == {
        "a": ("oui", "ok"),
        "a#2": ("non", "failed"),
        "validated.tsv:4": ("vide", "failed"),
    }


def test_a_member_over_1_gib_is_left_out(tmp_path: Path) -> None:
    header = tarfile.TarInfo("fr/a.wav")
    header.size = 2 << 30
    with gzip.open(tmp_path / "a.tgz", "wb", compresslevel=1) as file:
        file.write(header.tobuf() + b"\0" * 512)
    left_out: Counter[str] = Counter()
    with pytest.raises(CorpusError, match="not a complete tar"):  # its content is missing, and was not read
        list(read_members(str(tmp_path), f"{tmp_path}/a.tgz", left_out))
    assert left_out == {"larger than 1 GiB": 1}


def test_archives_are_known_by_their_suffix() -> None:
    assert [is_tar(name) for name in ("a.tar", "A.TAR.GZ", "a.txz", "a.gz", "tar")] == [True, True, True, False, False]


def test_validated_replaces_the_other_tables_of_its_folder() -> None:
    paths = ["fr/train.tsv", "fr/validated.tsv", "en/train.tsv", "en/dev.tsv"]
    assert choose_tables(paths) == ["en/dev.tsv", "en/train.tsv", "fr/validated.tsv"]


@pytest.mark.parametrize(
    ("first", "expected"),
    [
        ("fr/clips/a.mp3", True),
        ("train/a.mp3.wav", True),
        ("fr_fr/audio/dev/1.wav", True),
        ("metadata.csv", True),
        ("fr/a.wav", False),
        ("train/a.wav", False),
    ],
)
def test_an_archive_with_tables_is_recognised_by_its_first_recording(
    tmp_path: Path, first: str, expected: bool
) -> None:
    path = shard(tmp_path / "a.tar", {"README.md": "x", first: b"x", "fr/b.wav": b"x", "validated.tsv": "x"})
    assert has_table(str(path), str(path)) is expected
