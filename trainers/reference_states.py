"""The hidden states of the reference, which never change: a sequence's are computed once, while there is memory."""

from __future__ import annotations

import torch
from torch import Tensor

MAX_BYTES = 2**30
"""Most memory of the states that a worker keeps: 1 GiB. A pair with 100 tokens of speech takes 51 kB in bf16 where a
state has 256 numbers, and 410 kB where it has 2,048. What does not fit is computed each time.
"""


class StateStore:
    """Keeps states in memory, by the tokens of their sequence."""

    def __init__(self, dtype: torch.dtype, max_bytes: int = MAX_BYTES) -> None:
        """Keep states as numbers of this type, in at most this memory."""
        self.dtype, self.max_bytes, self.used_bytes = dtype, max_bytes, 0
        self._states: dict[bytes, Tensor] = {}

    def find(self, ids: Tensor) -> Tensor | None:
        """Return the states (kept, D) of a sequence of token ids (T,), on the device of the ids; None if not kept."""
        states = self._states.get(_key(ids))
        return None if states is None else states.to(ids.device)

    def keep(self, ids: Tensor, states: Tensor) -> Tensor:
        """Keep the states (kept, D) of a sequence of token ids (T,) if there is room, and return them as kept."""
        states = states.to(self.dtype)
        size = states.numel() * states.element_size()
        if self.used_bytes + size <= self.max_bytes:
            self._states[_key(ids)] = states.cpu().clone()  # not a view, which would hold its whole batch
            self.used_bytes += size
        return states


def _key(ids: Tensor) -> bytes:
    return bytes(ids.cpu().numpy().tobytes())
