"""Compare masked batches of a speech encoder with one utterance at a time: speed, and the share of units that differ.

    python benchmarks/encoder_batches.py [--kind whisper] [--model package:whisper-base] [--layer 4] [--codebook FILE]

The utterances are the shipped test recordings, on the GPU of this process, or on one thread of the CPU. Without
--codebook, 200 frames are the centroids. The last line is JSON: the frames, how many have another unit in a batch, the
largest difference of a hidden state as a share of the utterance's largest, and the seconds of both ways (of the clock
on a GPU, of the CPU without one; the better of two runs).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from factory.corpora.audio import read  # noqa: E402
from factory.models.codebook import Codebook, assign  # noqa: E402
from factory.models.speech_encoder import BATCH_FRAMES, SpeechEncoder  # noqa: E402
from factory.models.speech_encoders import load_speech_encoder  # noqa: E402

Frames = list[np.ndarray]


def read_waves(count: int) -> list[np.ndarray]:
    """Return `count` test recordings of each language, as waves (samples,)."""
    files = [ROOT / f"assets/phrasebook/test/{lang}.parquet" for lang in ("fr", "en")]
    return [read(row["audio"]) for file in files for row in pq.read_table(file).slice(0, count).to_pylist()]


def encode(encoder: SpeechEncoder, waves: list[np.ndarray], batch_frames: int | None) -> tuple[Frames, float]:
    """Return the frames of each wave, and the seconds of the better of two runs."""
    clock = time.process_time if encoder.device.type == "cpu" else time.perf_counter
    encoder.batch_frames, times = batch_frames, []
    for _ in range(2):
        began = clock()
        frames = {index: states.cpu().numpy() for index, states in encoder.encode(waves)}
        times.append(clock() - began)
    return [frames[index] for index in range(len(waves))], min(times)


def main() -> None:
    """Encode the recordings in both ways, and print the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", default="whisper")
    parser.add_argument("--model", default="package:whisper-base")
    parser.add_argument("--layer", type=int, default=4)
    parser.add_argument("--codebook", type=Path)
    parser.add_argument("--utterances", type=int, default=100, help="per language (default: %(default)s)")
    parser.add_argument("--batch-frames", type=int, default=BATCH_FRAMES, help="default: %(default)s")
    options = parser.parse_args()
    torch.set_num_threads(1)
    encoder, waves = load_speech_encoder(options.kind, options.model, options.layer), read_waves(options.utterances)
    alone, alone_s = encode(encoder, waves, None)
    together, together_s = encode(encoder, waves, options.batch_frames)
    frames = np.concatenate(alone)
    centers = Codebook.load(options.codebook, encoder).centers if options.codebook else frames[:: len(frames) // 200]
    pairs = list(zip(alone, together, strict=True))
    result = {
        "device": str(encoder.device),
        "frames": len(frames),
        "differ": sum(int((assign(one, centers) != assign(other, centers)).sum()) for one, other in pairs),
        "difference": float(max(np.abs(one - other).max() / np.abs(one).max() for one, other in pairs)),
        "alone_s": round(alone_s, 2),
        "batches_s": round(together_s, 2),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
