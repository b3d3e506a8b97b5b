"""The sounds of pairs are made once, and other pairs have other sounds."""

from __future__ import annotations

from pathlib import Path

from factory.export.sounds import PAIR_SOUNDS, make_sounds
from factory.planning.places import Round
from factory.report.pairs import read_shown_pairs


def test_sounds_are_made_once(round_: Round, exported: Path) -> None:
    pairs = read_shown_pairs(round_.pairs, round_.scored, 1_000)
    sounds = make_sounds(round_, pairs)
    table, finished = sounds.rows(), sounds.manifest().finished
    assert table.schema.names == PAIR_SOUNDS.names and table["status"].unique().to_pylist() == ["ok"]
    assert sorted(table["pair_id"].to_pylist()) == sorted(pair["pair_id"] for pair in pairs)
    assert make_sounds(round_, pairs[::-1]).manifest().finished == finished


def test_other_pairs_have_other_sounds(round_: Round, exported: Path) -> None:
    pairs = read_shown_pairs(round_.pairs, round_.scored, 1_000)
    one = make_sounds(round_, pairs[:1])
    assert one.uri != make_sounds(round_, pairs).uri
    assert one.rows()["pair_id"].to_pylist() == [pairs[0]["pair_id"]]
