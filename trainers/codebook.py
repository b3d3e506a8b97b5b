"""Codebooks: k-means over the frames of a speech encoder, and how phonetic its units are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from factory.models.codebook import Codebook
from factory.models.speech_encoders import SpeechEncoder


def fit(frames: np.ndarray | Iterable[np.ndarray], k: int, encoder: SpeechEncoder, seed: int = 0) -> Codebook:
    """Cluster frames of `encoder`, one matrix (T, D) or many, into a Codebook of `k` units; the same seed gives the same one.

    Mini-batch k-means with k-means++ as fairseq trains it (batches of 10,000, no reassignment), the best of 5 starts. All frames are held
    in memory (4 D bytes each): give a sample of a large corpus. Raises ValueError for fewer frames than units.
    """
    from sklearn.cluster import MiniBatchKMeans

    matrix = np.asarray(frames if isinstance(frames, np.ndarray) else np.concatenate(list(frames)), np.float32)
    if len(matrix) < k:
        raise ValueError(f"{k} units need at least {k} frames; got {len(matrix)}")
    kmeans = MiniBatchKMeans(
        k, init="k-means++", n_init=5, batch_size=10_000, max_iter=100, max_no_improvement=100, tol=0.0, reassignment_ratio=0.0,
        compute_labels=False, random_state=seed,
    )  # fmt: skip
    kmeans.fit(matrix)
    return Codebook(np.asarray(kmeans.cluster_centers_, np.float32), encoder.model, encoder.layer, encoder.fingerprint)


def nearest_sentence_accuracy(units_a: Sequence[Sequence[int]], units_b: Sequence[Sequence[int]]) -> float:
    """Return the share (0..1) of utterances of voice A whose nearest utterance of voice B says the same sentence.

    `units_a[i]` and `units_b[i]` are one sentence in two voices. Nearest is by edit distance over the longer length. Units that follow
    the speaker instead of the sounds score 1 / sentences. A sentence shares the first place only if it comes first in the list.
    """
    if len(units_a) != len(units_b) or not units_a:
        raise ValueError(f"two voices must say the same sentences, at least one; got {len(units_a)} and {len(units_b)}")
    nearest = unit_distances(units_a, units_b).argmin(axis=1)
    return float((nearest == np.arange(len(units_a))).mean())


def unit_distances(units_a: Sequence[Sequence[int]], units_b: Sequence[Sequence[int]]) -> np.ndarray:
    """Return the edit distances (A, B) of unit sequences, each divided by the longer length: 0 (equal) to 1 (nothing in common)."""
    from rapidfuzz.distance import Levenshtein
    from rapidfuzz.process import cdist

    return cdist(_as_text(units_a), _as_text(units_b), scorer=Levenshtein.normalized_distance, dtype=np.float32)


def _as_text(sequences: Sequence[Sequence[int]]) -> list[str]:
    """Write every unit as one character: the distance is computed fastest on strings. The private planes hold 131,068 units."""
    return ["".join(chr(0xF0000 + unit) for unit in units) for units in sequences]
