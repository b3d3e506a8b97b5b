"""The loop of preference training: pairs that do not fit into the context are counted and left out."""

from __future__ import annotations

from pathlib import Path

import pytest
from transformers import AutoTokenizer

from factory.recipe.training import PreferenceConfig
from tests.trainers.toys import pair
from trainers.errors import TrainingError
from trainers.preference import train_preference
from trainers.preference_loop import read_pairs


def test_long_pairs_are_counted_and_left_out(tiny: Path, pairs: Path, tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny)
    rows = [pair(number) for number in range(40)]

    def length(row: dict[str, str]) -> int:
        return max(len(tokenizer(row["prompt"] + row[side])["input_ids"]) + 1 for side in ("chosen", "rejected"))

    limit = sorted(map(length, rows))[20]
    fitting, too_long = read_pairs(pairs, tokenizer, limit, tmp_path)
    assert fitting.to_list() == [row for row in rows if length(row) <= limit]
    assert too_long == sum(length(row) > limit for row in rows) > 0
    with pytest.raises(TrainingError, match="none of the 40 pairs in .* fits into 5 tokens; 40 prompts fill it alone"):
        read_pairs(pairs, tokenizer, 5, tmp_path)
    summary = train_preference(
        pairs, tiny, tmp_path / "policy", PreferenceConfig(batch=8, held_out=0.0, precision="fp32", max_length=limit)
    )
    assert (summary["pairs"], summary["too_long"]) == (len(fitting), too_long)
