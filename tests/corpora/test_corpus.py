"""A corpus gives the same rows from a disk and an object store, and a digest that changes with its content."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.shapes_corpora import Cell, read_utterances, write_corpus
from factory.corpora.base import Kind
from factory.corpora.corpus import Corpus, ParquetCorpus, TarCorpus
from factory.corpora.opening import open_corpus
from factory.storage.dataset import DatasetDir
from factory.storage.files import filesystem
from factory.storage.files import put as put_file
from factory.storage.manifest import FingerprintMismatch
from schemas.datasets import PAIRED, UNITS, UTTERANCE, Row
from tests.corpora.speech import left_out, put, rows, shard, tone
from tests.s3 import s3_server

pytestmark = pytest.mark.usefixtures("local_ray")

HEADER = "utt_id\tlang\tpath\ttext\n"


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    with s3_server() as uri:
        yield uri


def read_shards(corpus: Corpus) -> list[Row]:
    """Read a corpus in this process: the workers of a Ray that is older than the S3 server do not know it."""
    return [row for shard in corpus.shards for batch in shard.read_rows() for row in batch]


@pytest.mark.parametrize("shape", ["folder", "table", "tar", "tars", "parquet"])
def test_a_corpus_in_an_object_store_is_read_as_on_a_disk(shape: str, bucket: str, tmp_path: Path) -> None:
    cell = Cell(shape, True, True)
    uri = write_corpus(cell, tmp_path)
    for file in (path for path in tmp_path.rglob("*") if path.is_file()):
        put_file(*filesystem(f"{bucket}/{shape}/{file.relative_to(tmp_path)}"), file.read_bytes())
    local, remote = open_corpus(uri), open_corpus(uri.replace(str(tmp_path), f"{bucket}/{shape}"))
    expected, found = read_shards(local), read_shards(remote)
    assert remote.size == local.size
    for name in ("utt_id", "lang", "text", "reference"):
        assert [row[name] for row in found] == [row[name] for row in expected]
    assert len(remote.load_recordings([row["utt_id"] for row in found])) == len(read_utterances(cell))


def test_parquet_counts_its_rows_in_its_footer_and_may_hold_units(tmp_path: Path) -> None:
    utterance_rows = [{"utt_id": name, "lang": "fr", "audio": {"bytes": tone()}} for name in "ab"]
    pq.write_table(pa.Table.from_pylist(utterance_rows, schema=UTTERANCE), tmp_path / "1.parquet")
    pq.write_table(pa.Table.from_pylist(utterance_rows[:1], schema=UTTERANCE), tmp_path / "2.parquet")
    corpus = open_corpus(str(tmp_path))
    assert isinstance(corpus, ParquetCorpus) and corpus.size == 3 and not corpus.holds_units
    assert {name: row["status"] for name, row in rows(corpus).items()} == {"a": "ok", "b": "ok", "a#2": "failed"}
    assert list(corpus.load_recordings(["b", "none"])) == ["b"]
    pair = {"pair_id": "p", "src_lang": "fr", "tgt_lang": "en", "src_units": [1]}
    pq.write_table(pa.Table.from_pylist([pair], schema=PAIRED), tmp_path / "units.parquet")
    units = open_corpus(str(tmp_path / "units.parquet"))
    assert units.holds_units and units.load_recordings(["p"]) == {}


def test_recordings_that_no_row_of_parquet_names_are_counted(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        put(tmp_path / f"fr/{name}.wav", tone())
    columns = {"utt_id": ["a", "b"], "lang": ["fr", "fr"], "audio": ["fr/a.wav", "fr/b.wav"]}
    pq.write_table(pa.table(columns), tmp_path / "all.parquet")
    assert left_out(str(tmp_path)) == "recording that no row names 1"


def test_the_language_of_a_tar_is_that_of_its_folder_or_the_option(tmp_path: Path) -> None:
    shard(tmp_path / "all/fr/0.tar", {"a.wav": tone(), "a.txt": "oui"})
    shard(tmp_path / "all/en/0.tgz", {"b.flac": tone(format="FLAC")})
    corpus = open_corpus(str(tmp_path / "all"))
    assert isinstance(corpus, TarCorpus) and corpus.size is None
    assert {name: row["lang"] for name, row in rows(corpus).items()} == {"a": "fr", "b": "en"}
    assert len(corpus.load_recordings(["b"])["b"]) == 16_000
    assert rows(open_corpus(f"{tmp_path}/all/fr/0.tar?lang=de"))["a"]["lang"] == "de"


def test_the_digest_changes_with_the_content_and_with_nothing_else(tmp_path: Path) -> None:
    put(tmp_path / "folder/fr/a.wav", tone())
    put(tmp_path / "folder/fr/a.txt", "texte un")
    put(tmp_path / "table/all.tsv", f"{HEADER}a\tfr\ta.wav\toui\n")
    put(tmp_path / "table/a.wav", tone())
    shard(tmp_path / "tars/0.tar", {"fr/a.wav": tone()})

    def digests() -> list[str]:
        return [open_corpus(str(tmp_path / name)).load_speech().digest for name in ("folder", "table/all.tsv", "tars")]

    first = digests()
    for sound in (tmp_path / "folder/fr/a.wav", tmp_path / "table/a.wav"):
        os.utime(sound, (1, 1))  # a copy of the same corpus has the same digest
    assert digests() == first
    assert open_corpus(f"{tmp_path}/folder?lang=en").load_speech().digest != first[0]
    moved = (tmp_path / "table").rename(tmp_path / "moved")
    assert open_corpus(str(moved / "all.tsv")).load_speech().digest == first[1]
    moved.rename(tmp_path / "table")
    put(tmp_path / "folder/fr/a.txt", "texte deux")
    second = digests()
    assert [one == two for one, two in zip(first, second, strict=True)] == [False, True, True]
    other = bytes(byte ^ 1 if index > 100 else byte for index, byte in enumerate(tone()))  # of the same size
    put(tmp_path / "folder/fr/a.wav", other)
    put(tmp_path / "table/a.wav", other)
    shard(tmp_path / "tars/0.tar", {"fr/a.wav": other})
    assert not set(second) & set(digests())


def test_workers_read_the_rows_that_were_listed(tmp_path: Path) -> None:
    shard(tmp_path / "fr/0.tar", {f"{name}.wav": tone(0.2) for name in "abc"})
    shard(tmp_path / "fr/1.tar", {"a.wav": tone(0.3)})
    put(tmp_path / "fr/more.md", "x")
    speech = open_corpus(str(tmp_path)).load_speech()
    assert speech.ids == ["a", "b", "c", "a#2"] and speech.kinds == [Kind("fr", False, False)] * 4
    assert dict(speech.left_out) == {".md files": 1}
    read = {row["utt_id"]: row["status"] for row in speech.rows.take_all()}
    assert read == {"a": "ok", "b": "ok", "c": "ok", "a#2": "failed"}


def test_units_of_a_changed_corpus_are_refused(tmp_path: Path) -> None:
    units = DatasetDir(str(tmp_path / "units"), UNITS)
    units.start({"stage": "tokenize", "inputs": {"corpus": "old"}})
    with pytest.raises(FingerprintMismatch, match=r"inputs.corpus: 'old' .*'new' .*\(the corpus changed: its files"):
        units.start({"stage": "tokenize", "inputs": {"corpus": "new"}})
