"""Every shape of speech in an object store, and a dataset on a Hub: real servers on loopback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import datasets
import pytest

from benchmarks.shapes import Cell, utterances, write_corpus
from factory.corpora.corpus import Corpus
from factory.corpora.opening import open_corpus
from factory.storage.files import filesystem, put
from tests.corpora.speech import tone
from tests.export.hub import Repository, serving
from tests.limits import HANG_S
from tests.s3 import s3_server


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    with s3_server() as place:
        yield place


def read(corpus: Corpus) -> list[dict]:
    """Read a corpus in this process: the workers of a Ray that began before the server do not know it."""
    return [row for shard in corpus.shards for some in shard.rows() for row in some]


@pytest.mark.parametrize("shape", ["folder", "table", "tar", "tars", "parquet"])
def test_a_corpus_in_an_object_store_is_read_as_on_a_disk(shape: str, bucket: str, tmp_path: Path) -> None:
    cell = Cell(shape, True, True)
    here = write_corpus(cell, tmp_path)
    for file in (path for path in tmp_path.rglob("*") if path.is_file()):
        fs, path = filesystem(f"{bucket}/{shape}/{file.relative_to(tmp_path)}")
        put(fs, path, file.read_bytes())
    corpus = open_corpus(here.replace(str(tmp_path), f"{bucket}/{shape}"))
    found, expected = read(corpus), read(open_corpus(here))
    assert corpus.size == open_corpus(here).size
    for name in ("utt_id", "lang", "text", "reference"):
        assert [row[name] for row in found] == [row[name] for row in expected]
    assert len(corpus.recordings([row["utt_id"] for row in found])) == len(utterances(cell))


HEARD = """
import json, sys
from factory.corpora.corpus import Corpus
from factory.corpora.opening import open_corpus
from factory.runtime.local_ray import start_ray
start_ray()
corpus = open_corpus(sys.argv[1])
speech = corpus.speech()
print(json.dumps([speech.ids, speech.digest, sorted(len(wave) for wave in corpus.recordings(speech.ids).values())]))
"""


def test_a_dataset_on_the_hub_is_streamed_and_another_commit_is_another_corpus(tmp_path: Path) -> None:
    def told() -> list:
        away = {
            "HF_ENDPOINT": hub.endpoint,
            "HF_HOME": str(tmp_path / "home"),
            "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_XET": "1",
        }
        asked = [sys.executable, "-c", HEARD, "hf://datasets/me/speech?lang=fr"]
        done = subprocess.run(asked, env=os.environ | away, capture_output=True, text=True, timeout=HANG_S)
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(done.stdout.splitlines()[-1])

    made = datasets.Dataset.from_list([{"audio": {"bytes": tone(n), "path": None}, "text": "oui"} for n in (1, 2)])
    made.cast_column("audio", datasets.Audio(decode=False)).to_parquet(tmp_path / "train.parquet")
    with serving() as hub:
        files = {"data/train-00000-of-00001.parquet": (tmp_path / "train.parquet").read_bytes()}
        hub.repositories["dataset", "me/speech"] = Repository(private=False, files=files, commits=1)
        ids, digest, lengths = told()
        assert ids == ["me/speech/00000-00000000", "me/speech/00000-00000001"] and lengths == [16_000, 32_000]
        hub.repositories["dataset", "me/speech"].commits = 2
        assert told()[1] != digest
