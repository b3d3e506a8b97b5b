"""Other formats hold the same pairs: every file parses, every id comes back, and no file is outside of its folder."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import datasets
import numpy as np
import soundfile

from factory.corpora.audio import encode
from factory.export.export import export_pairs
from factory.export.formats import write_fairseq
from factory.export.layout import SOUNDS, choose_split
from factory.planning.places import Round
from factory.storage.names import file_name
from schemas.datasets import Row
from schemas.sequences import Variant, parse
from tests.odd_ids import ODD_IDS

Pairs = dict[str, Row]


def export(round_: Round, tmp_path: Path, format: str) -> Path:
    """Export a round and return the folder of its files."""
    return Path(export_pairs(round_, str(tmp_path / "set"), format=format)) / "data/round-1"


def read_json_lines(path: Path) -> list[Row]:
    """Read JSON lines; readers that split at other characters than line feeds get the same lines."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def split(pairs: Pairs) -> dict[str, Pairs]:
    """Return the pairs of each split."""
    return {
        name: {pair_id: pair for pair_id, pair in pairs.items() if choose_split(pair["utt_id"]) == name}
        for name in ("train", "test")
    }


def check_ids(rows: list[Row], expected: Pairs) -> None:
    assert {row["pair_id"]: row["utt_id"] for row in rows} == {name: pair["utt_id"] for name, pair in expected.items()}
    assert len(rows) == len(expected)


def test_every_odd_id_has_a_pair_and_both_splits_have_some(pairs: Pairs) -> None:
    assert {pair["utt_id"] for pair in pairs.values()} > set(ODD_IDS)
    assert all(len(members) > 1 for members in split(pairs).values())


def test_trl(round_: Round, pairs: Pairs, tmp_path: Path) -> None:
    folder = export(round_, tmp_path, "trl")
    for name, expected in split(pairs).items():
        rows = read_json_lines(folder / f"{name}.jsonl")
        keys = ("prompt", "chosen", "rejected")
        assert {tuple(row.items()) for row in rows} == {
            tuple((key, pair[key]) for key in keys) for pair in expected.values()
        }
        assert len(rows) == len(expected)


def test_slamkit(round_: Round, pairs: Pairs, tmp_path: Path) -> None:
    folder = export(round_, tmp_path, "slamkit")
    for name, expected in split(pairs).items():
        rows = read_json_lines(folder / f"{name}.jsonl")
        check_ids(rows, expected)
        for row in rows:
            pair = expected[row["pair_id"]]
            for side in ("chosen", "rejected"):
                units = parse(Variant.COM, pair[side]).units
                assert row[side] == {"units": units, "duration": [1] * len(units)}
                assert row[f"{side}_text"] == pair[f"{side}_text"]
        sounds = [folder / row[f"{side}_path"] for row in rows for side in ("prompt", "chosen", "rejected")]
        assert len(set(sounds)) == 3 * len(expected)
        assert all(soundfile.info(sound).samplerate == 16_000 for sound in sounds)
    assert {path.parent for path in folder.rglob("*.flac")} == {folder / "audio"}


def test_fairseq(round_: Round, pairs: Pairs, tmp_path: Path) -> None:
    folder = export(round_, tmp_path, "fairseq")
    ids = {row["id"]: row for row in read_json_lines(folder / "ids.jsonl")}
    check_ids(list(ids.values()), pairs)
    for name, expected in split(pairs).items():
        for stem, side in ((name, "chosen"), (f"{name}_rejected", "rejected")):
            text = (folder / f"{stem}.tsv").read_text("utf-8")
            assert text.splitlines()[0] == "id\tsrc_audio\tsrc_n_frames\ttgt_audio\ttgt_n_frames"
            table = io.StringIO(text, newline="")
            rows = list(csv.DictReader(table, delimiter="\t", quoting=csv.QUOTE_NONE))  # as fairseq reads it
            assert {ids[row["id"]]["pair_id"] for row in rows} == set(expected)
            for row in rows:
                units = parse(Variant.COM, expected[ids[row["id"]]["pair_id"]][side]).units
                assert list(map(int, row["tgt_audio"].split())) == units and int(row["tgt_n_frames"]) == len(units)
                assert soundfile.info(folder / row["src_audio"]).frames == int(row["src_n_frames"])
            lines = dict(line.split("|") for line in (folder / f"{stem}.unit").read_text("utf-8").splitlines())
            assert lines == {row["id"]: row["tgt_audio"] for row in rows}


def test_audiofolder(round_: Round, pairs: Pairs, tmp_path: Path) -> None:
    folder = export(round_, tmp_path, "audiofolder")
    builder = datasets.load_dataset_builder("audiofolder", data_dir=str(folder), cache_dir=str(tmp_path / "cache"))
    read = {made.name: made.gen_kwargs for made in builder._split_generators(datasets.DownloadManager())}
    assert {name for name, kind in builder.info.features.items() if isinstance(kind, datasets.Audio)} == set(SOUNDS)
    for name, expected in split(pairs).items():  # the rows before torchcodec, which is not installed, decodes them
        rows = [row for _, row in builder._generate_examples(**read[name])]
        check_ids(rows, expected)
        for row in rows:
            stem = file_name(row["pair_id"])
            assert [Path(row[sound]) for sound in SOUNDS] == [
                folder / name / f"{stem}.{sound}.flac" for sound in SOUNDS
            ]
            assert all(soundfile.info(row[sound]).frames > 0 for sound in SOUNDS)


def test_nothing_is_written_outside_of_the_folder(round_: Round, tmp_path: Path) -> None:
    for format in ("slamkit", "fairseq", "audiofolder"):
        export(round_, tmp_path / format, format)
    assert {path.name for path in tmp_path.iterdir()} == {"slamkit", "fairseq", "audiofolder"}
    assert not list(tmp_path.parent.glob("*escaped*"))
    above = Path(round_.run.uri).parents[1]
    assert [path.name for path in above.iterdir()] == ["deep"]
    assert [path.name for path in (above / "deep").iterdir()] == ["run"]


def test_fairseq_leaves_out_pairs_without_source_audio(tmp_path: Path) -> None:
    sound = {"bytes": encode(np.zeros(1_600, np.float32), "WAV")}
    rows = [{"pair_id": name, "utt_id": name, "chosen_units": [1], "rejected_units": [2]} for name in ("a", "b")]
    counts = write_fairseq([rows[0] | {"source_audio": sound}, rows[1] | {"source_audio": None}], tmp_path)
    assert sum(counts.values()) == 1
    assert [row["utt_id"] for row in read_json_lines(tmp_path / "ids.jsonl")] == ["a"]
