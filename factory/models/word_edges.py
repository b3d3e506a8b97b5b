"""The edges of words next to pauses: an aligner gives boundaries between words, and the level of the sound the rest.

Whisper's boundary between two words is right within some 100 ms, and a pause there belongs to one of the words. Near
such a boundary the softest moment is searched for, and if that is silence, the silence belongs to no word.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from schemas.audio import SAMPLE_RATE

STEP = SAMPLE_RATE // 100
"""Samples of a step, 10 ms: the resolution of boundaries and levels."""
REACH = 6
"""Steps that a boundary may move, to either side."""
DB_PER_STEP = 1.0
"""How much softer (dB) a moment must be for each step that it is farther from the boundary."""
SILENCE_DB = -35.0
"""Level (dB) of silence, against the loud moments of the wave (their 95th percentile)."""
_FLOOR_DB = -60.0


def measure_levels(wave: np.ndarray) -> np.ndarray:
    """Return the level (dB) of each whole step of a wave (samples,) at 16 kHz; its 95th percentile is 0 dB."""
    steps = wave[: len(wave) // STEP * STEP].reshape(-1, STEP).astype(np.float64)
    levels = 10 * np.log10((steps**2).mean(1) + 1e-10)
    floored = np.maximum(levels - np.percentile(levels, 95), _FLOOR_DB)
    smooth: np.ndarray = np.convolve(np.pad(floored, 1, "edge"), [0.25, 0.5, 0.25], "valid")
    return smooth


def find_edges(levels: np.ndarray, boundaries: Sequence[int]) -> list[tuple[int, int]]:
    """Return the start and the end of each word in steps; a pause at a boundary belongs to no word.

    Args:
        levels: Level (dB) of each step, as `measure_levels` returns them; one or more.
        boundaries: Steps at which the first word begins, each next word begins, and the last one ends; ascending.
    """
    moved = np.maximum.accumulate([_find_softest(levels, boundary) for boundary in boundaries])
    limits = [0, *moved, len(levels)]
    pauses = [
        _find_silence(levels, *map(int, some)) for some in zip(limits[:-2], limits[1:-1], limits[2:], strict=True)
    ]
    words = []
    for (_, start), (end, _), first, last in zip(pauses, pauses[1:], moved, moved[1:], strict=False):
        words.append((start, end) if start < end else (int(first), int(last)))
    return words


def _find_softest(levels: np.ndarray, boundary: int) -> int:
    """Return the softest step near a boundary; a near one counts as softer than a far one."""
    with_end = np.append(levels, levels[-1])  # a word may end with the wave
    steps = np.arange(max(0, boundary - REACH), min(len(levels), boundary + REACH) + 1)
    return int(steps[np.argmin(with_end[steps] + DB_PER_STEP * np.abs(steps - boundary))])


def _find_silence(levels: np.ndarray, lower: int, step: int, upper: int) -> tuple[int, int]:
    """Return the silence around a step: its first step and the step after it; the step twice if there is none."""
    if levels[min(step, len(levels) - 1)] >= SILENCE_DB:
        return step, step
    first, last = step, step
    while first > lower and levels[first - 1] < SILENCE_DB:
        first -= 1
    while last < upper and levels[last] < SILENCE_DB:
        last += 1
    return first, last
