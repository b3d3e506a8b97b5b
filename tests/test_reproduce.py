"""Records of a reproduction's cells, and the tables that are made from them, on finished runs of made-up candidates."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks import reproduce
from benchmarks.hear_all import heard
from benchmarks.reproduce import MORE, Sizes, _pairs, command, comparable, grid, share, ship, split
from benchmarks.reproduce_records import keep, kept
from benchmarks.reproduce_tables import write_tables
from factory.storage.dataset import DatasetDir
from schemas.datasets import EVALUATED
from tests.toy_run import toy_run

SIZES = Sizes(seeds=(1,))
CELLS = list(grid(SIZES))


def policy(folder: Path, weights: bytes) -> None:
    """Write what stands for a policy's files."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("config.json", "tokenizer.json"):
        (folder / name).write_text("{}")
    (folder / "training.json").write_text('{"pairs": 5}')
    (folder / "model.safetensors").write_bytes(weights)


@pytest.fixture
def records(tmp_path: Path) -> Path:
    """Records of a start that leaves every last word out, and of a round after it that says its references."""
    runs, to = tmp_path / "runs", tmp_path / "records"
    toy_run(runs / "com-s1-bleu")
    policy(runs / "com-s1-bleu/round-1/policy", b"after")
    policy(runs / "com-start/round-0/policy", b"before")
    rows = DatasetDir(str(runs / "com-s1-bleu/round-1/evaluation")).rows().to_pylist()
    before = DatasetDir(str(runs / "com-start/round-0/evaluation"), EVALUATED)
    before.start({"stage": "evaluation"})
    spoilt = [
        row | {name: " ".join((row["reference"] or "").split()[:-1]) for name in ("text", "asr_text")} for row in rows
    ]
    before.append(pa.Table.from_pylist(spoilt, schema=EVALUATED))
    before.publish()
    shutil.copy(runs / "com-s1-bleu/round-1/summary.json", runs / "com-start/round-0/summary.json")
    keep(to, "com-start", runs / "com-start", 0, {"start": None, "command": []})
    keep(to, "com-s1-bleu", runs / "com-s1-bleu", 1, {"start": "com-start", "command": ["--round", "1"]})
    return to


def test_a_record_holds_what_the_policy_said(records: Path) -> None:
    record = kept(records, "com-s1-bleu")
    assert record and record.start and record.start == kept(records, "com-start").policy  # type: ignore[union-attr]
    said = record.said("fr-en")
    assert len(said) == 6 and all(row["text"] == row["reference"] and row["src_lang"] == "fr" for row in said)
    assert json.loads((records / "com-s1-bleu.json").read_text())["command"] == ["--round", "1"]
    assert record.learned == 5 and kept(records, "com-s2-bleu") is None


def test_tables_tell_what_a_round_changed(records: Path, tmp_path: Path) -> None:
    start = next(cell for cell in CELLS if cell.name == "com-start")
    cells = [start.__class__(start.name, "com", 1), *(cell for cell in CELLS if cell.name == "com-s1-bleu")]
    write_tables(comparable(cells, records), SIZES.seeds, tmp_path / "tables.md", "seeds=[1]")
    tables = (tmp_path / "tables.md").read_text()
    assert all(f"## Table {letter}" in tables for letter in "ABCDEF")
    assert "com, ranked by BLEU, mean of 1 seed: S2T BLEU en-fr +" in tables
    assert re.search(
        r"ASR-BLEU, mean of both directions: \+\S+ \[\+\S+ \+\S+\], which agrees with the paper \(there \+0\.9\)",
        tables,
    )
    assert "vanilla: not run." in tables


def test_where_every_test_sentence_was_heard_the_tables_tell_it_too(records: Path, tmp_path: Path) -> None:
    cells = [cell for cell in CELLS if cell.name in ("com-start", "com-s1-bleu")]
    (records / "heard").mkdir()
    for cell in cells:
        shutil.copy(records / f"{cell.name}.parquet", records / "heard")
    told = comparable(cells, records)
    assert told["heard/com-s1-bleu"].said("fr-en") == told["com-s1-bleu"].said("fr-en")
    write_tables(told, SIZES.seeds, tmp_path / "tables.md", "")
    again = r"With every test sentence heard .*; mean of both directions: \+\S+ \[\+\S+ \+\S+\], which agrees with the paper\."
    assert re.search(again, (tmp_path / "tables.md").read_text())

    shutil.copy(
        records / "com-start.parquet", records / "heard/com-s1-bleu.parquet"
    )  # heard of a policy that says something else
    assert "heard/com-s1-bleu" not in comparable(cells, records)


def test_a_cell_of_another_start_is_left_out_and_named(records: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = records / "com-start.json"
    told = json.loads(place.read_text())
    told["digests"]["policy"] = "another"
    place.write_text(json.dumps(told))
    assert "com-s1-bleu" not in comparable(CELLS, records)
    assert "com-s1-bleu" in capsys.readouterr().out


def test_every_cell_comes_after_what_it_needs() -> None:
    for cells in (CELLS, list(grid(Sizes()))):
        seen: set[str | None] = {None}
        for cell in cells:
            assert cell.base in seen and cell.shares in seen, cell.name
            seen.add(cell.name)


def taken(run: Path) -> set[str]:
    return {str(file.parent.relative_to(run)) for file in run.rglob("model.safetensors")}


def test_what_ships_is_taken_once_and_shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped, out = tmp_path / "shipped", tmp_path / "out"
    for name in (
        "com-start/toplines",
        "com-start/round-0/evaluation",
        "com-start/round-0/policy",
        "com-s1-bleu/round-1/scored",
    ):
        policy(shipped / name, b"shipped")
    monkeypatch.setattr(reproduce, "SHIPPED", shipped)
    policy(out / "com-s1-bleu/round-1/scored", b"own")
    ship(out)
    ship(out)
    assert (out / "com-s1-bleu/round-1/scored/model.safetensors").read_bytes() == b"own"
    meteor = next(cell for cell in CELLS if cell.name == "com-s1-meteor")
    (out / meteor.name).mkdir()
    share(meteor, out)
    assert taken(out / meteor.name) == {"toplines", "round-0/evaluation", "round-1/scored"}
    spoken = next(cell for cell in CELLS if cell.name == "com-s1-spoken")  # another way back: the start is tested again
    (out / spoken.name).mkdir()
    share(spoken, out)
    assert taken(out / spoken.name) == {"toplines"}


def test_a_share_of_the_pairs_is_known_from_the_run_or_its_record(records: Path, tmp_path: Path) -> None:
    main, quarter = (next(cell for cell in CELLS if cell.name == name) for name in ("com-s1-bleu", "com-s1-quarter"))
    assert _pairs(main, tmp_path / "runs", records) == _pairs(main, tmp_path / "nowhere", records) == 4
    assert _pairs(main, tmp_path / "nowhere", tmp_path) == _pairs(None, tmp_path, records) == 0
    assert "select.pairs=1" in command(quarter, SIZES, tmp_path, [], 4)
    assert "select.pairs=100" in command(quarter, SIZES, tmp_path, [], 401)


def test_rounds_with_more_take_what_the_others_take_and_more(tmp_path: Path) -> None:
    split(tmp_path)
    cell = next(cell for cell in CELLS if cell.name == "com-s1-more")
    changes = [
        part for part in command(cell, SIZES, tmp_path, [], 0) if part.startswith(("corpus.mono", "corpus.limit"))
    ]
    assert changes[-2:] == [f"corpus.mono={tmp_path}/more.parquet", f"corpus.limit={SIZES.limit + MORE}"]
    told = {name: pq.read_table(tmp_path / f"{name}.parquet") for name in ("paired", "mono", "more", "test")}
    texts = {name: set(table["src_text"].to_pylist()) for name, table in told.items()}
    assert texts["mono"] < texts["more"] and not texts["more"] & (texts["paired"] | texts["test"])
    for lang in ("fr", "en"):
        assert told["more"]["src_lang"].to_pylist().count(lang) >= SIZES.limit + MORE
    ids = told["more"]["pair_id"].to_pylist()
    assert len(set(ids)) == len(ids) and all(told["more"]["src_units"].to_pylist())


def test_all_is_heard_that_was_not_once(tmp_path: Path) -> None:
    evaluation = DatasetDir(str(tmp_path / "run/round-1/evaluation"), EVALUATED)
    evaluation.start({"stage": "evaluation"})
    row = dict.fromkeys(EVALUATED.names) | {"reference": "oui", "text": "oui", "status": "ok"}
    rows = [
        row | {"utt_id": f"{src}-{n}", "src_lang": src, "tgt_lang": tgt}
        for src, tgt in (("fr", "en"), ("en", "fr"))
        for n in range(4)
    ]
    for place, one in enumerate(rows):
        one |= [{"asr_text": "entendu"}, {"asr_text": ""}, {"units": [3, place]}, {}][place % 4]
    evaluation.append(pa.Table.from_pylist(rows, schema=EVALUATED))
    evaluation.publish()
    asked: list[tuple[list[list[int]], str]] = []

    def hear(units: list[list[int]], lang: str) -> list[str]:
        asked.append((units, lang))
        return ["alors"] * len(units)

    for _ in range(2):
        record = heard(tmp_path / "run/round-1/evaluation", tmp_path, hear)
    assert [row["asr_text"] for row in record.said("fr-en")] == ["entendu", "", "alors", ""]
    assert asked == [([[3, 6]], "fr"), ([[3, 2]], "en")]
    assert {place.name for place in tmp_path.iterdir()} == {"run", "run.parquet"}
