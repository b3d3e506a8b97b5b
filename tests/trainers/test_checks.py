"""Errors in data and policies are found before the first step, each in one sentence."""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from trainers.checks import check_pairs, check_targets, check_tokens, nothing_fits, read_texts, read_words
from trainers.errors import TrainingError

PAIR = {"prompt": "p", "chosen": "c", "rejected": "r"}


def test_only_the_named_columns_are_read(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": ["1", "2"], "b": ["3", "4"], "c": [5, 6]}), tmp_path / "data.parquet")
    assert read_texts(tmp_path / "data.parquet", ("b", "a")) == [{"b": "3", "a": "1"}, {"b": "4", "a": "2"}]


@pytest.mark.parametrize("content", [None, b"", b"prompt,chosen"], ids=["no file", "empty", "CSV"])
def test_a_file_that_is_not_parquet_is_refused(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "data.parquet").write_bytes(content)
    with pytest.raises(TrainingError, match="data.parquet cannot be read as Parquet with the columns prompt, chosen"):
        read_texts(tmp_path / "data.parquet", ("prompt", "chosen"))


def test_a_missing_column_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"prompt": ["1"]}), tmp_path / "data.parquet")
    with pytest.raises(TrainingError, match="with the columns prompt, chosen"):
        read_texts(tmp_path / "data.parquet", ("prompt", "chosen"))


def test_sequences_without_columns_for_words_are_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"sequence_id": ["com-a"], "prompt": ["1"]}), tmp_path / "data.parquet")
    with pytest.raises(
        TrainingError, match="lacks one of sequence_id, prompt_words, .* which sft.interleave needs: write"
    ):
        read_words(tmp_path / "data.parquet")


def test_known_tokens_pass() -> None:
    check_tokens(["<|com|><|u1|>gare <|not a token", "<|u2|>"], {"<|com|>": 0, "<|u1|>": 1, "<|u2|>": 2}, "policy")


@pytest.mark.parametrize(
    ("texts", "names"),
    [
        (["<|u1|><|u0|>"], "<|u1|>"),
        (["<|u1|>", "<|u2|><|u3|>"], "<|u1|>, <|u2|>, <|u3|>"),
        (["<|u1|><|u2|><|u3|><|u4|><|u4|>"], "<|u1|>, <|u2|>, <|u3|> and 1 more"),
        ([f"<|u{unit}|>" for unit in range(1000, 2003)], "<|u1000|>, <|u1001|>, <|u1002|> and 1,000 more"),
    ],
)
def test_unknown_tokens_are_named_up_to_three(texts: list[str], names: str) -> None:
    with pytest.raises(TrainingError, match=re.escape(f"the policy runs/p has no token {names}: its vocabulary")):
        check_tokens(texts, {"<|u0|>": 0}, "runs/p")


def test_good_pairs_pass() -> None:
    check_pairs([PAIR, PAIR], "pairs.parquet")


@pytest.mark.parametrize("side", ["prompt", "chosen", "rejected"])
def test_a_pair_with_an_empty_text_is_refused(side: str) -> None:
    with pytest.raises(TrainingError, match="row 1 of pairs.parquet has an empty prompt, chosen or rejected text"):
        check_pairs([PAIR, PAIR | {side: ""}], "pairs.parquet")


def test_a_pair_with_equal_sides_is_refused() -> None:
    sentence = "row 2 of pairs.parquet has the same text as chosen and as rejected ('" + "x" * 60 + "'): remove the row"
    with pytest.raises(TrainingError, match=re.escape(sentence)):
        check_pairs([PAIR, PAIR, PAIR | {"chosen": "x" * 99, "rejected": "x" * 99}], "pairs.parquet")


def test_layers_that_a_policy_lacks_are_named() -> None:
    layers = ["model.layers.0.q_proj", "model.layers.1.q_proj", "model.layers.0.down_proj"]
    check_targets(["q_proj", "down_proj"], layers, "tiny")
    sentence = "preference.targets names qkv, up, which tiny does not have; its linear layers are down_proj, q_proj"
    with pytest.raises(TrainingError, match=re.escape(sentence)):
        check_targets(["qkv", "q_proj", "up"], layers, "tiny")


def test_data_that_does_not_fit_is_counted() -> None:
    assert str(nothing_fits("pairs", "p.parquet", 10, [9, 10, 11])) == (
        "none of the 3 pairs in p.parquet fits into 10 tokens; 2 prompts fill it alone and leave no room for an "
        "answer: raise max_length, or leave out long utterances"
    )
    assert str(nothing_fits("pairs", "p.parquet", 10, [9])) == (
        "none of the 1 pairs in p.parquet fits into 10 tokens: raise max_length, or leave out long utterances"
    )
