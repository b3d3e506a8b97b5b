"""What ships: the page that lists it is true, it stays small, and its sets do not share a sentence."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from assets.build.readme import FOLDERS, ROOT, text
from schemas.datasets import PAIRED, UTTERANCE


def test_the_page_lists_every_file_with_its_hash() -> None:
    assert (ROOT / "README.md").read_text() == text()


def test_all_of_it_stays_below_90_megabytes() -> None:
    paths = [path for name in FOLDERS for path in (ROOT / name).rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in paths if not path.is_symlink()) < 90e6


def set_of(path: Path) -> str:
    """The set that a file belongs to: paired for paired.parquet and paired/es.parquet, mono/es for mono/es.parquet."""
    return f"mono/{path.stem}" if path.parts[0] == "mono" else path.parts[0].partition(".")[0]


@pytest.mark.parametrize("folder", [name for name in FOLDERS if (ROOT / name).is_dir()])
def test_the_schemas_hold_and_no_sentence_is_in_two_sets(folder: str) -> None:
    sets: dict[str, set[str]] = {}
    for path in {*(ROOT / folder).rglob("*.parquet")} - {ROOT / folder / "toplines.parquet"}:
        table = pq.read_table(path)
        paired = "pair_id" in table.schema.names
        expected = PAIRED.names[: len(table.schema.names)] if paired else UTTERANCE.names  # 0.1 had fewer columns
        assert table.schema.names == expected, path
        columns = ("src_text", "tgt_text") if paired else ("text", "reference")
        found = {text for column in columns for text in table[column].to_pylist()}
        sets.setdefault(set_of(path.relative_to(ROOT / folder)), set()).update(found)
    assert {"paired", "dev", "text", "mono/fr", "mono/en", "test"} <= sets.keys()
    names = sorted(sets)
    for place, one in enumerate(names):
        for two in names[place + 1 :]:
            if two == f"{one.partition('/')[0]}_units":
                continue  # what ships as speech ships as units too
            assert not sets[one] & sets[two], f"{one} and {two} share {sorted(sets[one] & sets[two])[:3]}"
