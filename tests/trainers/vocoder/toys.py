"""A toy voice: its network, its settings, and its speech."""

from __future__ import annotations

from typing import Any

import numpy as np

from trainers.vocoder.state import Budget, TrainingConfig

NETWORK: dict[str, Any] = {
    "num_embeddings": 4,
    "embedding_dim": 16,
    "upsample_rates": [5],
    "upsample_kernel_sizes": [11],
    "upsample_initial_channel": 64,
    "resblock_kernel_sizes": [3],
    "resblock_dilation_sizes": [[1, 3]],
    "filter_n_fft": 256,
    "filter_hop": 64,
    "code_hop_size": 320,
    "sampling_rate": 16_000,
    "dur_predictor_params": {"encoder_embed_dim": 16, "var_pred_hidden_dim": 32, "var_pred_dropout": 0.0},
    "pitch_predictor_params": {"dim": 16, "dropout": 0.0},
}
CONFIG = TrainingConfig(Budget(steps=4), Budget(steps=2), batch=2, crop=16)
TONES = (110.0, 150.0, 200.0, 260.0)
"""The pitch of each unit in Hz."""


def buzz(units: list[int], durations: list[int]) -> np.ndarray:
    """Return a buzz with the pitch of its units, without jumps of the phase."""
    f0 = np.repeat([TONES[unit] for unit in units], np.array(durations) * 320)
    phase = 2 * np.pi * np.cumsum(f0) / 16_000
    harmonics = np.stack([np.cos(k * phase) / k for k in range(1, 10)])
    return (harmonics.sum(0) / 6).astype(np.float32)
