"""The scripts in examples/ run on toy data, are short, and each is named in the documentation."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from factory.metrics import METRICS
from schemas.datasets import PAIR
from schemas.sequences import Variant, completion, parse, prompt
from tests.limits import HANG_S
from tests.toys import SENTENCES, tiny_policy

ROOT = Path(__file__).resolve().parent.parent.parent
SCRIPTS = sorted((ROOT / "examples").glob("*.py"))


def run(name: str, *arguments: object) -> str:
    """Run an example in a process of its own; return what it prints."""
    command = [sys.executable, str(ROOT / "examples" / name), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=HANG_S)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_an_example_has_under_40_lines(script: Path) -> None:
    assert len(script.read_text("utf-8").splitlines()) < 40


def test_three_examples() -> None:
    assert [script.name for script in SCRIPTS] == [
        "make_pairs.py", "read_pairs_with_trl.py", "score_back_translations.py"]  # fmt: skip


def test_back_translations_are_scored(tmp_path: Path) -> None:
    rows = [
        {"lang": "en", "text": "the train leaves at nine", "back_translation": "the train leaves at nine"},
        {"lang": "en", "text": "the train leaves at nine", "back_translation": "the train leaves at five"},
        {"lang": "en", "text": "the train leaves at nine", "back_translation": None},
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "in.parquet")
    printed = run("score_back_translations.py", tmp_path / "in.parquet", tmp_path / "out.parquet")
    table = pq.read_table(tmp_path / "out.parquet")
    assert table["wer"].to_pylist() == pytest.approx([0.0, 0.2, 1.0])
    assert table["bleu"].to_pylist()[::2] == pytest.approx([1.0, 0.0])
    assert table.schema.field("wer").metadata[b"signature"].decode() == METRICS["wer"].signature("en")
    assert "wer      0.400  (better: down" in printed


def test_pairs_are_made_of_own_candidates(tmp_path: Path) -> None:
    sides = {"il pleut": ("it rains", [1, 2, 3, 4, 5]), "la nuit tombe": ("it snows", [9, 8, 7, 6, 5])}
    candidates = [{"text": text, "units": units, "back_translation": back} for back, (text, units) in sides.items()]
    head = {"src_lang": "fr", "tgt_lang": "en", "text": "il pleut", "units": [5, 6, 7, 8, 9]}
    rows = [{"utt_id": "u1", "candidates": candidates, **head}, {"utt_id": "u2", "candidates": candidates[:1], **head}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "in.parquet")
    printed = run("make_pairs.py", tmp_path / "in.parquet", tmp_path / "out.parquet")
    table = pq.read_table(tmp_path / "out.parquet")
    assert table.schema.equals(PAIR, check_metadata=False)
    pair, none = table.to_pylist()
    assert pair["prompt"] == prompt(Variant.COM, "fr", "en", [5, 6, 7, 8, 9])
    assert parse(Variant.COM, pair["chosen"])[:2] == ("it rains", [1, 2, 3, 4, 5])
    assert parse(Variant.COM, pair["rejected"])[:2] == ("it snows", [9, 8, 7, 6, 5])
    assert (none["status"], none["chosen"]) == ("skipped", None)
    assert "'a pair': 1" in printed and "'one_candidate': 1" in printed


def test_pairs_are_read_with_trl(tmp_path: Path) -> None:
    pairs = [
        {
            "prompt": prompt(Variant.COM, "en", "fr", [number, 7]),
            "chosen": completion(Variant.COM, SENTENCES[4 + number % 4], [1, 2, 3]),
            "rejected": completion(Variant.COM, SENTENCES[5], [4, 5]),
        }
        for number in range(4)
    ]
    folder = tmp_path / "exported/data/round-1"
    folder.mkdir(parents=True)
    (folder / "train.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    policy = tiny_policy(tmp_path / "policy")
    printed = run("read_pairs_with_trl.py", tmp_path / "exported", policy)
    assert "rounds: 1; 4 train pairs" in printed
    assert "columns for DPOTrainer: prompt, chosen, rejected" in printed
    assert "loss of one step: 0.693" in printed  # log 2: the policy is still its own reference
