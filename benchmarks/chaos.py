"""Kills a round at random moments, again and again, and looks whether anything is lost, twice or different from an undisturbed run.

    python benchmarks/chaos.py --kills 50            # goes on where an earlier call in the same --place stopped
    python benchmarks/chaos.py --bookkeeping 100000  # what resuming costs at so many light rows

A local cluster of two Ray nodes runs the light round of `chaos_world.py`. By a seeded schedule these are killed
(SIGKILL): the driver, an actor's worker, the process in which its model lives, a training worker, the second node, the
whole cluster. After a kill the next one waits until the round has moved again, which is the recovery; a driver that
ended is started again with the same command. When the round is finished, its rows are compared with those of the
undisturbed one, and the next begins. The last line is JSON.
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
os.environ["RAY_TMPDIR"] = tempfile.mkdtemp(
    prefix="rt"
)  # a dead cluster that is noted in /tmp/ray would be taken for a living one
ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]
os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "benchmarks")])

import chaos_world  # noqa: E402
import psutil  # noqa: E402

KINDS = {"driver": 4, "actor": 3, "model": 3, "node": 2, "training": 6, "cluster": 1}
"""What is killed, and how often beside the others."""
HANG_S = 240.0
LONGEST_GAP_S = 6.0
WORKER_S = 40.0


class TwoNodes:
    """A Ray cluster of a head and a second node on this machine, listening on loopback."""

    def __init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Start both nodes."""
        from ray.cluster_utils import Cluster

        small = {"num_cpus": 3, "object_store_memory": 120 * 2**20, "include_dashboard": False}
        self.cluster = Cluster(initialize_head=True, head_node_args=small)
        self.second = self.cluster.add_node(num_cpus=3, object_store_memory=120 * 2**20)

    @property
    def address(self) -> str:
        """What RAY_ADDRESS must be."""
        return str(self.cluster.address)

    def kill_second(self) -> None:
        """Kill the second node, and bring up another."""
        self.cluster.remove_node(self.second, allow_graceful=False)
        self.second = self.cluster.add_node(num_cpus=3, object_store_memory=120 * 2**20)

    def kill(self) -> None:
        """Kill every process of the cluster, as when the machine goes down."""
        family = psutil.Process().children(recursive=True)
        for process in family:
            _kill(process)
        while any(_lives(process) for process in family):  # not waited for: that would take the driver's exit code away
            time.sleep(0.1)

    def processes(self, word: str) -> list[psutil.Process]:
        """Return our cluster's processes whose command line has this word."""
        return [process for process in psutil.Process().children(recursive=True) if word in _command(process)]


class Chaos:
    """Rounds in folders of `place`, and the kills that they got; everything is noted in `place/kills.jsonl`."""

    def __init__(self, place: Path, seed: int, kills: int) -> None:
        self.place, self.seed, self.wanted = place, seed, kills
        self.log = place / "kills.jsonl"
        self.notes = [json.loads(line) for line in self.log.read_text().splitlines()] if self.log.exists() else []
        self.pending: tuple[float, dict[str, str]] | None = None
        self.chance = random.Random(f"{seed} {len(self.notes)}")
        chaos_world.make(place / "shared")
        self.nodes = TwoNodes()

    def run(self) -> None:
        """Finish an undisturbed round, then disturbed ones until there were enough kills and the last one is finished."""
        calm = self.place / "calm"
        self._finish(calm, disturbed=False)
        while self.killed() < self.wanted or (self._current() / "driver.log").exists():
            folder = self._current()
            self._finish(folder, disturbed=True)
            self.note("round", folder=folder.name, **compare(calm, folder))

    def killed(self) -> int:
        """How many kills there were."""
        return sum(note["what"] == "kill" for note in self.notes)

    def note(self, what: str, **told: Any) -> None:
        """Keep what happened, and print it."""
        self.notes.append({"what": what, **told})
        with self.log.open("a") as stream:
            stream.write(json.dumps(self.notes[-1]) + "\n")
        print(json.dumps(self.notes[-1]), flush=True)

    def _current(self) -> Path:
        return self.place / f"disturbed-{sum(note['what'] == 'round' for note in self.notes):02d}"

    def _finish(self, folder: Path, disturbed: bool) -> None:
        """Start the driver until it ends well; meanwhile, kill."""
        folder.mkdir(exist_ok=True)
        began = time.monotonic()
        while not (folder / "done").exists():
            self.driver = self._drive(folder)
            code = self._disturb(folder) if disturbed else self.driver.wait()
            if code == 0:
                (folder / "done").touch()
            elif code > 0:
                self.note(
                    "error", folder=folder.name, code=code, told=(folder / "driver.log").read_text().strip()[-300:]
                )
        print(f"{folder.name} finished after {time.monotonic() - began:.0f} s", flush=True)

    def _drive(self, folder: Path) -> subprocess.Popen[bytes]:
        command = [sys.executable, str(ROOT / "benchmarks/chaos_world.py"), str(folder)]
        with (folder / "driver.log").open("ab") as log:
            return subprocess.Popen(
                command, env=os.environ | {"RAY_ADDRESS": self.nodes.address}, stdout=log, stderr=log
            )

    def _disturb(self, folder: Path) -> int:
        """Kill now and then while the driver runs; returns its exit code."""
        while (code := self.driver.poll()) is None:
            if self.killed() >= self.wanted:
                return self.driver.wait(timeout=900)
            if not self._until_it_moves(folder):
                self.note("hang", folder=folder.name)
                self.driver.kill()
                return self.driver.wait()
            if self.driver.poll() is None:
                self._recovered(folder)
                time.sleep(self.chance.uniform(0, LONGEST_GAP_S))
                self._kill_something(folder)
        if code == 0:
            self._recovered(folder)
        return code

    def _recovered(self, folder: Path) -> None:
        """Note the last kill, which the round has now got over."""
        if self.pending is not None:
            when, told = self.pending
            self.note("kill", folder=folder.name, **told, recovery_s=round(time.monotonic() - when, 1))
            self.pending = None

    def _until_it_moves(self, folder: Path) -> bool:
        """Wait for a new file (part, manifest, checkpoint) or the driver's end; False when nothing moves."""
        before, end = traces(folder), time.monotonic() + HANG_S
        while time.monotonic() < end:
            if traces(folder) != before or self.driver.poll() is not None:
                return True
            time.sleep(0.1)
        return False

    def _kill_something(self, folder: Path) -> None:
        kinds = self.chance.choices(list(KINDS), weights=list(KINDS.values()), k=20)
        stage = (folder / "driver.log").read_text().rpartition("● ")[2].split("\n")[0]
        for kind in kinds:
            if self._kill(kind, stage):
                self.pending = (time.monotonic(), {"kind": kind, "stage": stage})
                return

    def _kill(self, kind: str, stage: str) -> bool:
        """Kill one of a kind; False when there is none. A training's worker is waited for: it needs seconds to be there."""
        if kind == "driver":
            _kill(psutil.Process(self.driver.pid))
            self.driver.wait()
        elif kind == "node":
            self.nodes.kill_second()
        elif kind == "cluster":
            self.nodes.kill()
            self.driver.wait()
            self.nodes.start()
        else:
            word = {"actor": "ray::MapWorker", "model": "factory.actors.child", "training": "ray::RayTrainWorker"}[kind]
            victims = self.nodes.processes(word)
            end = time.monotonic() + WORKER_S
            while (
                kind == "training"
                and stage == "train"
                and not victims
                and self.driver.poll() is None
                and time.monotonic() < end
            ):
                time.sleep(0.1)
                victims = self.nodes.processes(word)
            if not victims:
                return False
            _kill(self.chance.choice(victims))
        return True


def traces(folder: Path) -> set[tuple[str, int]]:
    """Return what a round has left on the disk that counts as progress: finished parts, manifests, checkpoints, the policy."""
    names = ("part-*.parquet", "_manifest.json", "trainer_state.json", "config.json")
    found = set()
    for place, _, files in os.walk(folder):  # which, unlike rglob, does not mind a folder that goes while it looks
        for path in (Path(place, file) for file in files if any(fnmatch(file, name) for name in names)):
            with suppress(FileNotFoundError):
                found.add((str(path), path.stat().st_mtime_ns))
    return found


def compare(calm: Path, disturbed: Path) -> dict[str, int]:
    """Count the rows that are lost, twice or different in the disturbed round, over all passes."""
    counts = {"lost": 0, "duplicated": 0, "changed": 0}
    one, two = chaos_world.outcome(calm), chaos_world.outcome(disturbed)
    for name in one:
        ids = [row[0] for row in two[name]]
        counts["lost"] += len({row[0] for row in one[name]} - set(ids))
        counts["duplicated"] += len(ids) - len(set(ids))
        counts["changed"] += len(set(two[name]) - set(one[name]))
    counts["lost"] += not (disturbed / "round-1/policy/config.json").exists()
    return counts


def summary(notes: list[dict[str, Any]], seed: int) -> dict[str, Any]:
    """Add up the notes."""
    kills = [note for note in notes if note["what"] == "kill"]
    rounds = [note for note in notes if note["what"] == "round"]
    return {
        "kills": len(kills),
        "rounds": len(rounds),
        **{name: sum(note[name] for note in rounds) for name in ("lost", "duplicated", "changed")},
        "longest_recovery_s": max((note["recovery_s"] for note in kills), default=0.0),
        "hangs": sum(note["what"] == "hang" for note in notes),
        "errors": sum(note["what"] == "error" for note in notes),
        "by_kind": {kind: sum(note["kind"] == kind for note in kills) for kind in KINDS},
        "seed": seed,
    }


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def _lives(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _kill(process: psutil.Process) -> None:
    try:
        process.kill()
    except psutil.NoSuchProcess:
        return


def main() -> None:
    """Run, and print the summary as the last line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--kills", type=int, default=50, help="kills in all, with those of earlier calls (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--place", type=Path, default=Path("build/chaos"), help="folder that keeps the rounds (default: %(default)s)"
    )
    parser.add_argument(
        "--bookkeeping", type=int, metavar="ROWS", help="measure instead what resuming costs at so many rows"
    )
    asked = parser.parse_args()
    if asked.bookkeeping:
        from chaos_bookkeeping import measure

        print(json.dumps(measure(asked.bookkeeping)))
        return
    asked.place.mkdir(parents=True, exist_ok=True)
    chaos = Chaos(asked.place.absolute(), asked.seed, asked.kills)
    try:
        chaos.run()
    finally:
        chaos.nodes.kill()
        shutil.rmtree(os.environ["RAY_TMPDIR"], ignore_errors=True)
    print(json.dumps(summary(chaos.notes, asked.seed)))


if __name__ == "__main__":
    main()
