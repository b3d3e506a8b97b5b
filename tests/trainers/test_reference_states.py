"""States of the reference are kept by their sequence, in a limited memory."""

from __future__ import annotations

import torch

from trainers.reference_states import MAX_BYTES, StateStore

ONE, TWO = torch.tensor([1, 2, 3]), torch.tensor([1, 2, 4])


def test_states_are_found_by_their_whole_sequence() -> None:
    store, states = StateStore(torch.float32), torch.randn(2, 5)
    assert store.find(ONE) is None
    assert torch.equal(store.keep(ONE, states), states)
    kept = store.find(ONE.clone())
    assert kept is not None and torch.equal(kept, states)
    assert store.find(TWO) is None and store.find(ONE[:2]) is None


def test_states_that_do_not_fit_are_returned_and_not_kept() -> None:
    assert StateStore(torch.float32).max_bytes == MAX_BYTES == 2**30
    store, states = StateStore(torch.float32, max_bytes=70), torch.randn(2, 5)
    assert torch.equal(store.keep(ONE, states), states) and store.used_bytes == 40
    assert torch.equal(store.keep(TWO, states), states) and store.used_bytes == 40
    assert store.find(ONE) is not None and store.find(TWO) is None
    store.keep(TWO, states[:1])
    assert store.find(TWO) is not None and store.used_bytes == 60


def test_states_are_returned_as_they_will_be_found() -> None:
    store, states = StateStore(torch.bfloat16), torch.randn(2, 5)
    now, later = store.keep(ONE, states), store.find(ONE)
    assert later is not None and now.dtype == torch.bfloat16 and torch.equal(now, later) and store.used_bytes == 20


def test_the_memory_of_a_batch_is_not_held_by_one_of_its_sequences() -> None:
    store, batch = StateStore(torch.float32), torch.randn(100, 5)
    store.keep(ONE, batch[:2])
    kept = store.find(ONE)
    assert kept is not None and kept.untyped_storage().nbytes() == store.used_bytes == 40
