"""The one format of sound in this code base: mono float waves at one sample rate."""

from __future__ import annotations

SAMPLE_RATE = 16_000
"""Samples per second of every wave. The encoders, the recognizer and the MOS model were trained at this rate."""
SILENCE = 1e-3
"""A wave with a lower peak is silent: -60 dBFS."""
