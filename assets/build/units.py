"""Fit the codebook of the embedded world, and encode its speech as units.

    python -m assets.build.units build/speech measure       # a JSON line for each layer and number of units
    python -m assets.build.units build/speech fit --layer 4 --units 200 --out assets/phrasebook/codebook.safetensors
    python -m assets.build.units build/speech encode --codebook assets/phrasebook/codebook.safetensors --out build/units
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from factory.actors.encoder import Encoder
from factory.corpora.audio import read
from factory.models.codebook import Codebook, assign, deduplicate
from factory.models.whisper_encoder import WhisperEncoder
from factory.recipe.sections import EncoderConfig
from schemas.datasets import UNITS, UTTERANCE
from trainers.codebook import fit, nearest_sentence_accuracy, unit_distances

MODEL = "package:whisper-base"
SPOKEN = UNITS.append(UTTERANCE.field("audio"))
VOICES = {"en": ("dev-en-heart", "dev-en-joe"), "fr": ("dev-fr-siwis", "dev-fr-dora"), "es": ("dev-es-dora", "dev-es-alex")}
"""Two voices per language that read the same sentences."""
FIT_ON = ("sft-en-heart", "sft-en-joe", "sft-fr-siwis")
SAMPLE = 250


def rows_of(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the utterances of a recording, in order."""
    for path in sorted(folder.glob("part-*.parquet")):
        yield from pq.read_table(path).to_pylist()


def frames_of(folder: Path, encoder: WhisperEncoder, limit: int) -> list[np.ndarray]:
    """Return the frames (T, D) of the first utterances of a recording."""
    return [encoder.frames(read(row["audio"])) for row, _ in zip(rows_of(folder), range(limit), strict=False)]


def measure(speech: Path) -> None:
    """Print how well units distinguish sentences across voices, and their rate, for layers 3 to 5 and several sizes."""
    for layer in (4, 5, 3):
        encoder = WhisperEncoder(MODEL, layer)
        training = [frame for name in FIT_ON for frame in frames_of(speech / name, encoder, SAMPLE)]
        voices = {lang: [frames_of(speech / name, encoder, 100) for name in names] for lang, names in VOICES.items()}
        for units in (100, 200, 300, 500):
            centers = fit(training, units, encoder, seed=1).centers
            for lang, (one, two) in voices.items():
                print(json.dumps({"layer": layer, "units": units, "lang": lang, **_agreement(one, two, centers)}), flush=True)


def _agreement(one: list[np.ndarray], two: list[np.ndarray], centers: np.ndarray) -> dict[str, float]:
    same = min(len(one), len(two))
    first, second = ([deduplicate(assign(frames, centers))[0].tolist() for frames in side[:same]] for side in (one, two))
    distances = unit_distances(first, second)
    return {
        "nearest_sentence_accuracy": round((nearest_sentence_accuracy(first, second) + nearest_sentence_accuracy(second, first)) / 2, 3),
        "same_sentence_distance": round(float(np.diag(distances).mean()), 3),
        "other_sentence_distance": round(float(distances[~np.eye(same, dtype=bool)].mean()), 3),
        "units_a_second": round(sum(map(len, first)) / (sum(map(len, one[:same])) / 50), 1),
    }


def fit_codebook(speech: Path, layer: int, units: int, out: Path) -> None:
    """Fit the codebook on the paired recordings; test recordings stay unseen."""
    encoder = WhisperEncoder(MODEL, layer)
    training = [frame for name in FIT_ON for frame in frames_of(speech / name, encoder, 2 * SAMPLE)]
    out.parent.mkdir(parents=True, exist_ok=True)
    fit(training, units, encoder, seed=1).save(out)


def encode(speech: Path, codebook: Path, out: Path) -> None:
    """Write the missing parts of every recording as rows of UNITS with their audio."""
    layer = Codebook.load(codebook).layer
    config = EncoderConfig(kind="whisper", model=MODEL, layer=layer, codebook=str(codebook))
    encoder = Encoder(config, list(VOICES), threads=1)
    for path in sorted(speech.glob("*/part-*.parquet")):
        target = out / path.parent.name / path.name
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            rows = [{"status": "ok", **row} for row in pq.read_table(path).to_pylist()]
            pq.write_table(pa.Table.from_pylist(encoder.process(rows), schema=SPOKEN), target.with_suffix(".tmp"))
            target.with_suffix(".tmp").replace(target)


def main() -> None:
    """Run the action that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("speech", type=Path, help="folder of the recordings")
    parser.add_argument("action", choices=("measure", "fit", "encode"))
    parser.add_argument("--layer", type=int, default=4)
    parser.add_argument("--units", type=int, default=200)
    parser.add_argument("--codebook", type=Path)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    if arguments.action == "measure":
        measure(arguments.speech)
    elif arguments.action == "fit":
        fit_codebook(arguments.speech, arguments.layer, arguments.units, arguments.out)
    else:
        encode(arguments.speech, arguments.codebook, arguments.out)


if __name__ == "__main__":
    main()
