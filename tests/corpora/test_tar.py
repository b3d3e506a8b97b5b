"""Tar shards of other people: what is one utterance, what is passed over, and what is said of a broken one."""

from __future__ import annotations

import gzip
import json
import tarfile
from collections import Counter
from pathlib import Path

import pytest

from factory.corpora.base import CorpusError
from factory.corpora.opening import open_corpus
from factory.corpora.tar import members
from tests.corpora.speech import rows, shard, tone

pytestmark = pytest.mark.usefixtures("local_ray")


def test_webdatasets_layout(tmp_path: Path) -> None:
    told = json.dumps({"utt_id": 7, "lang": "en", "text": "hello", "reference": "bonjour", "extra": 1})
    shard(
        tmp_path / "all/fr/000.tar",
        {"a.wav": tone(), "a.txt": "il pleut\n", "./b.wav": tone(), "._b.wav": "mac", "c.txt": "seul"},
    )
    shard(
        tmp_path / "all/001.tar.gz",
        {"b.json": told, "b.flac": tone(format="FLAC"), "en/a.mp3": tone(), "a.seg1.wav": tone()},
    )
    corpus = open_corpus(str(tmp_path / "all"))
    found = rows(corpus)
    assert sorted(found) == ["7", "a", "a#2", "b", "en/a"]
    assert (found["7"]["lang"], found["7"]["text"], found["7"]["reference"]) == ("en", "hello", "bonjour")
    assert (found["en/a"]["lang"], found["b"]["lang"], found["a#2"]["status"]) == ("en", "fr", "failed")
    assert sum((left for shard in corpus.shards for left in [shard.entries()[1]]), start=type(corpus.left_out)()) == {
        "hidden": 1,
        "transcript without a recording": 1,
    }


def test_several_recordings_under_one_key_are_several_utterances(tmp_path: Path) -> None:
    names = ("fr/rec_0.00-2.50", "fr/rec_0.00-5.10")
    files = {
        f"{name}{suffix}": tone() if suffix == ".wav" else f"text of {name}"
        for name in names
        for suffix in (".wav", ".txt")
    }
    found = rows(open_corpus(str(shard(tmp_path / "dots.tar", files))))
    assert {name: row["text"] for name, row in found.items()} == {name: f"text of {name}" for name in names}


def test_what_stands_beside_recordings_is_passed_over(tmp_path: Path) -> None:
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
    assert dict(corpus.shards[0].entries()[1]) == {
        ".md files": 1,
        "files without a suffix": 1,
        "transcript without a recording": 1,
        ".xyz files": 1,
        "link": 1,
    }


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        (
            {"fr/a.wav": tone(), "fr/b.wav": tone(), "fr/a.txt": "x"},
            "the files of fr/a do not follow each other.* tar --sort=name",
        ),
        ({"fr/a.txt": "x", "fr/b.wav": tone(), "fr/a.wav": tone()}, "the files of fr/a do not follow each other"),
    ],
)
def test_an_unsorted_shard_is_said_and_no_text_is_lost(
    tmp_path: Path, files: dict[str, bytes | str], sentence: str
) -> None:
    with pytest.raises(CorpusError, match=sentence):
        rows(open_corpus(str(shard(tmp_path / "a.tar", files))))


@pytest.mark.parametrize(
    ("content", "found"),
    [("[1]", "a JSON list,"), ("{", "no JSON ("), ("null", "a JSON NoneType,"), ("[" * 100_000, "no JSON (maximum")],
)
def test_odd_json_fails_its_row_alone(tmp_path: Path, content: str, found: str) -> None:
    place = shard(tmp_path / "a.tar", {"fr/a.json": content, "fr/a.wav": tone(), "fr/b.wav": tone()})
    made = rows(open_corpus(str(place)))
    assert made["fr/b"]["status"] == "ok" and made["fr/a"]["status"] == "failed"
    assert made["fr/a"]["reason"].startswith("broken_json: fr/a.json in ") and found in made["fr/a"]["reason"]


def test_a_broken_archive_is_named(tmp_path: Path) -> None:
    whole = shard(tmp_path / "0.tar", {"a.wav": b"x" * 5_000, "b.wav": b"x" * 5_000}).read_bytes()
    (tmp_path / "0.tar").write_bytes(whole[:7_000])
    with pytest.raises(CorpusError, match=r"0.tar is no complete tar archive \(.*\): make or fetch it again"):
        rows(open_corpus(str(tmp_path)))


def test_a_member_that_climbs_out_is_a_name_and_nothing_is_written(tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    place = shard(tmp_path / "in/a.tar", {"../../fr/x.wav": tone()})
    [row] = rows(open_corpus(f"{place}?lang=fr")).values()
    assert row["utt_id"] == "../../fr/x" and row["audio"]["bytes"]
    assert sorted(tmp_path.rglob("*")) == [*before, tmp_path / "in", place]


def test_a_name_is_read_as_tar_unpacks_it(tmp_path: Path) -> None:
    place = shard(tmp_path / "a.tar", {"/fr/a.wav": tone(), "/fr/a.txt": "oui"})
    assert [(name, row["lang"]) for name, row in rows(open_corpus(str(place))).items()] == [("fr/a", "fr")]


def test_json_adds_to_the_transcript_and_its_own_columns_are_not_ours(tmp_path: Path) -> None:
    told = json.dumps({"text": None, "fault": "wind"})
    place = shard(tmp_path / "a.tar", {"fr/a.json": told, "fr/a.txt": "oui", "fr/a.wav": tone()})
    [row] = rows(open_corpus(str(place))).values()
    assert (row["text"], row["status"]) == ("oui", "ok")


def test_every_line_of_a_table_in_an_archive_is_a_row(tmp_path: Path) -> None:
    lines = ["client_id\tpath\tsentence\tlocale", "s\ta.wav\toui\tfr", "s\ta.wav\tnon\tfr", "s\t\tvide\tfr"]
    place = shard(tmp_path / "a.tar", {"fr/clips/a.wav": tone(), "fr/validated.tsv": "\n".join(lines)})
    found = rows(open_corpus(str(place)))
    assert {name: (row["text"], row["status"]) for name, row in found.items()} == {
        "a": ("oui", "ok"),
        "a#2": ("non", "failed"),
        "validated.tsv:4": ("vide", "failed"),
    }


def test_a_member_that_no_memory_holds_is_left_out(tmp_path: Path) -> None:
    header = tarfile.TarInfo("fr/a.wav")
    header.size = 2 << 30
    with gzip.open(tmp_path / "a.tgz", "wb", compresslevel=1) as file:
        file.write(header.tobuf() + b"\0" * 512)
    left_out: Counter[str] = Counter()
    with pytest.raises(CorpusError, match="no complete tar"):  # what it promises is not there, and was not read
        list(members(str(tmp_path), f"{tmp_path}/a.tgz", left_out))
    assert left_out == {"larger than 1 GiB": 1}
