"""Batches of similar lengths: nothing is lost, a batch keeps to its limit, and padding is marked."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from factory.models.padded import pad, plan_batches


@given(st.lists(st.integers(1, 300), min_size=1, max_size=40), st.integers(1, 500))
def test_every_utterance_is_in_one_batch_that_keeps_to_the_limit(lengths: list[int], limit: int) -> None:
    batches = list(plan_batches(lengths, limit))
    order = [index for batch in batches for index in batch]
    assert sorted(order) == list(range(len(lengths)))
    assert [lengths[index] for index in order] == sorted(lengths, reverse=True)
    for batch, following in zip(batches, [*batches[1:], []], strict=True):
        longest = lengths[batch[0]]
        assert len(batch) == 1 or len(batch) * longest <= limit
        assert not following or (len(batch) + 1) * longest > limit, "a batch takes as many as it can"


def test_without_a_limit_utterances_are_alone_and_keep_their_order() -> None:
    assert list(plan_batches([3, 9, 1], None)) == [[0], [1], [2]]
    assert not list(plan_batches([], None)) and not list(plan_batches([], 5))


def test_the_mask_marks_the_ends() -> None:
    padded, mask = pad([torch.ones(2, 3), torch.ones(1, 3)])
    assert padded.tolist() == [[[1, 1, 1], [1, 1, 1]], [[1, 1, 1], [0, 0, 0]]]
    assert mask is not None and mask.tolist() == [[True, True], [True, False]]
    padded, mask = pad([torch.ones(2, 3), torch.zeros(2, 3)])
    assert padded.shape == (2, 2, 3) and mask is None
