"""Feed the factory hundreds of bad recordings and files: each must get its reason, and good recordings must be ok.

    python benchmarks/bad_input.py               # the last line is JSON

Recordings go through the tokenize pass of a round (corpus reader, guarded Encoder, storage) on a local Ray. The speech
encoder is a toy, because no kind of bad input concerns it. Files go through the code that opens them in a round.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import time
from collections import Counter
from functools import partial
from pathlib import Path
from typing import cast

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]
os.environ.update(
    PYTHONPATH=os.pathsep.join(sys.path[:2]), RAY_USAGE_STATS_ENABLED="0", RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO="0"
)
os.environ.update(RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER="0")

import bad_files  # noqa: E402
import bad_rows  # noqa: E402
import numpy as np  # noqa: E402
import pyarrow as pa  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402

from factory.actors.encoder import Encoder  # noqa: E402
from factory.corpora.opening import open_corpus  # noqa: E402
from factory.models.codebook import Codebook  # noqa: E402
from factory.models.speech_encoder import SpeechEncoder  # noqa: E402
from factory.passes.execute import map_actor, run_plan  # noqa: E402
from factory.passes.progress import Clock  # noqa: E402
from factory.recipe.resources import PoolConfig, ResourcesConfig  # noqa: E402
from factory.recipe.sections import EncoderConfig  # noqa: E402
from factory.runtime.local_ray import start_here  # noqa: E402
from factory.storage.dataset import DatasetDir  # noqa: E402
from factory.storage.reasons import slug  # noqa: E402
from schemas.datasets import OK, UNITS, UTTERANCE, Row  # noqa: E402


class ToyNetwork:
    """A speech encoder and its codebook: the hidden state of a frame of 20 ms is its mean amplitude."""

    centers = np.linspace(0, 1, 40, dtype=np.float32)[:, None]

    def frames(self, wave: np.ndarray) -> np.ndarray:
        """Return the hidden states, of shape (T, 1), of a wave of shape (N,) at 16 kHz."""
        frames = wave[: len(wave) // 320 * 320].reshape(-1, 320)
        return np.abs(frames).mean(axis=1, keepdims=True).astype(np.float32)


class ToyEncoder(Encoder):
    """The encoder actor with a toy network."""

    def __init__(self) -> None:
        network = ToyNetwork()
        self.encoder, self.codebook = cast(SpeechEncoder, network), cast(Codebook, network)
        self.config, self.langs = EncoderConfig(), ["fr", "en"]


def write_corpus(per_kind: int, good: int, seed: int, folder: Path) -> dict[str, tuple[str, frozenset[str]]]:
    """Write good and bad rows in a random order as Parquet.

    Args:
        per_kind: bad rows of each kind.
        good: good rows.
        seed: of all random numbers.
        folder: where the folder `corpus` is made.

    Returns:
        The kind and the expected slugs of each bad row, by its id.
    """
    chance, corpus = random.Random(seed), folder / "corpus"
    corpus.mkdir()
    rows = [{"utt_id": f"good-{n}", "lang": "fr", "audio": _make_good(chance)} for n in range(good)]
    expected = {}
    for name, kind in bad_rows.KINDS.items():
        for number in range(per_kind):
            row = {"utt_id": f"{name} {number}", "lang": "fr", **kind.make(chance, corpus)}
            rows.append(row)
            expected[f"{name} {number}"] = (name, kind.slugs)
    first, *others = rows  # good-0 stays first: later rows with its id are the repeated ones
    chance.shuffle(others)
    lenient = pa.schema([field.with_nullable(True) for field in UTTERANCE])  # files of other tools can hold nulls
    pq.write_table(pa.Table.from_pylist([first, *others], schema=lenient), corpus / "all.parquet", row_group_size=64)
    return expected


def _make_good(chance: random.Random) -> Row:
    return {"bytes": bad_rows.encode(bad_rows.tone(chance), chance.choice(["WAV", "FLAC"])), "path": None}


def tokenize(folder: Path) -> list[Row]:
    """Tokenize the corpus in `folder`, and return the rows."""
    import ray

    start_here(
        num_cpus=3, include_dashboard=False, log_to_driver=False, logging_level="ERROR", object_store_memory=200 * 2**20
    )
    ray.data.DataContext.get_current().enable_progress_bars = False
    speech, out = open_corpus(str(folder / "corpus")).load_speech(), DatasetDir(str(folder / "units"), UNITS)
    out.start({"stage": "tokenize"})
    resources = ResourcesConfig(encoder=PoolConfig(row_timeout_s=60))
    rows = map_actor(out.unfinished(speech.rows), partial(ToyEncoder), resources.encoder)
    run_plan(rows, out, speech.ids, Clock(str(folder)), "tokenize", resources, ["encoder"])
    ray.shutdown()
    return out.rows().to_pylist()


def count_rows(rows: list[Row], expected: dict[str, tuple[str, frozenset[str]]]) -> Counter[str]:
    """Count the good rows that are ok, and the bad rows with an expected reason."""
    counts = Counter[str]()
    for row in rows:
        if row["utt_id"] in expected:
            name, slugs = expected[row["utt_id"]]
            matches = row["status"] != OK and slug(row["reason"]) in slugs
            counts["bad_with_reason"] += matches
            if not matches:
                print(f"{name}: {row['status']} {row['reason']}")
        elif row["utt_id"].startswith(("good-0#", "no_id#")):
            counts["bad_with_reason"] += row["status"] != OK and slug(row["reason"]) in {"duplicate_id", "no_id"}
        else:
            counts["good_ok"] += row["status"] == OK
    return counts


def main() -> None:
    """Measure, and print the summary as the last line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--each", type=int, default=20, help="bad recordings of each kind (default: %(default)s)")
    parser.add_argument("--files", type=int, default=6, help="bad files of each kind (default: %(default)s)")
    parser.add_argument("--good", type=int, default=200, help="good recordings (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    options, start, chance = parser.parse_args(), time.monotonic(), random.Random(1)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)  # where an unpickled Trap creates its file
        expected = write_corpus(options.each, options.good, options.seed, Path(folder))
        counts = count_rows(tokenize(Path(folder)), expected)
        messages = [
            bad_files.open_bad_file(kind, chance, Path(folder, f"files-{number}"))
            for kind in bad_files.KINDS
            for number in range(options.files)
        ]
        unpickled = len(list(Path(folder).rglob("unpickled")))
    summary = {
        "bad_inputs": len(expected) + len(messages),
        "kinds": len(bad_rows.KINDS) + len(bad_files.KINDS),
        "with_reason": counts["bad_with_reason"] + sum(message is not None for message in messages),
        "good": options.good,
        "good_ok": counts["good_ok"],
        "unpickled": unpickled,
        "seconds": round(time.monotonic() - start, 1),
        "seed": options.seed,
    }
    print(json.dumps(summary))


if __name__ == "__main__":
    import bad_input  # not as `__main__`: the processes of actors import the toys by name

    bad_input.main()
