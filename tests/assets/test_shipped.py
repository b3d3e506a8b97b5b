"""What ships: the page that lists it is true, it stays small, and its sets do not share a sentence."""

from __future__ import annotations

import pyarrow.parquet as pq
import pytest

from assets.build.readme import FOLDERS, ROOT, text
from schemas.datasets import PAIRED, UTTERANCE


def test_the_page_lists_every_file_with_its_hash() -> None:
    assert (ROOT / "README.md").read_text() == text()


def test_all_of_it_stays_below_80_megabytes() -> None:
    paths = (path for name in FOLDERS for path in (ROOT / name).rglob("*") if path.is_file())
    assert sum(path.stat().st_size for path in paths) < 80e6


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_schemas_hold_and_no_sentence_is_in_two_sets(folder: str) -> None:
    sets: dict[str, set[str]] = {}
    for path in {*(ROOT / folder).glob("*.parquet")} - {ROOT / folder / "toplines.parquet"}:
        table = pq.read_table(path)
        assert table.schema.names == PAIRED.names[: len(table.schema.names)], "files of 0.1 have fewer columns"
        sets[path.stem] = {*table["src_text"].to_pylist(), *table["tgt_text"].to_pylist()}
    assert {"paired", "dev", "text"} <= sets.keys()
    for name, files in (("mono/fr", "mono/fr.*"), ("mono/en", "mono/en.*"), ("test", "test/*.*")):
        tables = [pq.read_table(file) for file in sorted((ROOT / folder).glob(files))]
        assert tables and all(table.schema.names == UTTERANCE.names for table in tables)
        sets[name] = {
            text for table in tables for column in ("text", "reference") for text in table[column].to_pylist()
        }
    names = sorted(sets)
    for place, one in enumerate(names):
        for two in names[place + 1 :]:
            if two == "mono_units" and one.startswith("mono"):
                continue  # what ships as speech ships as units too
            assert not sets[one] & sets[two], f"{one} and {two} share {sorted(sets[one] & sets[two])[:3]}"
