"""Samples: the pairs with the widest margins of each direction, as WAV files with their texts."""

from __future__ import annotations

import csv
from pathlib import Path

import soundfile

from factory.planning.places import Round
from factory.report.samples import has_samples, write_samples
from factory.storage.names import file_name
from tests.toy_run import toy_recipe, toy_run


def test_samples_are_the_pairs_with_the_widest_margins_of_each_direction(tmp_path: Path) -> None:
    round_ = Round(toy_run(tmp_path, count=12), 1, toy_recipe())
    assert not has_samples(round_)
    write_samples(round_)
    assert has_samples(round_)
    folder = Path(round_.uri, "samples")
    with (folder / "texts.tsv").open(newline="", encoding="utf-8") as table:
        texts = list(csv.DictReader(table, dialect=csv.excel_tab))
    rows = {row["pair_id"]: row for row in round_.pairs.rows(status="ok").to_pylist()}
    for lang in ("fr", "en"):
        margins = sorted((row["margin"] for row in rows.values() if row["src_lang"] == lang), reverse=True)
        sampled = [rows[text["pair_id"]] for text in texts if rows[text["pair_id"]]["src_lang"] == lang]
        assert [row["margin"] for row in sampled] == margins[:3]
    for text in texts:
        row = rows[text["pair_id"]]
        assert (text["name"], text["metric"]) == (file_name(row["pair_id"]), "bleu")
        assert (text["chosen_text"], text["rejected_text"]) == (row["chosen_text"], row["rejected_text"])
        assert text["margin"] == f"{row['margin']:.3f}"
    sounds = {f"{text['name']}.{side}.wav" for text in texts for side in ("source", "chosen", "rejected")}
    assert {path.name for path in folder.glob("*.wav")} == sounds
    assert {soundfile.info(path).samplerate for path in folder.glob("*.wav")} == {16_000}
