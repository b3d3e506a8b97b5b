"""Batches of utterances of similar lengths, padded to the longest of each batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch


def plan_batches(lengths: Sequence[int], limit: int | None) -> Iterator[list[int]]:
    """Divide utterances into batches, from the longest to the shortest, so that little is padded.

    Args:
        lengths: the length of each utterance.
        limit: the largest size of a batch, padding included: its number of utterances times the length of the longest.
            A longer utterance is a batch of its own. None: one utterance per batch, in the order of the utterances.

    Yields:
        The indices of the utterances of a batch.
    """
    if limit is None:
        yield from ([index] for index in range(len(lengths)))
        return
    order = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    while order:
        count = max(1, limit // max(1, lengths[order[0]]))
        yield order[:count]
        order = order[count:]


def pad(items: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Stack items (T_i, C) into one tensor (B, T, C), with zeros behind the shorter ones.

    Returns:
        The tensor, and a mask (B, T) that is True in an item and False behind its end; None if all are equally long.
    """
    lengths = [len(item) for item in items]
    if len(set(lengths)) == 1:
        return torch.stack(list(items)), None
    padded = torch.nn.utils.rnn.pad_sequence(list(items), batch_first=True)
    ends = torch.tensor(lengths, device=padded.device)
    return padded, torch.arange(padded.shape[1], device=padded.device) < ends[:, None]
