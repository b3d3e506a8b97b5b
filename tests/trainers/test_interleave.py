"""Text inside speech: which words are drawn, what a sequence becomes, and what is refused."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from factory.recipe.training import InterleaveConfig, SpanConfig
from schemas.datasets import SEQUENCE, Row
from schemas.sequences import UNK, Variant
from tests.trainers.toys import spoken_sequence
from trainers.batches import IGNORED, Batches, Example, Words
from trainers.errors import TrainingError
from trainers.interleave import Interleaver, draw_words, fill_words

COUNTS, SHARES, SEEDS = st.integers(1, 60), st.floats(0, 1), st.integers(0, 2**32)
MEANS = st.floats(0.01, 50)


@pytest.fixture(scope="module")
def tokenizer(tiny: Path) -> PreTrainedTokenizerBase:
    loaded: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(tiny)
    return loaded


def draw(count: int, share: float, mean: float, seed: int) -> list[bool]:
    """Return a draw as a list."""
    chosen: list[bool] = draw_words(count, share, mean, np.random.default_rng(seed)).tolist()
    return chosen


def runs(chosen: list[bool]) -> list[int]:
    """Return the lengths of the runs of chosen words."""
    return [len(list(run)) for is_chosen, run in groupby(chosen) if is_chosen]


@given(COUNTS, SHARES, MEANS, SEEDS)
def test_the_share_of_words_is_reached_whatever_spans_meet(count: int, share: float, mean: float, seed: int) -> None:
    chosen = draw(count, share, mean, seed)
    assert len(chosen) == count
    assert int(share * count) <= sum(chosen) <= min(count, int(share * count) + 1)


@given(COUNTS, MEANS, SEEDS)
def test_a_share_of_0_is_no_word_and_of_1_every_word(count: int, mean: float, seed: int) -> None:
    assert not any(draw(count, 0.0, mean, seed)) and all(draw(count, 1.0, mean, seed))


@given(COUNTS, SHARES, SHARES, MEANS, SEEDS)
def test_a_smaller_share_is_some_of_the_same_words(
    count: int, one: float, other: float, mean: float, seed: int
) -> None:
    fewer, more = draw(count, min(one, other), mean, seed), draw(count, max(one, other), mean, seed)
    assert all(after or not before for before, after in zip(fewer, more, strict=True))


def test_the_share_is_reached_on_average_in_short_utterances_too() -> None:
    drawn = [sum(draw(3, 0.5, 3.0, seed)) for seed in range(2_000)]
    assert set(drawn) == {1, 2} and abs(sum(drawn) / 6_000 - 0.5) < 0.02


def test_spans_have_the_lengths_of_a_poisson_distribution_of_at_least_1() -> None:
    """Few spans in many words meet no other; the mean of max(1, Poisson(3)) is 3 + exp(-3)."""
    chosen = draw(400_000, 0.01, 3.0, 1)
    lengths = runs(chosen)
    assert abs(sum(lengths) / len(lengths) - 3.05) < 0.2
    assert 0.17 < lengths.count(1) / len(lengths) < 0.23  # exp(-3) (1 + 3) = 0.199
    assert set(runs(draw(10_000, 0.001, 1e-9, 1))) == {1}


def test_a_long_span_ends_with_the_words_or_with_the_share() -> None:
    for seed in range(50):
        chosen = draw(40, 0.25, 1e6, seed)
        assert sum(chosen) == 10
        assert len(runs(chosen)) <= 3 and (len(runs(chosen)) == 1 or chosen[-1])


def encode(texts: Any) -> list[int]:
    """Return one negative id for each word, and 0 between words."""
    return [-int(text) for text in texts]


@given(st.lists(st.integers(0, 4), min_size=1, max_size=12), st.data())
def test_a_filled_sequence_has_units_or_text_of_each_word_in_order(units: list[int], data: st.DataObject) -> None:
    chosen = np.array(data.draw(st.lists(st.booleans(), min_size=len(units), max_size=len(units))))
    words = Words(tuple(str(number + 1) for number in range(len(units))), tuple(units))
    spoken = [[100 * (number + 1) + place for place in range(some)] for number, some in enumerate(units)]
    ids = np.array([7, 8, *sum(spoken, []), 9])
    expected = [[-number - 1] if chosen[number] else some for number, some in enumerate(spoken)]
    assert fill_words(ids, 2, words, chosen, encode).tolist() == [7, 8, *sum(expected, []), 9]


def test_neighbouring_words_are_one_text() -> None:
    seen: list[Any] = []
    words = Words(tuple("abcd"), (1, 1, 1, 1))
    fill_words(
        np.arange(6), 1, words, np.array([True, True, False, True]), lambda texts: seen.append(tuple(texts)) or []
    )
    assert seen == [("a", "b"), ("d",)]


def interleaver(
    tokenizer: PreTrainedTokenizerBase, sequences: list[Example], seed: int = 0, **settings: Any
) -> Interleaver:
    """Return an interleaver with these settings."""
    return Interleaver(InterleaveConfig(**settings), sequences, tokenizer, seed)


@pytest.fixture(scope="module")
def sequences(tokenizer: PreTrainedTokenizerBase, spoken: Path) -> list[Example]:
    return Batches(spoken, tokenizer, 128, with_words=True).sequences


def decode(tokenizer: PreTrainedTokenizerBase, ids: Any) -> str:
    """Return ids as the text of tokens."""
    return "".join(tokenizer.convert_ids_to_tokens(list(ids)))


def test_at_0_a_sequence_is_the_same_and_at_1_it_is_text_alone(
    tokenizer: PreTrainedTokenizerBase, sequences: list[Example]
) -> None:
    writer = interleaver(tokenizer, sequences)
    for sequence in sequences:
        assert writer.write(sequence, 0.0, 0) == sequence
        text = writer.write(sequence, 1.0, 0)
        for words, ids in ((sequence.prompt_words, text.prompt), (sequence.completion_words, text.completion)):
            if words is not None:
                expected = tokenizer(f"<|sosp|>{' '.join(words.texts)}<|eosp|>", add_special_tokens=False)["input_ids"]
                assert decode(tokenizer, expected) in decode(tokenizer, ids) and "<|u" not in decode(tokenizer, ids)
        frame = decode(tokenizer, sequence.prompt).partition("<|sosp|>")[0]
        assert decode(tokenizer, text.prompt).startswith(f"{frame}<|sosp|>")
        assert text.labels is text.completion and text.completion[-1] == tokenizer.eos_token_id


def test_another_pair_epoch_side_or_seed_is_another_draw(tokenizer: PreTrainedTokenizerBase, tmp_path: Path) -> None:
    words = ["gare", "train", "où", "neuf", "où"]
    rows = [spoken_sequence(number, words) for number in range(12)]
    pq.write_table(pa.Table.from_pylist(rows, schema=SEQUENCE), tmp_path / "data.parquet")
    same = Batches(tmp_path / "data.parquet", tokenizer, 128, with_words=True).sequences

    def prompts(seed: int = 0, epoch: int = 0) -> list[str]:
        writer = interleaver(tokenizer, same, seed, span=SpanConfig(1.0))
        return [decode(tokenizer, writer.write(sequence, 0.4, epoch).prompt) for sequence in same]

    first = prompts()
    assert first == prompts() and len(set(first)) > 4, "the same words in every utterance would be one prompt"
    assert first != prompts(seed=1) and first != prompts(epoch=1)
    writer = interleaver(tokenizer, same, span=SpanConfig(1.0))
    drawn = [writer.write(sequence, 0.4, 0) for sequence in same]
    in_prompt, in_completion = (
        [["<|u" not in part for part in _by_word(tokenizer, side)] for side in sides]
        for sides in ([one.prompt for one in drawn], [one.completion for one in drawn])
    )
    assert in_prompt != in_completion


def _by_word(tokenizer: PreTrainedTokenizerBase, ids: Any) -> list[str]:
    """Return the speech of ids in pieces of 8 units or one word; every toy word begins with the mark of a space."""
    speech = decode(tokenizer, ids).partition("<|sosp|>")[2].partition("<|eosp|>")[0]
    pieces: list[str] = []
    while speech:
        if speech.startswith("<|u"):
            parts = speech.split("|>", 8)
            pieces.append("|>".join(parts[:8]))
            speech = parts[8]
        else:
            end = min((place for mark in ("▁", "<|u") if (place := speech.find(mark, 1)) > 0), default=len(speech))
            pieces.append(speech[:end])
            speech = speech[end:]
    return pieces


@pytest.mark.parametrize(("sides", "prompt", "completion"), [("source", True, False), ("target", False, True)])
def test_only_the_chosen_side_is_interleaved(
    tokenizer: PreTrainedTokenizerBase, sequences: list[Example], sides: str, prompt: bool, completion: bool
) -> None:
    sequence = next(one for one in sequences if one.task == "com")
    written = interleaver(tokenizer, sequences, sides=sides).write(sequence, 1.0, 0)
    assert (len(written.prompt) < len(sequence.prompt)) == prompt
    assert (len(written.completion) < len(sequence.completion)) == completion


def test_a_mask_is_one_token_a_word_that_is_not_learned(
    tokenizer: PreTrainedTokenizerBase, sequences: list[Example]
) -> None:
    sequence = next(one for one in sequences if one.task == "com" and len(one.prompt_words.texts) > 2)  # type: ignore[union-attr]
    writer = interleaver(tokenizer, sequences, fill="mask")
    written, mask, count = writer.write(sequence, 1.0, 0), tokenizer.get_vocab()[UNK], len(sequence.prompt_words.texts)  # type: ignore[union-attr]
    assert (written.prompt == mask).sum() == (written.completion == mask).sum() == count
    assert written.labels.tolist() == [IGNORED if index == mask else index for index in written.completion]
    assert writer.take_counts() == (2 * count, 2 * count)


def test_words_are_counted_as_they_are_written(tokenizer: PreTrainedTokenizerBase, sequences: list[Example]) -> None:
    writer = interleaver(tokenizer, sequences)
    assert writer.without_words == 6
    words = sum(len(some.texts) for one in sequences for some in (one.prompt_words, one.completion_words) if some)
    for share in (1.0, 0.0):
        for sequence in sequences:
            writer.write(sequence, share, 0)
        assert writer.take_counts() == (words, share * words)
    assert writer.take_counts() == (0, 0)


def test_a_side_that_would_become_longer_stays_units(tokenizer: PreTrainedTokenizerBase, tmp_path: Path) -> None:
    row = spoken_sequence(0, ["train"]) | {"prompt": "<|com|><|fr|><|en|><|sosp|><|u1|><|u2|><|eosp|>"}
    row["prompt_words"] = [{"text": "train", "units": 2}]
    pq.write_table(pa.Table.from_pylist([row], schema=SEQUENCE), tmp_path / "data.parquet")
    [sequence] = Batches(tmp_path / "data.parquet", tokenizer, 128, with_words=True).sequences
    writer = interleaver(tokenizer, [sequence])
    written = writer.write(sequence, 1.0, 0)
    assert written.prompt is sequence.prompt and len(written.completion) < len(sequence.completion)
    assert writer.take_counts() == (2, 1)


def read(tokenizer: PreTrainedTokenizerBase, folder: Path, *rows: Row) -> list[Example]:
    """Write and read rows of SEQUENCE."""
    pq.write_table(pa.Table.from_pylist(list(rows), schema=SEQUENCE), folder / "data.parquet")
    return Batches(folder / "data.parquet", tokenizer, 128, with_words=True).sequences


def test_sequences_without_words_on_a_chosen_side_are_refused(
    tokenizer: PreTrainedTokenizerBase, tmp_path: Path
) -> None:
    asr = read(tokenizer, tmp_path, spoken_sequence(0, ["gare"], Variant.ASR))
    with pytest.raises(
        TrainingError, match=r"none of the 1 sequences has words for sft.interleave \(sides: target\): align"
    ):
        interleaver(tokenizer, asr, sides="target")
    assert interleaver(tokenizer, asr, sides="source").without_words == 0
    plain = read(tokenizer, tmp_path, spoken_sequence(0, ["gare"]) | {"prompt_words": [], "completion_words": None})
    with pytest.raises(TrainingError, match=r"\(section aligner\), or set sft.interleave.units: uniform; then write"):
        interleaver(tokenizer, plain)


def test_a_word_that_the_policy_cannot_write_is_named(tokenizer: PreTrainedTokenizerBase, tmp_path: Path) -> None:
    rows = []
    for number, text in enumerate(("москва", "東京", "gare", "ελλάδα", "მთა")):
        row = spoken_sequence(number, ["gare"])
        row["prompt_words"][0]["text"] = text
        rows.append(row)
    strange = read(tokenizer, tmp_path, *rows)
    with pytest.raises(
        TrainingError, match=r"tiny has no tokens for the words ελλάδα, москва, მთა and 1 more: correct these"
    ):
        interleaver(tokenizer, strange)
    assert interleaver(tokenizer, strange, fill="mask").without_words == 0


def test_a_training_that_ends_before_its_schedule_is_named(
    tokenizer: PreTrainedTokenizerBase, sequences: list[Example]
) -> None:
    writer = interleaver(tokenizer, sequences)
    missing = "; 6 sequences have speech without words"
    assert writer.describe(2_701) == f"interleaves: the share of text goes from 0.9 to 0 in 2,701 steps{missing}"
    assert writer.describe(900) == (
        "interleaves: the share of text goes from 0.9 to 0.7 in 900 steps, not to sft.interleave.end (0): lower every, "
        f"or train longer{missing}"
    )
    constant = interleaver(tokenizer, sequences[:50], start=0.3, step=0.0)
    assert constant.describe(9) == "interleaves: the share of text goes from 0.3 to 0.3 in 9 steps"
