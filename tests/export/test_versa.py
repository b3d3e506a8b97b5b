"""VERSA reads what is exported by its own rules, and its scores come back to their pairs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import soundfile

from factory.cli import main
from factory.export.base import ExportError
from factory.export.export import export_pairs
from factory.export.versa import keep_scores, load_scores, read_scores
from factory.planning.places import Round
from factory.storage.names import file_name
from schemas.datasets import Row
from tests.export.test_export import load
from tests.export.test_formats import export, read_json_lines

pytestmark = pytest.mark.service


def read_table(path: Path) -> dict[str, str]:
    """Read a table of Kaldi as VERSA's readers do: a key, white space, and a value on every line."""
    table = {}
    for line in path.read_text("utf-8").splitlines():
        key, value = line.strip().split(maxsplit=1)
        assert not value.endswith("|") and key not in table
        table[key] = value
    return table


def test_versa_reads_the_tables(round_: Round, pairs: dict[str, Row], tmp_path: Path) -> None:
    folder = export(round_, tmp_path, "versa")
    keys = {file_name(pair_id): pair_id for pair_id in pairs}
    assert {line["key"]: line["pair_id"] for line in read_json_lines(folder / "ids.jsonl")} == keys
    tables = {side: read_table(folder / f"{side}.scp") for side in ("chosen", "rejected", "source")}
    for side, table in tables.items():
        assert table.keys() == keys.keys()
        assert all(soundfile.info(folder / path).samplerate == 16_000 for path in table.values())
        assert all(f".{side}." in path for path in table.values())
    for side in ("chosen", "rejected"):
        texts = read_table(folder / f"{side}.text")
        assert texts == {key: " ".join(pairs[pair_id][f"{side}_text"].split()) for key, pair_id in keys.items()}


def test_scores_come_back_to_their_pairs(
    round_: Round, pairs: dict[str, Row], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = Path(round_.uri) / "versa"
    names = sorted(pairs)
    chosen = [
        {"key": file_name(name), "utmos": index / 8, "asr": "text", "n": {"a": 1}} for index, name in enumerate(names)
    ]
    chosen[1]["utmos"] = None
    chosen.pop()
    rejected = [{"key": file_name(name), "utmos": 2.5, "spk": 0.5} for name in names]
    rejected.append({"key": "stranger", "utmos": 1.0})
    (tmp_path / "chosen.jsonl").write_text("\n".join(map(json.dumps, chosen)) + "\n")
    (tmp_path / "rejected.txt").write_text("\n".join(map(str, rejected)))  # older versions print Python's dicts
    arguments = ["--chosen", str(tmp_path / "chosen.jsonl"), "--rejected", str(tmp_path / "rejected.txt")]
    try:
        assert main(["read-versa", "--run", round_.run.uri, *arguments]) == 0
        lines = capsys.readouterr().out.splitlines()
        scores = load_scores(round_)
        export_pairs(round_, str(tmp_path / "set"))
        rows = {row["pair_id"]: row for split in load(str(tmp_path / "set"), tmp_path).values() for row in split}
    finally:
        shutil.rmtree(kept)
    values = [index / 8 for index in range(len(names) - 1) if index != 1]
    higher = sum(value > 2.5 for value in values) / sum(value != 2.5 for value in values)
    utmos = next(line for line in lines if line.startswith("  utmos"))
    assert utmos.startswith(f"  utmos: {len(values)}, {sum(values) / len(values):.3f}, 2.500, {higher:.2f} [")
    assert "  spk: 0, -, -" in lines and lines[-2:] == [
        f"  1 of {len(names)} pairs have no score of the chosen side",
        "  1 keys of the rejected side are no pairs of this round",
    ]
    assert scores[names[2]] == {"chosen_versa": {"utmos": 0.25}, "rejected_versa": {"utmos": 2.5, "spk": 0.5}}
    assert rows[names[2]]["chosen_versa"] == {"spk": None, "utmos": 0.25}
    assert rows[names[1]]["chosen_versa"] == {"spk": None, "utmos": None}
    assert {row["rejected_versa"]["spk"] for row in rows.values()} == {0.5}


def test_a_file_that_is_no_result_is_refused(round_: Round, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text('{"key": "a", "x": 1}\nhello\n')
    with pytest.raises(ExportError, match="wrong, line 2 is no result of VERSA"):
        read_scores(wrong)
    with pytest.raises(ExportError, match="cannot be read"):
        read_scores(tmp_path / "none")
    wrong.write_text('{"key": "a", "x": 1, "inf": Infinity, "flag": true}\n')
    assert read_scores(wrong) == {"a": {"x": 1.0}}
    files = ["--chosen", str(wrong), "--rejected", str(wrong)]
    assert main(["read-versa", "--run", round_.run.uri, *files]) == 2
    assert load_scores(round_) == {}


def test_a_result_without_a_number_replaces_nothing(round_: Round, pairs: dict[str, Row], tmp_path: Path) -> None:
    good, empty = tmp_path / "good", tmp_path / "empty"
    key = file_name(next(iter(pairs)))
    good.write_text(json.dumps({"key": key, "utmos": 1.0}))
    empty.write_text(json.dumps({"key": key, "utmos": None}))
    try:
        keep_scores(round_, good, good)
        before = load_scores(round_)
        with pytest.raises(ExportError, match=r"empty has no number: did VERSA fail\?"):
            keep_scores(round_, good, empty)
        assert load_scores(round_) == before != {}
    finally:
        shutil.rmtree(Path(round_.uri) / "versa")


def test_a_result_with_a_key_twice_is_refused_and_odd_values_are_no_scores(tmp_path: Path) -> None:
    result = tmp_path / "result.jsonl"
    result.write_text('{"key": "a", "x": 2.5}\n{"key": "b", "x": 1}\n{"key": "a", "x": 9.5}\n')
    with pytest.raises(ExportError, match=f"{result} has 1 keys more than once, first a: give the result of one run"):
        read_scores(result)
    result.write_text('{"key": "a", "x": 1' + "0" * 400 + ', "y": NaN, "z": -Infinity, "ok": -3}')
    assert read_scores(result) == {"a": {"ok": -3.0}}
    result.write_text('{"key": "a", "x": ' + "[" * 100_000)
    with pytest.raises(ExportError, match="line 1 is no result of VERSA"):
        read_scores(result)


def test_without_a_text_for_every_pair_there_is_no_table_of_texts(round_: Round, tmp_path: Path) -> None:
    from factory.export.versa import write_versa

    sound = {"bytes": b"fLaC", "path": "a"}
    row: Row = {"pair_id": "fr/a-en", "utt_id": "a", "chosen_audio": sound, "rejected_audio": sound}
    row |= {"chosen_text": "two\nlines", "rejected_text": None}
    assert sum(write_versa([row, row | {"pair_id": "b", "rejected_audio": None}], tmp_path).values()) == 1
    assert read_table(tmp_path / "chosen.text") == {file_name("fr/a-en"): "two lines"}
    assert not (tmp_path / "rejected.text").exists() and read_table(tmp_path / "source.scp") == {}
