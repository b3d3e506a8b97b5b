"""Batches: what a plan contains, what is learned, what noise replaces, and what does not fit."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from transformers import AutoTokenizer

from schemas.datasets import SEQUENCE
from schemas.sequences import EOS, Variant, parse
from tests.trainers.toys import spoken_sequence
from trainers.batches import IGNORED, WIDTH_STEP, Batches
from trainers.errors import TrainingError


@pytest.fixture(scope="module")
def batches(tiny: Path, sequences: Path) -> Batches:
    """The 120 sequences, encoded."""
    return Batches(sequences, AutoTokenizer.from_pretrained(tiny), 128)


def test_a_plan_has_every_sequence_once_within_the_budget(batches: Batches) -> None:
    plan = batches.plan(512, seed=1)
    assert sorted(index for indices in plan for index in indices) == list(range(120))
    sizes = [batches.batch(indices).ids.numel() for indices in plan]
    assert max(sizes) <= 512
    assert sum(sizes) / sum(sequence.length for sequence in batches.sequences) < 1.5


def test_a_plan_depends_on_seed_and_epoch_alone(batches: Batches) -> None:
    plan = batches.plan(512, seed=1)
    assert plan == batches.plan(512, seed=1)
    assert plan != batches.plan(512, seed=1, epoch=1)
    assert plan != batches.plan(512, seed=2)


def test_batches_are_as_large_as_the_budget_allows(batches: Batches) -> None:
    """A batch of exactly the budget is allowed; almost no two neighbours in length could share a batch."""
    widest = max(batches.batch([index]).ids.shape[1] for index in range(120))
    plan = batches.plan(3 * widest, seed=1)
    assert max(batches.batch(indices).ids.numel() for indices in plan) == 3 * widest
    by_length = sorted(plan, key=lambda indices: sum(batches.sequences[i].length for i in indices) / len(indices))
    joined = [batches.batch([*one, other[0]]).ids.numel() for one, other in zip(by_length, by_length[1:])]
    assert sum(size > 3 * widest for size in joined) >= len(joined) - 1


def test_a_sequence_longer_than_the_budget_is_a_batch_of_its_own(batches: Batches) -> None:
    plan = batches.plan(1, seed=1)
    assert sorted(index for [index] in plan) == list(range(120))


def test_the_order_of_batches_is_not_that_of_lengths(batches: Batches) -> None:
    widths = [batches.batch(indices).ids.shape[1] for indices in batches.plan(512, seed=1)]
    assert widths != sorted(widths) and len(set(widths)) > 2


def test_a_weight_is_how_often_an_epoch_has_a_sequence(batches: Batches) -> None:
    plans = [batches.plan(512, 1, epoch, {"asr": 0.5}) for epoch in range(50)]
    drawn = Counter(batches.sequences[index].task for plan in plans for indices in plan for index in indices)
    assert drawn["com"] == 80 * 50
    assert 0.45 < drawn["asr"] / (40 * 50) < 0.55
    thrice = Counter(index for indices in batches.plan(512, 1, 0, {"asr": 3, "com": 0}) for index in indices)
    assert {batches.sequences[index].task for index in thrice} == {"asr"}
    assert set(thrice.values()) == {3} and len(thrice) == 40
    assert batches.plan(512, 1, 0, {"asr": 0, "com": 0}) == []


def test_a_batch_learns_completions_with_one_end_token(batches: Batches, tiny: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny)
    ids, labels = batches.batch([0, 1, 2])
    assert IGNORED == -100  # the label that torch's cross entropy and TRL ignore
    assert ids.shape == labels.shape and ids.shape[1] % WIDTH_STEP == 0
    assert ids.shape[1] - max(sequence.length for sequence in batches.sequences[:3]) < WIDTH_STEP
    for row, sequence in enumerate(batches.sequences[:3]):
        assert ids[row, : sequence.length].tolist() == [*sequence.prompt, *sequence.completion]
        assert labels[row][labels[row] != IGNORED].tolist() == sequence.completion.tolist()
        assert (labels[row, : len(sequence.prompt)] == IGNORED).all()
        assert (ids[row, sequence.length :] == tokenizer.pad_token_id).all()
        text = tokenizer.decode(sequence.completion)
        assert text.endswith(EOS) and text.count(EOS) == 1
        assert parse(Variant(sequence.task), text.removesuffix(EOS)).reason == "ok"


def test_noise_replaces_units_of_the_prompt_and_nothing_else(batches: Batches, tiny: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny)
    clean, noisy = (batches.batch(range(120), noise, seed=(7,)) for noise in (0.0, 0.5))
    units = torch.tensor(tokenizer.convert_tokens_to_ids([f"<|u{unit}|>" for unit in range(24)]))
    source = torch.isin(clean.ids, units) & (clean.labels == IGNORED)
    changed = clean.ids != noisy.ids
    assert not (changed & ~source).any()
    assert 0.4 < changed[source].float().mean() < 0.55  # a unit may be replaced by itself
    assert torch.isin(noisy.ids[changed], units).all() and set(noisy.ids[changed].tolist()) == set(units.tolist())
    assert torch.equal(clean.labels, noisy.labels)
    assert torch.equal(noisy.ids, batches.batch(range(120), 0.5, seed=(7,)).ids)
    assert not torch.equal(noisy.ids, batches.batch(range(120), 0.5, seed=(8,)).ids)


def test_long_sequences_are_counted_and_left_out(tiny: Path, sequences: Path, batches: Batches) -> None:
    tokenizer, longest = AutoTokenizer.from_pretrained(tiny), batches.sequences[0].length
    shorter = Batches(sequences, tokenizer, longest)
    assert shorter.too_long == sum(sequence.length > longest for sequence in batches.sequences) > 0
    assert max(sequence.length for sequence in shorter.sequences) == longest
    assert batches.too_long == 0
    with pytest.raises(TrainingError, match="none of the 120 sequences in .* fits into 5 tokens; 120 prompts fill it"):
        Batches(sequences, tokenizer, 5)


@pytest.mark.parametrize("side", ["prompt", "completion"])
def test_tokens_that_the_policy_lacks_are_named(tiny: Path, tmp_path: Path, side: str) -> None:
    row = {"task": "com", "prompt": "<|com|><|fr|>", "completion": "gare"} | {side: "<|sosp|><|u400|><|eosp|>"}
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "data.parquet")
    with pytest.raises(TrainingError, match=r"has no token <\|u400\|>: its vocabulary was made for another codebook"):
        Batches(tmp_path / "data.parquet", AutoTokenizer.from_pretrained(tiny), 128)


def test_words_are_read_with_the_pair_that_they_belong_to(tiny: Path, spoken: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny)
    with_words, without = (Batches(spoken, tokenizer, 128, with_words=words) for words in (True, False))
    rows = pq.read_table(spoken).to_pylist()
    for row, sequence, plain in zip(rows, with_words.sequences, without.sequences, strict=True):
        assert sequence.pair_id == row["sequence_id"].removeprefix(f"{row['task']}-") and plain.pair_id == ""
        for words, expected in (
            (sequence.prompt_words, row["prompt_words"]),
            (sequence.completion_words, row["completion_words"]),
        ):
            if expected is None:
                assert words is None
            else:
                assert words is not None and words.texts == tuple(word["text"] for word in expected)
                assert words.units == (8,) * len(expected)
        assert plain.prompt_words is plain.completion_words is None
        assert (sequence.prompt.tolist(), sequence.labels.tolist()) == (plain.prompt.tolist(), plain.labels.tolist())


@pytest.mark.parametrize("units", [(8, 7), (8, 9), (-1, 17)])
def test_words_that_do_not_have_the_units_of_their_speech_are_refused(
    tiny: Path, tmp_path: Path, units: tuple[int, int]
) -> None:
    row = spoken_sequence(1, ["gare", "train"])
    for word, number in zip(row["completion_words"], units, strict=True):
        word["units"] = number
    pq.write_table(pa.Table.from_pylist([row], schema=SEQUENCE), tmp_path / "data.parquet")
    sentence = (
        rf"the completion of com-pair 1 has 16 units, but its words \(completion_words\) have {units[0]} \+ {units[1]}:"
    )
    with pytest.raises(TrainingError, match=sentence):
        Batches(tmp_path / "data.parquet", AutoTokenizer.from_pretrained(tiny), 128, with_words=True)
