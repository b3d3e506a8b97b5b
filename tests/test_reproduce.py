"""Records and tables of a reproduction, on finished runs with invented candidates."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks import reproduce
from benchmarks.hear_all import transcribe_evaluation
from benchmarks.part_grid import ROWS as PART_ROWS
from benchmarks.part_tables import table_i
from benchmarks.reproduce import comparable, copy_shared, copy_shipped, count_pairs, split_corpus
from benchmarks.reproduce_cells import PART, Cell, Sizes
from benchmarks.reproduce_grid import MORE, make_command, make_grid
from benchmarks.reproduce_records import keep, kept
from benchmarks.reproduce_tables import write_tables
from benchmarks.speech_to_text import OUTPUTS, carry
from factory.corpora.audio import encode, read
from factory.recipe.loading import load
from factory.storage.dataset import DatasetDir
from schemas.audio import SAMPLE_RATE
from schemas.datasets import EVALUATED
from tests.toy_run import toy_run

ROOT = Path(__file__).resolve().parent.parent
SIZES = Sizes(seeds=(1,))
CELLS = {cell.name: cell for cell in make_grid(SIZES)}


def write_policy(folder: Path, weights: bytes) -> None:
    """Write a folder with the files of a policy."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("config.json", "tokenizer.json"):
        (folder / name).write_text("{}")
    (folder / "training.json").write_text('{"pairs": 5}')
    (folder / "model.safetensors").write_bytes(weights)


@pytest.fixture
def records(tmp_path: Path) -> Path:
    """The folder with the records of a start without the last words, and of a round with the references as output."""
    runs, to = tmp_path / "runs", tmp_path / "records"
    toy_run(runs / "com-s1-bleu")
    write_policy(runs / "com-s1-bleu/round-1/policy", b"after")
    write_policy(runs / "com-start/round-0/policy", b"before")
    rows = DatasetDir(str(runs / "com-s1-bleu/round-1/evaluation")).rows().to_pylist()
    before = DatasetDir(str(runs / "com-start/round-0/evaluation"), EVALUATED)
    before.start({"stage": "evaluation"})
    shortened = [
        row | {name: " ".join((row["reference"] or "").split()[:-1]) for name in ("text", "asr_text")} for row in rows
    ]
    before.append(pa.Table.from_pylist(shortened, schema=EVALUATED))
    before.publish()
    shutil.copy(runs / "com-s1-bleu/round-1/summary.json", runs / "com-start/round-0/summary.json")
    keep(to, "com-start", runs / "com-start", 0, {"start": None, "command": []})
    keep(to, "com-s1-bleu", runs / "com-s1-bleu", 1, {"start": "com-start", "command": ["--round", "1"]})
    return to


def test_a_record_holds_the_output_of_the_policy(records: Path) -> None:
    record, start = kept(records, "com-s1-bleu"), kept(records, "com-start")
    assert record and start and record.start and record.start == start.policy
    rows = record.said("fr-en")
    assert len(rows) == 6 and all(row["text"] == row["reference"] and row["src_lang"] == "fr" for row in rows)
    assert json.loads((records / "com-s1-bleu.json").read_text())["command"] == ["--round", "1"]
    assert record.learned == 5 and kept(records, "com-s2-bleu") is None


def test_tables_show_the_change_by_a_round(records: Path, tmp_path: Path) -> None:
    cells = [Cell("com-start", "com", 1), CELLS["com-s1-bleu"]]
    write_tables(comparable(cells, records), SIZES.seeds, tmp_path / "tables.md", "seeds=[1]")
    tables = (tmp_path / "tables.md").read_text()
    assert all(f"## Table {letter}" in tables for letter in "ABCDEFGH")
    assert "com, ranked by BLEU, mean of 1 seed: S2T BLEU en-fr +" in tables
    assert re.search(
        r"ASR-BLEU, mean of both directions: \+\S+ \[\+\S+ \+\S+\], which agrees with the paper \(there \+0\.9\)",
        tables,
    )
    assert "vanilla: not run." in tables


def test_tables_use_complete_transcripts_of_the_same_policy(records: Path, tmp_path: Path) -> None:
    cells = [CELLS["com-start"], CELLS["com-s1-bleu"]]
    (records / "heard").mkdir()
    for cell in cells:
        shutil.copy(records / f"{cell.name}.parquet", records / "heard")
    known = comparable(cells, records)
    assert known["heard/com-s1-bleu"].said("fr-en") == known["com-s1-bleu"].said("fr-en")
    write_tables(known, SIZES.seeds, tmp_path / "tables.md", "")
    sentence = (
        r"With every test sentence heard .*; "
        r"mean of both directions: \+\S+ \[\+\S+ \+\S+\], which agrees with the paper\."
    )
    assert re.search(sentence, (tmp_path / "tables.md").read_text())

    # transcripts of another policy
    shutil.copy(records / "com-start.parquet", records / "heard/com-s1-bleu.parquet")
    assert "heard/com-s1-bleu" not in comparable(cells, records)


def test_a_cell_with_another_start_is_left_out_and_printed(records: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = records / "com-start.json"
    record = json.loads(path.read_text())
    record["digests"]["policy"] = "another"
    path.write_text(json.dumps(record))
    assert "com-s1-bleu" not in comparable(list(CELLS.values()), records)
    assert "com-s1-bleu" in capsys.readouterr().out


@pytest.fixture
def spoken_text(tmp_path: Path) -> Path:
    """The folder with records of tables G and H: the plain cell lacks the last words, and all others have them."""
    runs, to = tmp_path / "runs", tmp_path / "records"
    toy_run(runs / "toy")
    rows = DatasetDir(str(runs / "toy/round-1/evaluation")).rows().to_pylist()
    french = [row for row in rows if row["src_lang"] == "fr"]
    cells = ("none-s1", "scheduled-s1", "constant-s1", "round-none", "round-scheduled")
    for cell in (f"interleave-{name}" for name in cells):
        number = 1 if "round" in cell else 0
        run = runs / cell / f"round-{number}"
        write_policy(run / "policy", cell.encode())
        (run / "policy/training.json").write_text(f'{{"pairs": {5 * number}, "text_share": 0.3}}')
        shutil.copy(runs / "toy/round-1/summary.json", run / "summary.json")
        evaluation = DatasetDir(str(run / "evaluation"), EVALUATED)
        evaluation.start({"stage": "evaluation"})
        words = None if cell != "interleave-none-s1" else -1
        said = [
            {name: " ".join((row["reference"] or "").split()[:words]) for name in ("text", "asr_text")}
            for row in french
        ]
        for lang in ("fr", "es"):
            both = [
                row | text | {"src_lang": lang, "utt_id": f"{row['utt_id']}-{lang}"}
                for row, text in zip(french, said, strict=True)
            ]
            evaluation.append(pa.Table.from_pylist(both, schema=EVALUATED))
        evaluation.publish()
        keep(to, cell, runs / cell, number, {"start": None, "command": []})
    return to


def test_tables_of_interleaving_compare_the_rows(spoken_text: Path, tmp_path: Path) -> None:
    names = [path.stem for path in spoken_text.glob("*.json")]
    records = {name: record for name in names if (record := kept(spoken_text, name))}
    write_tables(records, (1, 2), tmp_path / "tables.md", "")
    tables = (tmp_path / "tables.md").read_text()
    assert re.search(r"\| scheduled \| 0.30 \| 100.00 \[100.00, 100.00\] \|", tables)
    assert re.search(
        r"scheduled minus none: S2T BLEU fr-en \+\S+ \[\+\S+ \+\S+\], which agrees with the paper;", tables
    )
    constant = r"a constant share of 0.3, minus {} \(seed 1\): S2T BLEU fr-en {}"
    assert re.search(constant.format("scheduled", r"\+0.00 \[\+0.00, \+0.00\], which cannot be told apart"), tables)
    assert re.search(constant.format("none", r"\+\S+ \[\+\S+ \+\S+\], which contradicts the paper"), tables)
    assert "| scheduled, source side only | - | - | - | - | - |" in tables
    # the round from the plain start makes up for all that its start lacks, and the other one has nothing to gain
    assert re.search(
        r"Gain from the scheduled start minus gain from the plain one: S2T BLEU fr-en -[1-9]\S+ \[-", tables
    )
    assert re.search(r"\| no text inside speech \| 5 \| \S+ \([+-]", tables)


def test_cells_of_interleaving_change_one_thing(tmp_path: Path) -> None:
    cells = [cell for cell in CELLS.values() if cell.name.startswith("interleave-")]
    commands = {cell.name: make_command(cell, SIZES, tmp_path, [], 0) for cell in cells}
    plain = commands["interleave-none-s1"]
    assert "recipes/phrasebook_es.yaml" in plain and f"corpus.test={tmp_path}/interleave_test.parquet" in plain
    assert f"policy.base={tmp_path}/interleave-text/round-0/policy" in plain
    for name in ("scheduled", "constant", "source", "target", "mask", "uniform"):
        changed = commands[f"interleave-{name}-s1"]
        other = [part for part in changed if part not in plain and "runs" not in part]
        assert [part.partition("=")[0] for part in other] == [f"{tmp_path}/interleave-{name}-s1", "sft.interleave"]
    assert f"policy.start={tmp_path}/interleave-scheduled-s1/round-0/policy" in commands["interleave-round-scheduled"]


def test_the_test_set_of_interleaving_is_new_to_rounds(tmp_path: Path) -> None:
    split_corpus(tmp_path)
    tested = pq.read_table(tmp_path / "interleave_test.parquet").to_pylist()
    directions = Counter(f"{row['src_lang']}-{row['tgt_lang']}" for row in tested)
    assert directions == {"fr-en": 400, "en-fr": 400, "es-en": 400, "en-es": 400}
    assert len({row["pair_id"] for row in tested}) == len(tested)
    world = ROOT / "assets/phrasebook_es"
    learned = [row for path in world.glob("paired/*") for row in pq.read_table(path).to_pylist()]
    learned += [{"src_text": text} for path in world.glob("mono/*") for text in pq.read_table(path)["text"].to_pylist()]
    assert not {row["src_text"] for row in tested} & {row["src_text"] for row in learned}


def test_cells_follow_the_cells_that_they_need() -> None:
    for cells in (CELLS.values(), list(make_grid(Sizes()))):
        seen: set[str | None] = {None}
        for cell in cells:
            assert cell.base in seen and cell.shares in seen, cell.name
            seen.add(cell.name)


def list_copied(run: Path) -> set[str]:
    """Return the folders of a run that hold the toy weights."""
    return {str(file.parent.relative_to(run)) for file in run.rglob("model.safetensors")}


def test_shipped_parts_are_copied_once_and_shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped, out = tmp_path / "shipped", tmp_path / "out"
    for name in (
        "com-start/toplines",
        "com-start/round-0/evaluation",
        "com-start/round-0/policy",
        "com-s1-bleu/round-1/scored",
    ):
        write_policy(shipped / name, b"shipped")
    monkeypatch.setattr(reproduce, "SHIPPED", shipped)
    write_policy(out / "com-s1-bleu/round-1/scored", b"own")
    copy_shipped(out)
    copy_shipped(out)
    assert (out / "com-s1-bleu/round-1/scored/model.safetensors").read_bytes() == b"own"
    meteor = CELLS["com-s1-meteor"]
    (out / meteor.name).mkdir()
    copy_shared(meteor, out)
    assert list_copied(out / meteor.name) == {"toplines", "round-0/evaluation", "round-1/scored"}
    spoken = CELLS["com-s1-spoken"]  # another kind of back-translation: the start is evaluated again
    (out / spoken.name).mkdir()
    copy_shared(spoken, out)
    assert list_copied(out / spoken.name) == {"toplines"}


def test_the_number_of_pairs_comes_from_the_run_or_its_record(records: Path, tmp_path: Path) -> None:
    main, quarter = CELLS["com-s1-bleu"], CELLS["com-s1-quarter"]
    assert count_pairs(main, tmp_path / "runs", records) == count_pairs(main, tmp_path / "nowhere", records) == 4
    assert count_pairs(main, tmp_path / "nowhere", tmp_path) == count_pairs(None, tmp_path, records) == 0
    assert "select.pairs=1" in make_command(quarter, SIZES, tmp_path, [], 4)
    assert "select.pairs=100" in make_command(quarter, SIZES, tmp_path, [], 401)


def test_rounds_with_more_utterances_keep_those_of_the_others(tmp_path: Path) -> None:
    split_corpus(tmp_path)
    command = make_command(CELLS["com-s1-more"], SIZES, tmp_path, [], 0)
    changes = [part for part in command if part.startswith(("corpus.mono", "corpus.limit"))]
    assert changes[-2:] == [f"corpus.mono={tmp_path}/more.parquet", f"corpus.limit={SIZES.limit + MORE}"]
    tables = {name: pq.read_table(tmp_path / f"{name}.parquet") for name in ("paired", "mono", "more", "test")}
    texts = {name: set(table["src_text"].to_pylist()) for name, table in tables.items()}
    assert texts["mono"] < texts["more"] and not texts["more"] & (texts["paired"] | texts["test"])
    for lang in ("fr", "en"):
        assert tables["more"]["src_lang"].to_pylist().count(lang) >= SIZES.limit + MORE
    ids = tables["more"]["pair_id"].to_pylist()
    assert len(set(ids)) == len(ids) and all(tables["more"]["src_units"].to_pylist())


def test_missing_transcripts_are_made_once(tmp_path: Path) -> None:
    evaluation = DatasetDir(str(tmp_path / "run/round-1/evaluation"), EVALUATED)
    evaluation.start({"stage": "evaluation"})
    utterance = dict.fromkeys(EVALUATED.names) | {"reference": "oui", "text": "oui", "status": "ok"}
    rows = [
        utterance | {"utt_id": f"{src}-{n}", "src_lang": src, "tgt_lang": tgt}
        for src, tgt in (("fr", "en"), ("en", "fr"))
        for n in range(4)
    ]
    for index, row in enumerate(rows):
        row |= [{"asr_text": "entendu"}, {"asr_text": ""}, {"units": [3, index]}, {}][index % 4]
    evaluation.append(pa.Table.from_pylist(rows, schema=EVALUATED))
    evaluation.publish()
    calls: list[tuple[list[list[int]], str]] = []

    def transcribe(units: list[list[int]], lang: str) -> list[str]:
        calls.append((units, lang))
        return ["alors"] * len(units)

    for _ in range(2):
        record = transcribe_evaluation(tmp_path / "run/round-1/evaluation", tmp_path, transcribe)
    assert [row["asr_text"] for row in record.said("fr-en")] == ["entendu", "", "alors", ""]
    assert calls == [([[3, 6]], "fr"), ([[3, 2]], "en")]
    assert {path.name for path in tmp_path.iterdir()} == {"run", "run.parquet"}


def test_cells_of_part_learn_the_same_speech_as_often(tmp_path: Path) -> None:
    cells = [cell for cell in CELLS.values() if cell.variant == PART]
    assert len(cells) == len(PART_ROWS)
    totals = set()
    for cell in cells:
        command = make_command(cell, SIZES, tmp_path, [], 0)
        assert command[command.index("--recipe") + 1] == "recipes/phrasebook_part.yaml"
        changes = [command[place + 1] for place, part in enumerate(command) if part == "--set"]
        stages = load(ROOT / "recipes/phrasebook_part.yaml", changes).part.stages
        totals.add(
            tuple(round(sum(s.epochs * s.tasks.get(task, 0) for s in stages), 6) for task in ("asr", "s2t", "mt"))
        )
    assert totals == {(6.75, 1.5, 0.25)}
    shipped = load(ROOT / "recipes/phrasebook_part.yaml").part.stages
    staged = load(ROOT / "recipes/phrasebook_part.yaml", [f"part.stages={PART_ROWS['staged'].stages}"]).part.stages
    assert staged == shipped, "the recipe that people run is the row of the table"


def test_table_i_compares_what_policies_write_for_recordings(tmp_path: Path) -> None:
    def write(name: str, transcript: str, translation: str) -> None:
        rows = [
            {"condition": condition, "utt_id": f"{src}-{number}", "src_lang": src, "tgt_lang": tgt}
            | {"text": f"un deux trois {number}", "reference": f"one two three four {number}"}
            | {"transcript": transcript.format(number), "translation": translation.format(number)}
            for condition in ("clean", "telephone")
            for src, tgt in (("fr", "en"), ("en", "fr"))
            for number in range(12)
        ]
        pq.write_table(pa.Table.from_pylist(rows, schema=OUTPUTS), tmp_path / f"{name}.parquet")

    write("part-staged-s1", "un deux trois {}", "one two three four {}")
    write("part-two-stage-s1", "un deux {}", "one two {}")
    table = "\n".join(table_i(tmp_path, [1]))
    assert "| PART | 0.000 [0.000, 0.000] |" in table and "100.00 [100.00, 100.00]" in table
    assert "two stages, minus PART: WER en, clean +0.25 [+0.25, +0.25], which agrees with the paper" in table
    assert re.search(
        r"S2T BLEU fr-en, telephone -\d+\.\d+ \[-\d+\.\d+, -\d+\.\d+\], which agrees with the paper", table
    )
    assert "| also without LoRA | - |" in table and "also without LoRA, minus" not in table


def test_a_telephone_leaves_no_high_band_and_adds_noise_of_a_known_level() -> None:
    time = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    low, high = (0.2 * np.sin(2 * np.pi * hz * time).astype(np.float32) for hz in (1_000, 6_000))
    row = {"utt_id": "one", "audio": {"bytes": encode(low + high, "FLAC"), "path": None}}
    carried = read(carry(row))
    assert np.array_equal(carried, read(carry(row))), "the noise belongs to the utterance"
    noise = carried - low
    assert 7.0 < 10 * np.log10(np.mean(low**2) / np.mean(noise[200:-200] ** 2)) < 9.0
