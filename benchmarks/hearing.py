"""CPU seconds to hear the shipped test recordings: transcripts by the recognizer, DistilMOS as its package and as here.

    python benchmarks/hearing.py [--utterances 50]

One thread; the better of two runs. The last line is JSON: seconds per utterance, the largest difference of a score, and
how many transcripts are different with another padding or another number of utterances in a batch.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TypeVar

import numpy as np
import pyarrow.parquet as pq

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from factory.corpora.audio import read  # noqa: E402
from factory.models import recognizer, whisper  # noqa: E402
from factory.models.mos import Mos  # noqa: E402
from factory.models.recognizer import Recognizer  # noqa: E402

T = TypeVar("T")
Waves = dict[str, list[np.ndarray]]
"""Language -> waves (samples,) at 16 kHz."""


def read_waves(count: int) -> Waves:
    """Return the first recordings of the test set of each language."""
    files = {lang: ROOT / f"assets/phrasebook/test/{lang}.parquet" for lang in ("fr", "en")}
    return {
        lang: [read(row["audio"]) for row in pq.read_table(file).to_pylist()[:count]] for lang, file in files.items()
    }


def measure(work: Callable[[], T], runs: int = 2) -> tuple[T, float]:
    """Return the result of the work, and its CPU seconds: the better of the runs."""
    times = []
    for _ in range(runs):
        began = time.process_time()
        result = work()
        times.append(time.process_time() - began)
    return result, min(times)


def rate_as_package(mos: Mos, waves: list[np.ndarray]) -> list[float]:
    """Rate waves with the forward pass of the package."""
    import torch

    with torch.inference_mode():
        return [float(mos.model(torch.from_numpy(wave.astype(np.float32))[None])) for wave in waves]


def transcribe(
    waves: Waves, module: ModuleType = whisper, name: str = "", value: object = None
) -> tuple[list[str], float]:
    """Return all transcripts and the CPU seconds; `name` is a constant of the module that gets another value."""
    earlier = getattr(module, name) if name else None
    if name:
        setattr(module, name, value)
    model = Recognizer(model="package:whisper-base", compute_type="int8", beam_size=1)
    try:
        return measure(lambda: [text for lang, some in waves.items() for text in model.transcribe(some, lang)])
    finally:
        if name:
            setattr(module, name, earlier)


def main() -> None:
    """Hear the recordings in every way, and print the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--utterances", type=int, default=50, help="per language (default: %(default)s)")
    waves = read_waves(parser.parse_args().utterances)
    every = [wave for some in waves.values() for wave in some]
    mos = Mos(threads=1)
    package, package_s = measure(lambda: rate_as_package(mos, every))
    ours, ours_s = measure(lambda: mos.rate(every))
    texts, recognizer_s = transcribe(waves)
    others = {}
    for label, module, name, value in (
        ("padding 8 s", whisper, "CONTEXTS_S", (8.0, 20.0, 30.0)),
        ("encoder batch 4", whisper, "_ENCODER_BATCH", 4),
        ("decoder batch 8", recognizer, "_DECODER_BATCH", 8),
    ):
        other, seconds = transcribe(waves, module, name, value)
        differ = sum(one != two for one, two in zip(texts, other, strict=True))
        others[label] = {"seconds": round(seconds / len(every), 3), "differ": differ}
    result = {
        "utterances": len(every),
        "mos_package_s": round(package_s / len(every), 3),
        "mos_s": round(ours_s / len(every), 3),
        "mos_difference": float(np.abs(np.array(package) - np.array(ours)).max()),
        "recognizer_s": round(recognizer_s / len(every), 3),
        "others": others,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
