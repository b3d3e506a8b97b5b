"""Codebooks: k-means over the frames of a speech encoder, and a measure of how phonetic the units are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from factory.models.codebook import Codebook
from factory.models.speech_encoder import SpeechEncoder
from trainers.errors import TrainingError

Floats = NDArray[np.float32]
_FIRST_CHARACTER = 0xF0000
"""The private planes of Unicode begin here; they have room for 131,068 units."""


def fit(frames: Floats | Iterable[Floats], k: int, encoder: SpeechEncoder, seed: int = 0) -> Codebook:
    """Cluster the frames of an encoder into a codebook.

    Mini-batch k-means with k-means++ as in fairseq (examples/hubert/simple_kmeans/learn_kmeans.py: batches of 10,000,
    no reassignment), the best of 5 starts. All frames are held in memory, 4 D bytes each: give a sample of a large
    corpus.

    Args:
        frames: one matrix (T, D) or several.
        k: the number of units.
        encoder: the encoder of the frames, which the codebook names.
        seed: the same frames and seed give the same codebook.

    Raises:
        TrainingError: there are fewer frames than units.
    """
    from sklearn.cluster import MiniBatchKMeans

    matrix = np.asarray(frames if isinstance(frames, np.ndarray) else np.concatenate(list(frames)), np.float32)
    if len(matrix) < k:
        raise TrainingError(f"{k} units need at least {k} frames; got {len(matrix)}: give more speech, or fewer units")
    kmeans = MiniBatchKMeans(
        k,
        init="k-means++",
        n_init=5,
        batch_size=10_000,
        max_iter=100,
        max_no_improvement=100,
        tol=0.0,
        reassignment_ratio=0.0,
        compute_labels=False,
        random_state=seed,
    )
    kmeans.fit(matrix)
    return Codebook(np.asarray(kmeans.cluster_centers_, np.float32), encoder.model, encoder.layer, encoder.fingerprint)


def nearest_sentence_accuracy(units_a: Sequence[Sequence[int]], units_b: Sequence[Sequence[int]]) -> float:
    """Return the share (0..1) of utterances of voice A whose nearest utterance of voice B is the same sentence.

    Units that follow the speaker instead of the sounds score about 1 / number of sentences.

    Args:
        units_a: the units of each sentence in voice A.
        units_b: the units of the same sentences in voice B, in the same order. The nearest one has the smallest
            `unit_distances`; among equals it is the first one.
    """
    if len(units_a) != len(units_b) or not units_a:
        raise ValueError(f"two voices need the same sentences, at least one; got {len(units_a)} and {len(units_b)}")
    nearest = unit_distances(units_a, units_b).argmin(axis=1)
    return float((nearest == np.arange(len(units_a))).mean())


def unit_distances(units_a: Sequence[Sequence[int]], units_b: Sequence[Sequence[int]]) -> Floats:
    """Return the edit distances (A, B) of unit sequences, each divided by the longer length.

    0 is the distance of equal sequences, 1 that of sequences with nothing in common.

    Args:
        units_a: A sequences.
        units_b: B sequences.
    """
    from rapidfuzz.distance import Levenshtein
    from rapidfuzz.process import cdist

    return cdist(_as_texts(units_a), _as_texts(units_b), scorer=Levenshtein.normalized_distance, dtype=np.float32)


def _as_texts(sequences: Sequence[Sequence[int]]) -> list[str]:
    """Write every unit as one character, because the distance of texts is computed fastest."""
    return ["".join(chr(_FIRST_CHARACTER + unit) for unit in units) for units in sequences]
