"""What ships: the page that lists it is true, it stays small, and its sets do not share a sentence."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq

from assets.build.readme import ROOT, text
from schemas.datasets import PAIRED, UTTERANCE


def test_the_page_lists_every_file_with_its_hash() -> None:
    assert (ROOT.parent / "README.md").read_text() == text()


def test_all_of_it_stays_below_60_megabytes() -> None:
    assert sum(path.stat().st_size for path in ROOT.rglob("*") if path.is_file()) < 60e6


def test_the_schemas_hold_and_no_sentence_is_in_two_sets() -> None:
    sets: dict[str, set[str]] = {}
    for name in ("paired", "dev", "text", "mono_units"):
        table = pq.read_table(ROOT / f"{name}.parquet")
        assert table.schema.names == PAIRED.names
        sets[name] = {*table["src_text"].to_pylist(), *table["tgt_text"].to_pylist()}
    for name in ("mono/fr", "mono/en", "test"):
        files = (
            [ROOT / f"{name}.parquet"]
            if (ROOT / f"{name}.parquet").exists()
            else sorted(Path(ROOT / name).glob("*.parquet"))
        )
        tables = [pq.read_table(file) for file in files]
        assert all(table.schema.names == UTTERANCE.names for table in tables)
        sets[name] = {
            text for table in tables for column in ("text", "reference") for text in table[column].to_pylist()
        }
    names = sorted(sets)
    for place, one in enumerate(names):
        for two in names[place + 1 :]:
            if two == "mono_units" and one.startswith("mono"):
                continue  # what ships as speech ships as units too
            assert not sets[one] & sets[two], f"{one} and {two} share {sorted(sets[one] & sets[two])[:3]}"
