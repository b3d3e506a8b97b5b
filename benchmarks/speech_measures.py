"""What DNSMOS and speaker similarity say about speech whose voice and noise are known, and what they cost.

    python benchmarks/speech_measures.py [--utterances 12]

Voices: the first test recordings of each voice of the embedded world, and those of the main English voice resynthesised
from their units. Similarity is the mean over all pairs of two sets, of two different recordings. Noise: the recordings
of the main English voice, clean and with white noise. Means have 95 % bootstrap intervals over recordings; a pair
counts for its first recording. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from factory.corpora.audio import read  # noqa: E402
from factory.metrics import bootstrap  # noqa: E402
from factory.models.dnsmos import Dnsmos  # noqa: E402
from factory.models.speaker_similarity import SpeakerSimilarity, compare_voices  # noqa: E402
from factory.models.voice import Voice  # noqa: E402

VOICES = {"heart": "en", "joe": "en", "siwis": "fr"}
MAIN = "heart"
SNR_DB = (20, 10, 0)
"""Decibels by which speech is louder than the noise."""


def read_voices(utterances: int) -> dict[str, list[np.ndarray]]:
    """Return the first recordings of each voice, and those of MAIN resynthesised from the units of the corpus."""
    waves = {}
    for name, lang in VOICES.items():
        rows = pq.read_table(ROOT / f"assets/phrasebook/test/{lang}.parquet").to_pylist()
        waves[name] = [read(row["audio"]) for row in rows if row["speaker"] == name][:utterances]
    rows = pq.read_table(ROOT / "assets/phrasebook/dev.parquet").to_pylist()
    units = [row["src_units"] for row in rows if row["src_lang"] == "en"][:utterances]
    return waves | {"vocoder en": Voice(str(ROOT / "assets/phrasebook/vocoder-en")).speak(units)}


def add_noise(wave: np.ndarray, snr_db: float, seed: int) -> np.ndarray:
    """Return a wave (samples,) with white noise, clipped to [-1, 1]."""
    noise = np.random.default_rng(seed).normal(0, 1, len(wave)) * np.sqrt(np.mean(wave**2)) * 10 ** (-snr_db / 20)
    return np.clip(wave + noise, -1, 1).astype(np.float32)


def estimate(values: Sequence[float]) -> list[float]:
    """Return a mean with its interval."""
    return [round(value, 3) for value in bootstrap.estimate(bootstrap.mean(values))]


def compare_sets(one: Sequence[np.ndarray], other: Sequence[np.ndarray]) -> list[float]:
    """Return the mean similarity of the embeddings of two sets, without pairs of an embedding and itself."""
    means = [[compare_voices(first, second) for second in other if second is not first] for first in one]
    return estimate([float(np.mean(values)) for values in means])


def main() -> None:
    """Measure, and print the summary as the last line."""
    parser = argparse.ArgumentParser(
        prog="speech_measures", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--utterances", type=int, default=12, help="recordings per voice (default: %(default)s)")
    waves = read_voices(parser.parse_args().utterances)
    similarity, dnsmos = SpeakerSimilarity(), Dnsmos()
    similarity.embed(waves[MAIN][0])  # the first call loads libraries
    began = time.process_time()
    embeddings = {
        name: [one for one in map(similarity.embed, group) if isinstance(one, np.ndarray)]
        for name, group in waves.items()
    }
    embedded_s = time.process_time() - began
    names = list(embeddings)
    pairs = {
        f"{one}, {other}": compare_sets(embeddings[one], embeddings[other])
        for index, one in enumerate(names)
        for other in names[index:]
    }
    print(json.dumps(pairs), flush=True)
    noisy = {f"{snr} dB": [add_noise(wave, snr, seed) for seed, wave in enumerate(waves[MAIN])] for snr in SNR_DB}
    began, scores = time.process_time(), {}
    for name, group in ({"clean": waves[MAIN]} | noisy | {"vocoder en": waves["vocoder en"]}).items():
        scores[name] = estimate([score for score in dnsmos.rate(group) if isinstance(score, float)])
        print(name, scores[name], flush=True)
    rated = len(scores) * len(waves[MAIN])
    cost = {
        "embedding": round(embedded_s / sum(map(len, waves.values())), 3),
        "dnsmos": round((time.process_time() - began) / rated, 2),
        "seconds": round(float(np.mean([len(wave) for wave in waves[MAIN]])) / 16_000, 2),
    }
    measured = {name: len(group) for name, group in embeddings.items()}
    print(json.dumps({"embedded": measured, "similarity": pairs, "dnsmos": scores, "cpu_s": cost}))


if __name__ == "__main__":
    main()
