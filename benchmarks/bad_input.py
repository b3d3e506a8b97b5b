"""Gives the factory hundreds of bad recordings and files among good ones: every one must end with its reason, every good one must be ok.

    python benchmarks/bad_input.py               # the last line is JSON

Recordings go through the tokenize pass as in a round (corpus reader, guarded Encoder, store) on a local Ray; the
network behind the units is a toy, since none of them is about it. Files go through the code that opens them in a round.
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
from typing import Any

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
from factory.passes.execute import map_actor, run_plan  # noqa: E402
from factory.passes.progress import Clock  # noqa: E402
from factory.recipe.resources import PoolConfig, ResourcesConfig  # noqa: E402
from factory.runtime.local_ray import start_here  # noqa: E402
from factory.storage.dataset import DatasetDir  # noqa: E402
from factory.storage.reasons import slug  # noqa: E402
from schemas.datasets import OK, UNITS, UTTERANCE  # noqa: E402


class ToyNetwork:
    """Stands for a speech encoder and its codebook: the energy of a frame of 20 ms is its hidden state."""

    centers = np.linspace(0, 1, 40, dtype=np.float32)[:, None]

    def frames(self, wave: np.ndarray) -> np.ndarray:
        """Return (T, 1) for a wave of (N,)."""
        whole = wave[: len(wave) // 320 * 320].reshape(-1, 320)
        return np.abs(whole).mean(axis=1, keepdims=True).astype(np.float32)


class ToyEncoder(Encoder):
    """The encoder actor, with a toy for its network."""

    def __init__(self) -> None:
        self.encoder = self.codebook = ToyNetwork()
        self.langs, self.min_s, self.max_s = ["fr", "en"], 0.1, 30.0


def corpus(each: int, good: int, seed: int, folder: Path) -> dict[str, tuple[str, frozenset[str]]]:
    """Write good and bad rows in a random order as Parquet; returns kind and allowed slugs of each bad row, by its id."""
    chance = random.Random(seed)
    rows = [{"utt_id": f"good-{n}", "lang": "fr", "audio": _good(chance)} for n in range(good)]
    expected = {}
    for name, kind in bad_rows.KINDS.items():
        for number in range(each):
            row = {"utt_id": f"{name} {number}", "lang": "fr", **kind.make(chance, folder)}
            rows.append(row)
            expected[f"{name} {number}"] = (name, kind.slugs)
    first, *others = rows  # good-0 stays first: a later row of that id is the one that is twice
    chance.shuffle(others)
    (folder / "corpus").mkdir()
    lenient = pa.schema([field.with_nullable(True) for field in UTTERANCE])  # others' files hold nulls
    pq.write_table(
        pa.Table.from_pylist([first, *others], schema=lenient), folder / "corpus/all.parquet", row_group_size=64
    )
    return expected


def _good(chance: random.Random) -> dict[str, Any]:
    return {"bytes": bad_rows.encoded(bad_rows.tone(chance), chance.choice(["WAV", "FLAC"])), "path": None}


def tokenize(folder: Path) -> list[dict[str, Any]]:
    """Run the pass; returns its rows."""
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


def judge(rows: list[dict[str, Any]], expected: dict[str, tuple[str, frozenset[str]]], good: int) -> dict[str, int]:
    """Count good rows that are ok, and bad ones that ended with one of their reasons."""
    found = Counter[str]()
    for row in rows:
        if row["utt_id"] in expected:
            name, slugs = expected[row["utt_id"]]
            right = row["status"] != OK and slug(row["reason"]) in slugs
            found["bad_with_reason"] += right
            if not right:
                print(f"{name}: {row['status']} {row['reason']}")
        elif row["utt_id"].startswith(("good-0#", "no_id#")):
            found["bad_with_reason"] += row["status"] != OK and slug(row["reason"]) in {"duplicate_id", "no_id"}
        else:
            found["good_ok"] += row["status"] == OK
    return {"rows": len(rows), "good": good, **found}


def main() -> None:
    """Run both halves and print the summary as the last line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--each", type=int, default=20, help="bad recordings of each kind (default: %(default)s)")
    parser.add_argument("--files", type=int, default=6, help="bad files of each kind (default: %(default)s)")
    parser.add_argument("--good", type=int, default=200, help="good recordings (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    asked, began, chance = parser.parse_args(), time.monotonic(), random.Random(1)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)  # where a pickle that is opened would leave its mark
        expected = corpus(asked.each, asked.good, asked.seed, Path(folder))
        told = judge(tokenize(Path(folder)), expected, asked.good)
        refused = [
            bad_files.refusal(kind, chance, Path(folder, f"files-{number}"))
            for kind in bad_files.KINDS
            for number in range(asked.files)
        ]
        unpickled = len(list(Path(folder).rglob("unpickled")))
    summary = {
        "bad_inputs": len(expected) + len(refused),
        "kinds": len(bad_rows.KINDS) + len(bad_files.KINDS),
        "with_reason": told["bad_with_reason"] + sum(sentence is not None for sentence in refused),
        **{name: told.get(name, 0) for name in ("good", "good_ok")},
        "unpickled": unpickled,
        "seconds": round(time.monotonic() - began, 1),
        "seed": asked.seed,
    }
    print(json.dumps(summary))


if __name__ == "__main__":
    import bad_input  # by its own name, so that actors' processes find the toys

    bad_input.main()
