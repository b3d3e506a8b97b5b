"""Pairs with a malformed back-translation are counted wherever a round's pairs are."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from factory.passes.select import make_pairs
from factory.report.malformed import count_malformed, describe_malformed
from factory.storage.dataset import DatasetDir
from schemas.datasets import SCORED, Row
from tests.toy_run import scored_row, toy_recipe, utterances

FINISHES = {"a": ("ok", "unclosed"), "b": ("length", "no_text"), "c": ("ok", "ok"), "d": ("ok", None)}
"""The finishes of the back-translations of the better and of the worse candidate, by id."""
COUNTS = {"pairs": 2, "chosen": 1, "rejected": 2, "of": 4}


def scored(finishes: dict[str, tuple[str | None, str | None]]) -> list[Row]:
    """Return rows of SCORED whose better candidate is the first; the last row has no pair."""
    rows = [scored_row(utterances(1)[0], 0) | {"utt_id": utt_id} for utt_id in [*finishes, "tie"]]
    for row, pair in zip(rows, [*finishes.values(), ("unclosed", "unclosed")], strict=True):
        for candidate, finish in zip(row["candidates"], pair, strict=True):
            candidate["back_translation_finish"] = finish
    rows[-1]["candidates"][1]["scores"] = rows[-1]["candidates"][0]["scores"]
    return rows


def write(uri: str, table: pa.Table) -> DatasetDir:
    dataset = DatasetDir(uri, table.schema)
    dataset.start({"stage": "test", "inputs": {}})
    dataset.append(table)
    dataset.publish()
    return dataset


def select(finishes: dict[str, tuple[str | None, str | None]]) -> pa.Table:
    return make_pairs(pa.Table.from_pylist(scored(finishes), schema=SCORED), toy_recipe())


def test_pairs_are_counted_by_the_side_with_the_malformed_back_translation(tmp_path: Path) -> None:
    table = select(FINISHES)
    assert table["status"].to_pylist() == ["ok"] * 4 + ["skipped"], "the tie is no pair, and is not counted"
    assert count_malformed(write(f"{tmp_path}/pairs", table)) == COUNTS


def test_a_pair_with_one_back_translation_is_counted(tmp_path: Path) -> None:
    counted = count_malformed(write(f"{tmp_path}/pairs", select({"a": (None, "unclosed")})))
    assert counted == {"pairs": 1, "chosen": 0, "rejected": 1, "of": 1}


@pytest.mark.parametrize("case", ["nothing went back", "no pair", "older columns"])
def test_without_back_translations_there_are_no_counts(case: str, tmp_path: Path) -> None:
    table = select({"nothing went back": {"a": (None, None)}, "no pair": {}}.get(case, FINISHES))
    if case == "older columns":
        table = table.drop_columns(["chosen_back_translation_finish", "rejected_back_translation_finish"])
    assert count_malformed(write(f"{tmp_path}/pairs", table)) is None
    assert describe_malformed(None) is None


def test_the_sentence_has_the_numbers_of_both_sides() -> None:
    sentence = describe_malformed({"pairs": 1200, "chosen": 3, "rejected": 1198, "of": 4000})
    assert sentence == (
        "1,200 of 4,000 pairs have a malformed back-translation (3 chosen, 1,198 rejected), scored as worst"
    )
