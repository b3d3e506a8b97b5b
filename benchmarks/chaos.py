"""Kill a round at random moments, and compare its rows with an undisturbed round: lost, repeated or changed ones.

    python benchmarks/chaos.py --kills 50            # continues an earlier call with the same --place
    python benchmarks/chaos.py --bookkeeping 100000  # the cost of resuming with 100,000 rows

A local cluster of two Ray nodes runs the light round of `chaos_world.py`. A seeded schedule kills (SIGKILL) the driver,
an actor's worker, the process of its model, a training worker, the second node, or the whole cluster. The recovery ends
when the round makes progress again; only then comes the next kill. A driver that has ended is started again with the
same command. When the round is finished, its rows are compared with the undisturbed round, and the next round starts.
The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

os.environ.update(
    RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER="0", RAY_USAGE_STATS_ENABLED="0", RAY_raylet_start_wait_time_s="180"
)
os.environ.update(
    RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO="0", HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false", OMP_NUM_THREADS="1"
)
# Ray would take a dead cluster that is noted in /tmp/ray for a running one
os.environ["RAY_TMPDIR"] = tempfile.mkdtemp(prefix="rt")
ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]
os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "benchmarks")])

import chaos_world  # noqa: E402
import psutil  # noqa: E402
from chaos_nodes import TwoNodes, kill  # noqa: E402

from schemas.datasets import Row  # noqa: E402

KINDS = {"driver": 4, "actor": 3, "model": 3, "node": 2, "training": 6, "cluster": 1}
"""Kinds of kills, and their weights."""
HANG_S = 240.0
"""A round without progress for this time hangs."""
LONGEST_GAP_S = 6.0
"""Longest time between a recovery and the next kill."""
WORKER_S = 40.0
"""Longest wait for a training worker, which needs seconds to start."""
PROCESSES = {"actor": "ray::MapWorker", "model": "factory.actors.child", "training": "ray::training"}
"""Kinds of kills that end one process, and a word of its command line."""


class Chaos:
    """Rounds in the folder `place`, and their kills. The file `place/kills.jsonl` lists every event."""

    def __init__(self, place: Path, seed: int, kills: int) -> None:
        self.place, self.kills = place, kills
        self.log = place / "kills.jsonl"
        self.events = [json.loads(line) for line in self.log.read_text().splitlines()] if self.log.exists() else []
        self.pending: tuple[float, dict[str, str]] | None = None
        self.chance = random.Random(f"{seed} {len(self.events)}")
        chaos_world.write_shared(place / "shared")
        self.nodes = TwoNodes()

    def run(self) -> None:
        """Finish an undisturbed round, then disturbed rounds until there are enough kills."""
        calm = self.place / "calm"
        self._finish(calm, disturbed=False)
        while self.count_kills() < self.kills or (self._current() / "driver.log").exists():
            folder = self._current()
            self._finish(folder, disturbed=True)
            self.note("round", folder=folder.name, **compare(calm, folder))

    def count_kills(self) -> int:
        """Return the number of kills."""
        return sum(event["what"] == "kill" for event in self.events)

    def note(self, what: str, **details: Any) -> None:
        """Append an event to the file, and print it."""
        self.events.append({"what": what, **details})
        with self.log.open("a") as stream:
            stream.write(json.dumps(self.events[-1]) + "\n")
        print(json.dumps(self.events[-1]), flush=True)

    def _current(self) -> Path:
        return self.place / f"disturbed-{sum(event['what'] == 'round' for event in self.events):02d}"

    def _finish(self, folder: Path, disturbed: bool) -> None:
        """Start the driver until it succeeds; kill meanwhile if `disturbed`."""
        folder.mkdir(exist_ok=True)
        start = time.monotonic()
        while not (folder / "done").exists():
            self.driver = self._drive(folder)
            code = self._disturb(folder) if disturbed else self.driver.wait()
            if code == 0:
                (folder / "done").touch()
            elif code > 0:
                log = (folder / "driver.log").read_text().strip()
                self.note("error", folder=folder.name, code=code, log=log[-300:])
        print(f"{folder.name} finished after {time.monotonic() - start:.0f} s", flush=True)

    def _drive(self, folder: Path) -> subprocess.Popen[bytes]:
        command = [sys.executable, str(ROOT / "benchmarks/chaos_world.py"), str(folder)]
        with (folder / "driver.log").open("ab") as log:
            return subprocess.Popen(
                command, env=os.environ | {"RAY_ADDRESS": self.nodes.address}, stdout=log, stderr=log
            )

    def _disturb(self, folder: Path) -> int:
        """Kill from time to time while the driver runs, and return its exit code."""
        while (code := self.driver.poll()) is None:
            if self.count_kills() >= self.kills:
                return self.driver.wait(timeout=900)
            if not self._wait_for_progress(folder):
                self.note("hang", folder=folder.name)
                self.driver.kill()
                return self.driver.wait()
            if self.driver.poll() is None:
                self._note_recovery(folder)
                time.sleep(self.chance.uniform(0, LONGEST_GAP_S))
                self._kill_next(folder)
        if code == 0:
            self._note_recovery(folder)
        return code

    def _note_recovery(self, folder: Path) -> None:
        """Note the last kill with its recovery, which has just ended."""
        if self.pending is not None:
            when, details = self.pending
            self.note("kill", folder=folder.name, **details, recovery_s=round(time.monotonic() - when, 1))
            self.pending = None

    def _wait_for_progress(self, folder: Path) -> bool:
        """Wait for a new file (part, manifest, checkpoint) or the driver's end; return False after HANG_S seconds."""
        before, end = find_progress(folder), time.monotonic() + HANG_S
        while time.monotonic() < end:
            if find_progress(folder) != before or self.driver.poll() is not None:
                return True
            time.sleep(0.1)
        return False

    def _kill_next(self, folder: Path) -> None:
        """Draw kinds of kills until one of them succeeds."""
        kinds = self.chance.choices(list(KINDS), weights=list(KINDS.values()), k=20)
        stage = (folder / "driver.log").read_text().rpartition("● ")[2].split("\n")[0]
        for kind in kinds:
            if self._kill(kind, stage):
                self.pending = (time.monotonic(), {"kind": kind, "stage": stage})
                return

    def _kill(self, kind: str, stage: str) -> bool:
        """Kill a process of a kind, and return True; return False if there is no such process."""
        if kind == "driver":
            kill(psutil.Process(self.driver.pid))
            self.driver.wait()
        elif kind == "node":
            self.nodes.kill_second()
        elif kind == "cluster":
            self.nodes.kill()
            self.driver.wait()
            self.nodes.start()
        elif victims := self._find_victims(kind, stage):
            kill(self.chance.choice(victims))
        else:
            return False
        return True

    def _find_victims(self, kind: str, stage: str) -> list[psutil.Process]:
        """Return the processes of a kind; in the training, wait for its workers."""
        end = time.monotonic() + (WORKER_S if kind == "training" and stage == "train" else 0)
        while not (victims := self.nodes.find(PROCESSES[kind])) and self.driver.poll() is None:
            if time.monotonic() >= end:
                break
            time.sleep(0.1)
        return victims


def find_progress(folder: Path) -> set[tuple[str, int]]:
    """Return the files that show progress (parts, manifests, checkpoints, the policy), each with its time in ns."""
    names = ("part-*.parquet", "_manifest.json", "trainer_state.json", "config.json")
    found = set()
    for parent, _, files in os.walk(folder):  # unlike rglob, it accepts that a folder is deleted meanwhile
        for path in (Path(parent, file) for file in files if any(fnmatch(file, name) for name in names)):
            with suppress(FileNotFoundError):
                found.add((str(path), path.stat().st_mtime_ns))
    return found


def compare(calm: Path, disturbed: Path) -> dict[str, int]:
    """Count the rows that the disturbed round lost, repeated or changed, over all passes."""
    counts = {"lost": 0, "duplicated": 0, "changed": 0}
    expected, actual = chaos_world.read_rows(calm), chaos_world.read_rows(disturbed)
    for name in expected:
        ids = [row[0] for row in actual[name]]
        counts["lost"] += len({row[0] for row in expected[name]} - set(ids))
        counts["duplicated"] += len(ids) - len(set(ids))
        counts["changed"] += len(set(actual[name]) - set(expected[name]))
    counts["lost"] += not (disturbed / "round-1/policy/config.json").exists()
    return counts


def summarise(events: list[Row], seed: int) -> Row:
    """Return the totals of all events."""
    kills = [event for event in events if event["what"] == "kill"]
    rounds = [event for event in events if event["what"] == "round"]
    return {
        "kills": len(kills),
        "rounds": len(rounds),
        **{name: sum(event[name] for event in rounds) for name in ("lost", "duplicated", "changed")},
        "longest_recovery_s": max((event["recovery_s"] for event in kills), default=0.0),
        "hangs": sum(event["what"] == "hang" for event in events),
        "errors": sum(event["what"] == "error" for event in events),
        "by_kind": {kind: sum(event["kind"] == kind for event in kills) for kind in KINDS},
        "seed": seed,
    }


def main() -> None:
    """Kill, and print the summary as the last line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--kills", type=int, default=50, help="kills, including those of earlier calls (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--place", type=Path, default=Path("build/chaos"), help="folder of the rounds (default: %(default)s)"
    )
    parser.add_argument("--bookkeeping", type=int, metavar="ROWS", help="measure the cost of resuming, without kills")
    options = parser.parse_args()
    if options.bookkeeping:
        from chaos_bookkeeping import measure

        print(json.dumps(measure(options.bookkeeping)))
        return
    options.place.mkdir(parents=True, exist_ok=True)
    chaos = Chaos(options.place.absolute(), options.seed, options.kills)
    try:
        chaos.run()
    finally:
        chaos.nodes.kill()
        shutil.rmtree(os.environ["RAY_TMPDIR"], ignore_errors=True)
    print(json.dumps(summarise(chaos.events, options.seed)))


if __name__ == "__main__":
    main()
