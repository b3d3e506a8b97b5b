"""Speech encoders by kind and name: the networks whose hidden states units are made of (`factory.models.codebook`).

encoder = load_speech_encoder("whisper", "package:whisper-base", layer=4)
for index, frames in encoder.encode(waves):
    ...
"""

from __future__ import annotations

from collections.abc import Callable

from factory.models.mel_encoder import W2vBertEncoder
from factory.models.speech_encoder import SpeechEncoder
from factory.models.wave_encoder import HubertEncoder, Wav2Vec2Encoder, WavLMEncoder
from factory.models.weights import WeightsError
from factory.models.whisper_encoder import WhisperEncoder

KINDS: dict[str, Callable[[str, int], SpeechEncoder]] = {
    "whisper": WhisperEncoder,
    "hubert": HubertEncoder,
    "wav2vec2": Wav2Vec2Encoder,
    "wavlm": WavLMEncoder,
    "wav2vec2-bert": W2vBertEncoder,
}
"""The values of `encoder.kind`; those after `whisper` are model types of transformers."""


def load_speech_encoder(kind: str, model: str, layer: int) -> SpeechEncoder:
    """Load an encoder.

    Args:
        kind: a key of KINDS.
        model: A name of weights for `factory.models.weights.resolve`.
        layer: The layer that returns the hidden states, from 1.

    Raises:
        WeightsError: The kind is not known, the weights cannot be found or used, or they have no such layer.
    """
    if kind not in KINDS:
        raise WeightsError(f"encoder.kind must be one of {', '.join(KINDS)}; got {kind!r}")
    return KINDS[kind](model, layer)
