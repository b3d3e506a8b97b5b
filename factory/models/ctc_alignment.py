"""Forced alignment with CTC: which frames write which token of a known text.

A path of CTC (Graves et al., 2006) gives each frame a token or the blank. It writes a text if the text is left when
repeated tokens are merged and blanks are removed. torchaudio's `forced_align` finds the best such path too, and is
missing in torchaudio's builds for CPUs; other libraries for it need a compiler.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def count_needed_frames(tokens: Sequence[int]) -> int:
    """Return the fewest frames that can write these tokens: one for each, and a blank between two equal ones."""
    return len(tokens) + sum(one == other for one, other in zip(tokens, tokens[1:], strict=False))


def align_tokens(log_probs: np.ndarray, tokens: Sequence[int], blank: int) -> list[tuple[int, int]]:
    """Return the frames of each token on the most probable path that writes the tokens.

    The states of a path are blank, token, blank, token, ..., blank. From one frame to the next, a path stays, advances
    by one state, or passes over a blank between two different tokens.

    Args:
        log_probs: Log-probabilities (frames, vocabulary) of a CTC model.
        tokens: The token ids of the text; at least one.
        blank: The id of the blank.

    Returns:
        The first frame and the frame after the last one, for each token.

    Raises:
        ValueError: The frames cannot write so many tokens.
    """
    if len(log_probs) < (needed := count_needed_frames(tokens)):
        raise ValueError(f"{needed} frames are needed to write the text, and there are {len(log_probs)}")
    states = np.full(2 * len(tokens) + 1, blank)
    states[1::2] = tokens
    jumps = np.zeros(len(states), bool)  # states that can follow the one two before them
    jumps[3::2] = states[3::2] != states[1:-2:2]
    scores = np.full(len(states), -np.inf)
    scores[:2] = log_probs[0, states[:2]]
    steps = np.zeros((len(log_probs), len(states)), np.int8)  # by how many states each frame advanced
    for frame in range(1, len(log_probs)):
        stay, next_state = scores, np.concatenate([[-np.inf], scores[:-1]])
        jump = np.where(jumps, np.concatenate([[-np.inf, -np.inf], scores[:-2]]), -np.inf)
        before = np.stack([stay, next_state, jump])
        steps[frame] = before.argmax(0)
        scores = before.max(0) + log_probs[frame, states]
    return _trace(steps, len(states) - 1 if scores[-1] >= scores[-2] else len(states) - 2)


def _trace(steps: np.ndarray, last: int) -> list[tuple[int, int]]:
    """Return the frames of each token on the path that ends in the state `last`."""
    path = np.empty(len(steps), int)
    for frame in range(len(steps) - 1, -1, -1):
        path[frame] = last
        last -= steps[frame, last]
    tokens = range(1, steps.shape[1], 2)
    return [(int(np.searchsorted(path, state)), int(np.searchsorted(path, state, "right"))) for state in tokens]
