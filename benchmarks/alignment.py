"""How far words are from where they are spoken: pairs of utterances, joined, whose boundary is known.

    python benchmarks/alignment.py [--joins 60] [--kind whisper] [--model package:whisper-base] [--seed 1]

A join is two utterances of one voice from the embedded corpora (phrasebook and station, mono and test), without a pause
or with one of 100 ms, in turn. Silence is first cut off both: all before and after the blocks of 5 ms that are less
than 40 dB softer than the loudest one. 100 ms of silence are added at both ends. Two errors are counted per join: the
end of the last word of the first utterance, and the start of the first word of the second one, against these edges.
The constants of `factory.models.word_edges` were chosen on other joins than those of seed 1. The last line is JSON:
median and 90th percentile of the errors per language, in milliseconds.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow.parquet as pq

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from factory.corpora.audio import read  # noqa: E402
from factory.models.aligners import Aligner, load_aligner  # noqa: E402
from schemas.audio import SAMPLE_RATE  # noqa: E402
from schemas.datasets import Row  # noqa: E402

BLOCK = SAMPLE_RATE // 200
EDGE_DB = -40.0
LEAD = SAMPLE_RATE // 10
PAUSES_S = (0.0, 0.1)
FRAME_MS = 20
PARTS = ("mono", "test")


class Join(NamedTuple):
    """Two joined utterances: their words, the wave, and the milliseconds where the first ends and the second starts."""

    texts: tuple[str, str]
    wave: np.ndarray
    end_ms: float
    start_ms: float


def trim(wave: np.ndarray) -> np.ndarray:
    """Return the wave (samples,) without the soft blocks at both ends."""
    blocks = wave[: len(wave) // BLOCK * BLOCK].reshape(-1, BLOCK)
    levels = np.sqrt((blocks**2).mean(1))
    loud = np.flatnonzero(levels > levels.max() * 10 ** (EDGE_DB / 20))
    return wave[loud[0] * BLOCK : (loud[-1] + 1) * BLOCK]


def read_rows(lang: str) -> list[Row]:
    """Return the utterances of a language in the embedded corpora."""
    files = [ROOT / f"assets/{world}/{part}/{lang}.parquet" for world in ("phrasebook", "station") for part in PARTS]
    columns = ["text", "speaker", "audio"]
    return [row for file in files for row in pq.read_table(file, columns=columns).to_pylist()]


def make_joins(lang: str, count: int, seed: int) -> Iterator[Join]:
    """Yield joins of utterances that the seed chooses."""
    rows, rng = read_rows(lang), np.random.default_rng(seed)
    voices = defaultdict(list)
    for row in rows:
        voices[row["speaker"]].append(row)
    for number, index in enumerate(rng.permutation(len(rows))[:count]):
        first, others = rows[index], voices[rows[index]["speaker"]]
        second, pause = others[rng.integers(len(others))], PAUSES_S[number % len(PAUSES_S)]
        one, two = (trim(read(row["audio"])) for row in (first, second))
        silence = np.zeros(LEAD, np.float32)
        wave = np.concatenate([silence, one, np.zeros(int(pause * SAMPLE_RATE), np.float32), two, silence])
        end_ms = 1000 * (LEAD + len(one)) / SAMPLE_RATE
        yield Join((first["text"], second["text"]), wave, end_ms, end_ms + 1000 * pause)


def measure(aligner: Aligner, lang: str, joins: Iterator[Join]) -> dict[str, float]:
    """Return the errors of an aligner on the joins of a language, and the CPU seconds per second of audio."""
    errors, seconds, began = [], 0.0, time.process_time()
    for join in joins:
        words, last = aligner.align(join.wave, " ".join(join.texts), lang), len(join.texts[0].split())
        errors += [FRAME_MS * words[last - 1].end - join.end_ms, FRAME_MS * words[last].start - join.start_ms]
        seconds += len(join.wave) / SAMPLE_RATE
    sizes = np.abs(errors)
    return {
        "joins": len(errors) // 2,
        "median_ms": round(float(np.median(sizes)), 1),
        "p90_ms": round(float(np.percentile(sizes, 90)), 1),
        "largest_ms": round(float(sizes.max()), 1),
        "bias_ms": round(float(np.mean(errors)), 1),
        "cpu_s_per_s": round((time.process_time() - began) / seconds, 3),
    }


def main() -> None:
    """Measure both languages, and print the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--joins", type=int, default=60, help="per language (default: %(default)s)")
    parser.add_argument("--kind", default="whisper", help="of aligner: whisper or ctc (default: %(default)s)")
    parser.add_argument("--model", default="package:whisper-base", help="weights (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="which utterances are joined (default: %(default)s)")
    options = parser.parse_args()
    aligner = load_aligner(options.kind, options.model, threads=1)
    result = {}
    for lang in ("fr", "en"):
        result[lang] = measure(aligner, lang, make_joins(lang, options.joins, options.seed))
        print(lang, result[lang], flush=True)
    print(json.dumps({"kind": options.kind, "model": options.model, "seed": options.seed, **result}))


if __name__ == "__main__":
    main()
