"""The measures of `evaluate.speech_measures`: of a spoken translation, and of the recording that it translates."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from factory.corpora.audio import read
from factory.corpora.base import Audio, AudioError
from factory.storage.manifest import StoreError
from schemas.datasets import Row

Measure = Callable[[np.ndarray, Audio | None], float | str]
"""Takes the wave of a translation and the recording of its source; returns a value, or the reason why there is none."""


class SpeechMeasures:
    """The models of the measures, in the process of the judge."""

    def __init__(self, names: Sequence[str], threads: int) -> None:
        """Load the models of the measures with these names; `threads` are those of a model."""
        loaders = {"dnsmos": _load_dnsmos, "speaker_similarity": _load_similarity}
        self.measures = {name: loaders[name](threads) for name in names}

    def measure(self, wave: np.ndarray | None, recording: Audio | None) -> Row:
        """Return the columns of EVALUATED: a value or null for each measure, and `unmeasured` with the reasons.

        Args:
            wave: the spoken translation (samples,) at 16 kHz; None: nothing was spoken.
            recording: the recording that was translated; None: there is none.
        """
        columns: Row = {"unmeasured": []}
        for name, measure in self.measures.items():
            value = "no_speech" if wave is None else measure(wave, recording)
            if isinstance(value, str):
                columns["unmeasured"].append(f"{name}: {value}")
            columns[name] = None if isinstance(value, str) else value
        return columns


def _load_dnsmos(threads: int) -> Measure:
    from factory.models.dnsmos import Dnsmos

    network = Dnsmos(threads)
    return lambda wave, recording: network.rate([wave])[0]


def _load_similarity(threads: int) -> Measure:
    from factory.models.speaker_similarity import SpeakerSimilarity, compare_voices

    network = SpeakerSimilarity(threads)

    def measure(wave: np.ndarray, recording: Audio | None) -> float | str:
        """Compare the voice of a translation with that of its source."""
        voice, recorded = network.embed(wave), _read(recording)
        if isinstance(voice, str):
            return voice
        source = recorded if isinstance(recorded, str) else network.embed(recorded)
        return f"source_{source}" if isinstance(source, str) else compare_voices(voice, source)

    return measure


def _read(recording: Audio | None) -> np.ndarray | str:
    """Return the wave (samples,) of a recording; or the reason why there is none, which costs no translation."""
    if recording is None:
        return "not_recorded"
    try:
        return read(recording)
    except AudioError as error:
        return error.slug
    except StoreError:
        return "unreadable"
