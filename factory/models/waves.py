"""Whether a wave holds enough sound to be judged."""

from __future__ import annotations

import numpy as np

from schemas.audio import SAMPLE_RATE, SILENCE


def find_problem(wave: np.ndarray, min_s: float) -> str | None:
    """Return why a wave (samples,) cannot be judged; None if it can.

    Args:
        wave: floats at 16 kHz.
        min_s: seconds that it takes at least; a shorter one is `too_short`.

    Returns:
        `too_short`, or `silent` for a peak below SILENCE.
    """
    if len(wave) < min_s * SAMPLE_RATE:
        return "too_short"
    return "silent" if float(np.abs(wave).max(initial=0)) < SILENCE else None
