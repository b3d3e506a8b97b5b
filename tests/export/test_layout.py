"""The rows of an export: splits by utterance, and Parquet with the features of `datasets`."""

from __future__ import annotations

import io
import zlib
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import soundfile

from factory.export import layout
from factory.export.layout import choose_split, make_features, split_rows, write_parquet
from factory.planning.places import Round
from factory.storage.names import file_name
from schemas.datasets import Row


def test_about_5_percent_of_the_utterances_are_the_test_split() -> None:
    ids = [f"utt-{number}" for number in range(4_000)]
    share = sum(choose_split(utt_id) == "test" for utt_id in ids) / len(ids)
    assert 0.04 < share < 0.06
    for utt_id in ids[:100]:
        hashed = zlib.crc32(f"split {utt_id}".encode()) / 2**32
        assert choose_split(utt_id) == ("test" if hashed < 0.05 else "train")


def test_a_split_without_rows_is_left_out() -> None:
    test, train = (next(f"{n}" for n in range(999) if choose_split(f"{n}") == name) for name in ("test", "train"))
    rows = [{"utt_id": train}, {"utt_id": test}, {"utt_id": train}]
    assert {name: len(members) for name, members in split_rows(rows).items()} == {"train": 2, "test": 1}
    assert list(split_rows(rows[:1])) == ["train"] and split_rows([]) == {}


def test_parquet_holds_every_pair_with_its_audio(round_: Round, pairs: dict[str, Row], exported: Path) -> None:
    rows = {row["pair_id"]: row for row in pq.read_table(exported / "data/round-1").to_pylist()}
    assert {name: row["utt_id"] for name, row in rows.items()} == {name: row["utt_id"] for name, row in pairs.items()}
    for pair_id, row in rows.items():
        for sound in layout.SOUNDS:
            assert row[f"{sound}_audio"]["path"] == f"{file_name(pair_id)}.{sound}.flac"
            assert soundfile.info(io.BytesIO(row[f"{sound}_audio"]["bytes"])).frames > 0


def test_a_file_holds_a_limited_number_of_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "FILE_ROWS", 2)
    train = [f"{number}" for number in range(999) if choose_split(f"{number}") == "train"][:5]
    row = dict.fromkeys(make_features(audio=False))
    sizes = write_parquet([row | {"pair_id": name, "utt_id": name} for name in train], tmp_path / "set", audio=False)
    files = {file.name: pq.read_metadata(file).num_rows for file in (tmp_path / "set").iterdir()}
    assert files == {f"train-0000{number}-of-00003.parquet": rows for number, rows in enumerate((2, 2, 1))}
    assert sizes["train"]["num_examples"] == 5 and sizes["train"]["num_bytes"] > 0
