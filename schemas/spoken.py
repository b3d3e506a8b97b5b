"""The training sequences of a policy that hears continuous speech."""

from __future__ import annotations

import pyarrow as pa

from schemas.datasets import UTTERANCE

SPOKEN_SEQUENCE = pa.schema(
    [
        pa.field("sequence_id", pa.string(), nullable=False),
        pa.field("task", pa.string(), nullable=False),
        pa.field("prompt", pa.string(), nullable=False),
        pa.field("completion", pa.string(), nullable=False),
        UTTERANCE.field("audio"),
    ]
)
"""A training sequence of a policy that hears continuous speech.

- `sequence_id`: task and id of the utterance or pair.
- `task`: asr, s2t or mt.
- `prompt`: the prompt, with an empty speech segment `<|sosp|><|eosp|>` where the recording stands.
- `completion`: what the policy learns to answer.
- `audio`: the recording, as in UTTERANCE; null in parallel text.
"""
