"""Hugging Face datasets in a folder of this disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from factory.corpora.base import CorpusError
from factory.corpora.opening import open_corpus
from tests.corpora.speech import put, rows, shard, tone

pytestmark = pytest.mark.usefixtures("local_ray")


def saved(tmp_path: Path, columns: dict[str, list[Any]], casts: dict[str, Any] | None = None) -> str:
    made = datasets.Dataset.from_dict(columns)
    for name, feature in (casts or {}).items():
        made = made.cast_column(name, feature)
    made.save_to_disk(tmp_path / "set")
    return f"hf://{tmp_path}/set"


AUDIO = {"audio": datasets.Audio(decode=False)}


@pytest.mark.parametrize("kept", [True, False], ids=["save_to_disk", "a folder of Parquet"])
def test_a_dataset_has_ids_by_place_and_its_language_from_the_option(tmp_path: Path, kept: bool) -> None:
    sound = tone()
    made = datasets.Dataset.from_list(
        [{"audio": {"bytes": sound, "path": None}, "sentence": f"s{number}"} for number in range(3)]
    )
    made = made.cast_column("audio", datasets.Audio(decode=False))
    if kept:
        made.save_to_disk(tmp_path / "set")
    else:
        for number in range(3):
            made.select([number]).to_parquet(tmp_path / f"set/train-{number:05d}-of-00003.parquet")
    corpus = open_corpus(f"hf://{tmp_path}/set?lang=fr")
    found = rows(corpus)
    assert len(found) == 3 and all(name.startswith("set/") for name in found)
    assert sorted((row["lang"], row["text"], row["audio"]["bytes"]) for row in found.values()) == [
        ("fr", f"s{n}", sound) for n in range(3)
    ]
    assert set(corpus.recordings(list(found)[:1])) == {next(iter(found))}


def test_class_labels_and_numbers_are_names(tmp_path: Path) -> None:
    columns = {"audio": [{"bytes": tone(), "path": None}], "lang": [1], "speaker": [7], "utt_id": [3]}
    place = saved(tmp_path, columns, AUDIO | {"lang": datasets.ClassLabel(names=["en", "fr"])})
    assert [(name, row["lang"], row["speaker"]) for name, row in rows(open_corpus(place)).items()] == [("3", "fr", "7")]


def test_fleurs_columns_are_found(tmp_path: Path) -> None:
    columns = {
        "audio": [{"bytes": tone(), "path": None}],
        "transcription": ["oui"],
        "raw_transcription": ["Oui."],
        "id": [4],
    }
    place = saved(tmp_path, columns, AUDIO)
    assert [row["text"] for row in rows(open_corpus(f"{place}?lang=fr")).values()] == ["oui"]
    assert [row["text"] for row in rows(open_corpus(f"{place}?lang=fr&text=raw_transcription")).values()] == ["Oui."]


def test_a_path_without_bytes_is_found_beside_the_data_and_nowhere_else(tmp_path: Path) -> None:
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
    ("columns", "casts", "options", "sentence"),
    [
        ({"audio": [[0.1, 0.2]], "text": ["x"]}, {}, "", "has audio as list<.*double>, without a column sampling_rate"),
        ({"audio": [], "text": []}, {}, "", r"the dataset .*/set .*(holds no rows|has audio as)"),
        ({"sound": ["x"]}, {}, "", "has no column audio; it has sound"),
        (
            {"audio": [{"bytes": b"x", "path": None}]},
            AUDIO,
            "?text=words",
            "has no column words, which text=words names; it has audio",
        ),
        ({"audio": [{"bytes": b"x", "path": None}]}, AUDIO, "?language=fr", "unknown option language=fr"),
        ({"audio": [{"bytes": b"x", "path": None}]}, AUDIO, "?x", "unknown option x="),
    ],
)
def test_what_cannot_be_read_is_one_sentence(
    tmp_path: Path, columns: dict[str, list[Any]], casts: dict[str, Any], options: str, sentence: str
) -> None:
    place = saved(tmp_path, columns, casts)
    with pytest.raises(CorpusError, match=sentence):
        open_corpus(f"{place}{options}").speech()


def test_an_unknown_split_is_said(tmp_path: Path) -> None:
    made = datasets.DatasetDict(train=datasets.Dataset.from_dict({"audio": [b"x"]}))
    made.save_to_disk(tmp_path / "set")
    with pytest.raises(CorpusError, match=r"set \(split test\) could not be opened"):
        rows(open_corpus(f"hf://{tmp_path}/set?split=test"))


def test_a_dataset_on_the_hub_needs_its_owner_and_name() -> None:
    with pytest.raises(CorpusError, match="names no dataset; expected hf://datasets/OWNER/NAME"):
        open_corpus("hf://models/x")


def test_recordings_alone_are_a_dataset(tmp_path: Path) -> None:
    made = datasets.Dataset.from_dict({"audio": [{"bytes": tone(), "path": None}]})
    made.cast_column("audio", datasets.Audio()).to_parquet(tmp_path / "set/train.parquet")
    assert [row["status"] for row in rows(open_corpus(f"hf://{tmp_path}/set?lang=fr")).values()] == ["ok"]


def test_files_that_are_links_are_inside_as_in_the_hubs_cache(tmp_path: Path) -> None:
    put(tmp_path / "blobs/1", tone())
    put(tmp_path / "snapshot/data.txt", "x")
    (tmp_path / "snapshot/a.wav").symlink_to("../blobs/1")
    pq.write_table(pa.table({"audio": ["a.wav"]}), tmp_path / "snapshot/train.parquet")
    corpus = open_corpus(f"hf://{tmp_path}/snapshot?lang=fr")
    assert len(corpus.recordings(list(rows(corpus)))) == 1


def test_a_saved_dataset_leads_nowhere_else(tmp_path: Path) -> None:
    put(tmp_path / "secret.wav", tone())
    place = saved(tmp_path, {"audio": [f"{tmp_path}/secret.wav", "../secret.wav"]})
    assert [row["audio"] for row in rows(open_corpus(f"{place}?lang=fr")).values()] == [None, None]


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({"set.py": "import datasets"}, r"set \(split train\) could not be opened: Dataset scripts are no longer"),
        ({"train.jsonl": '{"audio": "a.wav"}\n{"audio": \n'}, r"set \(split train\) could not be .*JSON"),
    ],
)
def test_what_datasets_raises_is_one_sentence(tmp_path: Path, files: dict[str, str], sentence: str) -> None:
    for name, content in files.items():
        put(tmp_path / "set" / name, content)
    with pytest.raises(CorpusError, match=sentence):
        rows(open_corpus(f"hf://{tmp_path}/set?lang=fr"))


def test_a_split_has_to_be_said_where_there_is_no_train(tmp_path: Path) -> None:
    made = datasets.DatasetDict(validation=datasets.Dataset.from_dict({"audio": [tone()]}))
    made.save_to_disk(tmp_path / "set")
    with pytest.raises(CorpusError, match=r"it holds the splits validation; say which with \?split="):
        rows(open_corpus(f"hf://{tmp_path}/set?lang=fr"))
    assert len(rows(open_corpus(f"hf://{tmp_path}/set?lang=fr&split=validation"))) == 1


def test_tars_in_a_folder_are_read_by_our_own_reader(tmp_path: Path) -> None:
    shard(tmp_path / "set/a.tar", {"a.wav": tone(), "a.txt": "oui"})
    assert [row["text"] for row in rows(open_corpus(f"hf://{tmp_path}/set?lang=fr")).values()] == ["oui"]
