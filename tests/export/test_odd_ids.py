"""Odd ids through samples, report and every export format: each file parses, each id comes back, nothing leaves its folder."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile

from factory.corpora.audio import encode
from factory.export.export import export_pairs
from factory.export.formats import FORMATS
from factory.export.layout import split_of
from factory.planning.places import Round, Run
from factory.report.report import write_report
from factory.report.samples import write_samples
from factory.storage.names import file_name
from tests.toy_run import toy_recipe, toy_run

ODD = [
    "fr/clips/a",
    "../../../escaped",
    "y" * 300,
    "e\u0301te\u0301",  # NFD
    "\u00e9t\u00e9",  # the same in NFC
    "😀 smile",
    "a|b",
    "tab\there",
    "new\nline",
    "carriage\rreturn",
    "a \"quoted\" 'id'",
    "line\u2028separator",
    "A",
    "a",
    "con",
    "<!--<script>",
    "comma,semi;colon",
    " spaces ",
]


SIDES = ("source", "chosen", "rejected")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, local_ray: None) -> Run:
    return toy_run(tmp_path_factory.mktemp("above") / "deep/run", count=9, ids=ODD)


@pytest.fixture(scope="module")
def pairs(run: Run) -> dict[str, dict[str, Any]]:
    found = {row["pair_id"]: row for row in run.dataset(1, "pairs").rows(status="ok").to_pylist()}
    assert len(found) >= 9
    return found


def json_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def exported(run: Run, place: Path, format: str) -> Path:
    return Path(export_pairs(run, 1, toy_recipe(), str(place / "set"), format=format)) / "data/round-1"


def splits(pairs: dict[str, dict[str, Any]]) -> dict[str, set[str]]:
    told = {
        split: {name for name, row in pairs.items() if split_of(row["utt_id"]) == split} for split in ("train", "test")
    }
    return {split: some for split, some in told.items() if some}


def test_samples_lie_in_their_folder_and_their_table_parses(run: Run, pairs: dict[str, dict[str, Any]]) -> None:
    write_samples(Round(run, 1, toy_recipe()))
    folder = Path(run.place(1), "samples")
    rows = list(
        csv.DictReader(io.StringIO((folder / "texts.tsv").read_bytes().decode(), newline=""), dialect=csv.excel_tab)
    )
    assert len(rows) == 6 and {row["pair_id"] for row in rows} <= pairs.keys()
    assert all(row["name"] == file_name(row["pair_id"]) and row["chosen_text"] for row in rows)
    names = {f"{row['name']}.{side}.wav" for row in rows for side in SIDES}
    assert {path.name for path in folder.iterdir()} == names | {"texts.tsv"}


def test_the_report_holds_every_id_as_it_is(run: Run, pairs: dict[str, dict[str, Any]]) -> None:
    html = Path(write_report(Round(run, 1, toy_recipe()))).read_text("utf-8")
    data = json.loads(html.split('id="data">')[1].split("</script>")[0])
    assert {row["id"] for row in data["pairs"]} == set(pairs)
    assert "<!--" not in html  # an id must not open a comment in which the page's script would be lost


def test_slamkit(run: Run, pairs: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    place = exported(run, tmp_path, "slamkit")
    for split, ids in splits(pairs).items():
        rows = json_lines(place / f"{split}.jsonl")
        assert {row["pair_id"] for row in rows} == ids and all(
            row["utt_id"] == pairs[row["pair_id"]]["utt_id"] for row in rows
        )
        sounds = [place / row[f"{side}_path"] for row in rows for side in ("prompt", "chosen", "rejected")]
        assert len(set(sounds)) == 3 * len(ids) and all(soundfile.info(sound).samplerate == 16_000 for sound in sounds)
    assert {path.parent for path in place.rglob("*.flac")} == {place / "audio"}


def test_fairseq(run: Run, pairs: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    place = exported(run, tmp_path, "fairseq")
    known = {row["id"]: row for row in json_lines(place / "ids.jsonl")}
    assert {row["pair_id"] for row in known.values()} == set(pairs) and all(
        row["utt_id"] in ODD for row in known.values()
    )
    for split, ids in splits(pairs).items():
        for stem in (split, f"{split}_rejected"):
            text = (place / f"{stem}.tsv").read_text("utf-8")
            rows = list(
                csv.DictReader(io.StringIO(text, newline=""), delimiter="\t", quoting=csv.QUOTE_NONE)
            )  # as fairseq reads it
            assert {known[row["id"]]["pair_id"] for row in rows} == ids
            assert all(soundfile.info(place / row["src_audio"]).frames == int(row["src_n_frames"]) for row in rows)
            units = dict(line.split("|") for line in (place / f"{stem}.unit").read_text("utf-8").splitlines())
            assert units == {row["id"]: row["tgt_audio"] for row in rows}


def test_audiofolder(run: Run, pairs: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    place = exported(run, tmp_path, "audiofolder")
    builder = datasets.load_dataset_builder("audiofolder", data_dir=str(place), cache_dir=str(tmp_path / "cache"))
    read = {made.name: made.gen_kwargs for made in builder._split_generators(datasets.DownloadManager())}
    assert {name for name, kind in builder.info.features.items() if isinstance(kind, datasets.Audio)} == set(SIDES)
    for split, ids in splits(pairs).items():  # what it reads before torchcodec, which is not here, would encode it
        rows = [row for _, row in builder._generate_examples(**read[split])]
        assert {row["pair_id"] for row in rows} == ids and all(
            row["utt_id"] == pairs[row["pair_id"]]["utt_id"] for row in rows
        )
        for row in rows:
            assert [Path(row[side]) for side in SIDES] == [
                place / split / f"{file_name(row['pair_id'])}.{side}.flac" for side in SIDES
            ]
            assert all(soundfile.info(row[side]).frames > 0 for side in SIDES)


def test_parquet_and_trl(run: Run, pairs: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    place = exported(run, tmp_path / "parquet", "parquet")
    rows = pq.read_table(place).to_pylist()
    assert {row["pair_id"]: row["utt_id"] for row in rows} == {name: row["utt_id"] for name, row in pairs.items()}
    for row in rows:
        assert row["chosen_audio"]["path"] == f"{file_name(row['pair_id'])}.chosen.flac"
        assert soundfile.info(io.BytesIO(row["source_audio"]["bytes"])).frames > 0
    place = exported(run, tmp_path / "trl", "trl")
    assert sum(len(json_lines(path)) for path in place.iterdir()) == len(pairs)


def test_nothing_was_written_outside_of_the_run(run: Run) -> None:
    above = Path(run.uri).parents[1]
    assert [path.name for path in above.iterdir()] == ["deep"] and [
        path.name for path in (above / "deep").iterdir()
    ] == ["run"]
    assert not list(above.rglob("*escaped.*")) and not (above.parent / "escaped-en.source.wav").exists()


def test_fairseq_counts_the_pairs_that_it_has_a_source_sound_for(tmp_path: Path) -> None:
    sound = {"bytes": encode(np.zeros(1_600, np.float32), "WAV")}
    rows = [{"pair_id": name, "utt_id": name, "chosen_units": [1], "rejected_units": [2]} for name in ("a", "b")]
    assert (
        sum(
            FORMATS["fairseq"]([rows[0] | {"source_audio": sound}, rows[1] | {"source_audio": None}], tmp_path).values()
        )
        == 1
    )
    assert [json.loads(line)["utt_id"] for line in (tmp_path / "ids.jsonl").read_text().splitlines()] == ["a"]
