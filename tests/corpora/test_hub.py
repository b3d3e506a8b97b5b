"""Hugging Face datasets in a folder of this disk, and streamed from a Hub: a real server on loopback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from factory.corpora.base import CorpusError
from factory.corpora.opening import open_corpus
from tests.corpora.speech import put, rows, shard, tone
from tests.export.hub import Repository, serving
from tests.limits import HANG_S

pytestmark = pytest.mark.usefixtures("local_ray")


AUDIO = {"audio": datasets.Audio(decode=False)}


def save(tmp_path: Path, columns: dict[str, list[Any]], casts: dict[str, Any] | None = None) -> str:
    """Write a dataset with `save_to_disk`; return its URI."""
    dataset = datasets.Dataset.from_dict(columns)
    for name, feature in (casts or {}).items():
        dataset = dataset.cast_column(name, feature)
    dataset.save_to_disk(tmp_path / "set")
    return f"hf://{tmp_path}/set"


@pytest.mark.parametrize("is_saved", [True, False], ids=["save_to_disk", "a folder of Parquet"])
def test_rows_have_ids_by_position_and_the_language_of_the_option(tmp_path: Path, is_saved: bool) -> None:
    sound = tone()
    sentences = [{"audio": {"bytes": sound, "path": None}, "sentence": f"s{number}"} for number in range(3)]
    dataset = datasets.Dataset.from_list(sentences).cast_column("audio", datasets.Audio(decode=False))
    if is_saved:
        dataset.save_to_disk(tmp_path / "set")
    else:
        for number in range(3):
            dataset.select([number]).to_parquet(tmp_path / f"set/train-{number:05d}-of-00003.parquet")
    corpus = open_corpus(f"hf://{tmp_path}/set?lang=fr")
    found = rows(corpus)
    assert len(found) == 3 and all(name.startswith("set/") for name in found)
    assert sorted((row["lang"], row["text"], row["audio"]["bytes"]) for row in found.values()) == [
        ("fr", f"s{n}", sound) for n in range(3)
    ]
    assert set(corpus.load_recordings(list(found)[:1])) == {next(iter(found))}


def test_class_labels_and_numbers_become_text(tmp_path: Path) -> None:
    columns = {"audio": [{"bytes": tone(), "path": None}], "lang": [1], "speaker": [7], "utt_id": [3]}
    uri = save(tmp_path, columns, AUDIO | {"lang": datasets.ClassLabel(names=["en", "fr"])})
    assert [(name, row["lang"], row["speaker"]) for name, row in rows(open_corpus(uri)).items()] == [("3", "fr", "7")]


def test_columns_of_fleurs_are_found(tmp_path: Path) -> None:
    columns = {
        "audio": [{"bytes": tone(), "path": None}],
        "transcription": ["oui"],
        "raw_transcription": ["Oui."],
        "id": [4],
    }
    uri = save(tmp_path, columns, AUDIO)
    assert [row["text"] for row in rows(open_corpus(f"{uri}?lang=fr")).values()] == ["oui"]
    assert [row["text"] for row in rows(open_corpus(f"{uri}?lang=fr&text=raw_transcription")).values()] == ["Oui."]


def test_a_path_is_relative_to_the_data_and_does_not_lead_out_of_the_dataset(tmp_path: Path) -> None:
    put(tmp_path / "set/data/a.wav", tone())
    put(tmp_path / "b.wav", tone())
    audio = pa.array(
        [{"bytes": None, "path": name} for name in ("a.wav", "../b.wav")],
        pa.struct([("bytes", pa.binary()), ("path", pa.string())]),
    )
    pq.write_table(pa.table({"audio": audio, "text": ["a", "b"]}), tmp_path / "set/data/train-00000-of-00001.parquet")
    corpus = open_corpus(f"hf://{tmp_path}/set?lang=fr")
    first, second = rows(corpus).values()
    assert first["audio"]["path"].endswith("set/data/a.wav") and first["status"] == "ok"
    assert second["status"] == "failed" and second["reason"].startswith("outside: ")


@pytest.mark.parametrize(
    ("columns", "casts", "options", "message"),
    [
        ({"audio": [[0.1, 0.2]], "text": ["x"]}, {}, "", "has audio as list<.*double>, without a column sampling_rate"),
        ({"audio": [], "text": []}, {}, "", r"the dataset .*/set .*(holds no rows|has audio as)"),
        ({"sound": ["x"]}, {}, "", "has no column audio; it has sound"),
        (
            {"audio": [{"bytes": b"x", "path": None}]},
            AUDIO,
            "?text=words",
            r"has no column words \(option text=words\); it has audio",
        ),
        ({"audio": [{"bytes": b"x", "path": None}]}, AUDIO, "?language=fr", "unknown option language=fr"),
        ({"audio": [{"bytes": b"x", "path": None}]}, AUDIO, "?x", "unknown option x="),
    ],
)
def test_a_dataset_that_cannot_be_read_gives_one_sentence(
    tmp_path: Path, columns: dict[str, list[Any]], casts: dict[str, Any], options: str, message: str
) -> None:
    uri = save(tmp_path, columns, casts)
    with pytest.raises(CorpusError, match=message):
        open_corpus(f"{uri}{options}").load_speech()


def test_an_unknown_split_is_refused(tmp_path: Path) -> None:
    dataset = datasets.DatasetDict(train=datasets.Dataset.from_dict({"audio": [b"x"]}))
    dataset.save_to_disk(tmp_path / "set")
    with pytest.raises(CorpusError, match=r"set \(split test\) could not be opened"):
        rows(open_corpus(f"hf://{tmp_path}/set?split=test"))


def test_a_dataset_may_have_only_audio(tmp_path: Path) -> None:
    dataset = datasets.Dataset.from_dict({"audio": [{"bytes": tone(), "path": None}]})
    dataset.cast_column("audio", datasets.Audio()).to_parquet(tmp_path / "set/train.parquet")
    assert [row["status"] for row in rows(open_corpus(f"hf://{tmp_path}/set?lang=fr")).values()] == ["ok"]


def test_links_out_of_the_folder_are_read_as_in_the_cache_of_the_hub(tmp_path: Path) -> None:
    put(tmp_path / "blobs/1", tone())
    put(tmp_path / "snapshot/data.txt", "x")
    (tmp_path / "snapshot/a.wav").symlink_to("../blobs/1")
    pq.write_table(pa.table({"audio": ["a.wav"]}), tmp_path / "snapshot/train.parquet")
    corpus = open_corpus(f"hf://{tmp_path}/snapshot?lang=fr")
    assert len(corpus.load_recordings(list(rows(corpus)))) == 1


def test_paths_of_a_saved_dataset_do_not_lead_out_of_it(tmp_path: Path) -> None:
    put(tmp_path / "secret.wav", tone())
    uri = save(tmp_path, {"audio": [f"{tmp_path}/secret.wav", "../secret.wav"]})
    assert [row["audio"] for row in rows(open_corpus(f"{uri}?lang=fr")).values()] == [None, None]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"set.py": "import datasets"}, r"set \(split train\) could not be opened: Dataset scripts are no longer"),
        ({"train.jsonl": '{"audio": "a.wav"}\n{"audio": \n'}, r"set \(split train\) could not be .*JSON"),
    ],
)
def test_an_error_of_datasets_becomes_one_sentence(tmp_path: Path, files: dict[str, str], message: str) -> None:
    for name, content in files.items():
        put(tmp_path / "set" / name, content)
    with pytest.raises(CorpusError, match=message):
        rows(open_corpus(f"hf://{tmp_path}/set?lang=fr"))


def test_a_split_must_be_chosen_if_there_is_no_train(tmp_path: Path) -> None:
    dataset = datasets.DatasetDict(validation=datasets.Dataset.from_dict({"audio": [tone()]}))
    dataset.save_to_disk(tmp_path / "set")
    with pytest.raises(CorpusError, match=r"it holds the splits validation; choose one with \?split="):
        rows(open_corpus(f"hf://{tmp_path}/set?lang=fr"))
    assert len(rows(open_corpus(f"hf://{tmp_path}/set?lang=fr&split=validation"))) == 1


def test_tars_in_a_folder_are_read_as_tar_shards(tmp_path: Path) -> None:
    shard(tmp_path / "set/a.tar", {"a.wav": tone(), "a.txt": "oui"})
    assert [row["text"] for row in rows(open_corpus(f"hf://{tmp_path}/set?lang=fr")).values()] == ["oui"]


READ_HUB = """
import json, sys
from factory.corpora.opening import open_corpus
from factory.runtime.local_ray import start_ray
start_ray()
for line in sys.stdin:
    corpus = open_corpus(line.strip())
    speech = corpus.load_speech()
    lengths = sorted(len(wave) for wave in corpus.load_recordings(speech.ids).values())
    print(json.dumps([speech.ids, speech.digest, lengths]), flush=True)
"""


def test_a_dataset_of_the_hub_is_streamed_and_its_digest_is_that_of_its_commit(tmp_path: Path) -> None:
    sentences = [{"audio": {"bytes": tone(seconds), "path": None}, "text": "oui"} for seconds in (1, 2)]
    dataset = datasets.Dataset.from_list(sentences).cast_column("audio", datasets.Audio(decode=False))
    dataset.to_parquet(tmp_path / "train.parquet")
    with serving() as hub:
        files = {"data/train-00000-of-00001.parquet": (tmp_path / "train.parquet").read_bytes()}
        hub.repositories["dataset", "me/speech"] = Repository(private=False, files=files, commits=1)
        environment = {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path / "home")}
        environment |= {"HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1"}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        with subprocess.Popen([sys.executable, "-c", READ_HUB], env=os.environ | environment, **pipes) as reader:

            def read_hub() -> list[Any]:
                print("hf://datasets/me/speech?lang=fr", file=reader.stdin, flush=True)
                lines = iter(reader.stdout.readline, "")
                return json.loads(next(line for line in lines if line.startswith("[[")))

            ids, digest, lengths = read_hub()
            assert ids == ["me/speech/00000-00000000", "me/speech/00000-00000001"] and lengths == [16_000, 32_000]
            hub.repositories["dataset", "me/speech"].commits = 2
            assert read_hub()[1] != digest
            assert reader.communicate(timeout=HANG_S) and reader.returncode == 0
