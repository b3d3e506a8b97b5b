"""The light round that `benchmarks/chaos.py` kills: our own passes, store, guards and training around actors that only look at an id.

python benchmarks/chaos_world.py FOLDER     # runs the round in FOLDER, or what is left of it; RAY_ADDRESS names the cluster
"""

from __future__ import annotations

import hashlib
import os
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

import pyarrow as pa  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402

from factory.actors.base import RowActor  # noqa: E402
from factory.passes.execute import map_actor, run_plan  # noqa: E402
from factory.passes.progress import Clock  # noqa: E402
from factory.passes.select import select_pairs  # noqa: E402
from factory.passes.train import choose_training_pairs  # noqa: E402
from factory.planning.places import Run  # noqa: E402
from factory.recipe.recipe import Recipe  # noqa: E402
from factory.recipe.resources import PoolConfig, ResourcesConfig  # noqa: E402
from factory.recipe.sections import SelectConfig  # noqa: E402
from factory.recipe.training import PreferenceConfig  # noqa: E402
from factory.storage.dataset import DatasetDir  # noqa: E402
from schemas.datasets import EVALUATED, SCORED, SKIPPED, UNITS, UTTERANCE, Row  # noqa: E402

ROWS, BLOCK = 400, 16
RAISES, KILLS = "u0123", "u0251"
"""The row that raises and the row that kills its process: both must end as failed, in every run."""
PASSES = ("units/mono", "round-1/scored", "round-1/pairs", "round-1/evaluation")
POOL = PoolConfig(actors=2, num_cpus=0.6, batch_size=BLOCK, row_timeout_s=30)
RECIPE = Recipe(
    name="chaos",
    select=SelectConfig(delta=0.1),
    resources=ResourcesConfig(
        encoder=POOL, translator=POOL, scorer=POOL, recognizer=POOL, trainer=PoolConfig(num_cpus=1), stall_s=300
    ),
)
TRAINING = PreferenceConfig(epochs=4.0, batch=8, save_every=2, held_out=0.0, precision="fp32")


def chance(*named: object) -> float:
    """Return a number in 0..1 that depends on these names alone."""
    return int.from_bytes(hashlib.sha256(repr(named).encode()).digest()[:6], "big") / 2**48


class _Toy(RowActor):
    """Takes `row_s` seconds a row."""

    def __init__(self, row_s: float = 0.04) -> None:
        self.row_s = row_s

    def process(self, rows: list[Row]) -> list[Row]:
        time.sleep(self.row_s * len(rows))
        return [self.one(row) for row in rows]

    def one(self, row: Row) -> Row:
        raise NotImplementedError


class ToyEncoder(_Toy):
    schema = UNITS

    def one(self, row: Row) -> Row:
        """Give units to a row, a reason to some, and to one an error."""
        if chance(row["utt_id"], "short") < 0.05:
            return row | {"status": SKIPPED, "reason": "too_short: by chance"}
        if row["utt_id"] == RAISES:
            raise ValueError("this row raises")
        return row | {"units": _units(row["utt_id"], "source"), "durations": [1] * 8, "num_samples": 2560}


class ToyTranslator(_Toy):
    schema = SCORED

    def one(self, row: Row) -> Row:
        if row["utt_id"] == KILLS:
            os.abort()
        return row | {
            "tgt_lang": "en",
            "src_lang": "fr",
            "candidates": [_candidate(row["utt_id"], number) for number in range(2)],
        }


class ToyScorer(_Toy):
    schema = SCORED

    def one(self, row: Row) -> Row:
        for candidate in row["candidates"]:
            candidate["scores"] = {"bleu": chance(row["utt_id"], candidate["text"])}
        return row


class ToyJudge(_Toy):
    schema = EVALUATED

    def one(self, row: Row) -> Row:
        return row | {"tgt_lang": "en", "src_lang": "fr", "reference": row["text"], "finish": "ok"}


def _units(utt_id: str, name: str) -> list[int]:
    return [int(40 * chance(utt_id, name, place)) for place in range(8)]


def _candidate(utt_id: str, number: int) -> dict[str, Any]:
    text = f"where is station {number}"
    units = {"units": _units(utt_id, f"there {number}"), "back_translation_units": _units(utt_id, f"back {number}")}
    return {
        "text": text,
        **units,
        "logprob": -1.0,
        "finish": "ok",
        "back_translation": text,
        "back_translation_finish": "ok",
    }


def corpus(number: int = ROWS) -> pa.Table:
    """Return `number` utterances without audio."""
    rows = [{"utt_id": f"u{n:04d}", "lang": "fr", "text": f"text {n}"} for n in range(number)]
    return pa.Table.from_pylist(rows, schema=UTTERANCE)


def make(shared: Path) -> None:
    """Write what all rounds share: the corpus, and a policy to train."""
    from tests.toys import tiny_policy

    shared.mkdir(parents=True, exist_ok=True)
    if not (shared / "policy/config.json").exists():
        pq.write_table(corpus(), shared / "corpus.parquet", row_group_size=BLOCK)
        tiny_policy(shared / "policy")


def toy_pass(
    source: Any, out: DatasetDir, ids: list[str], clock: Clock, name: str, *actors: tuple[type[RowActor], str]
) -> None:
    """Map toy actors over the rows of `source` that are not in `out` yet; publish."""
    if not out.start({"stage": name, "rows": len(ids)}):
        return
    rows = out.unfinished(source, rows_per_block=BLOCK)
    for actor, pool in actors:
        rows = map_actor(rows, partial(actor), getattr(RECIPE.resources, pool))
    run_plan(rows, out, ids, clock, name, RECIPE.resources, [pool for _, pool in actors])


def round_of(folder: Path, shared: Path) -> None:
    """Run the round: tokenize, produce, select, train, evaluate."""
    import ray.data

    run, clock = Run(str(folder)), Clock(str(folder))
    units, scored, pairs = run.units("mono"), run.dataset(1, "scored"), run.dataset(1, "pairs")
    ids = pq.read_table(shared / "corpus.parquet", columns=["utt_id"])["utt_id"].to_pylist()
    with clock.stage("tokenize"):
        toy_pass(
            ray.data.read_parquet(str(shared / "corpus.parquet")),
            units,
            ids,
            clock,
            "tokenize",
            (ToyEncoder, "encoder"),
        )
    with clock.stage("produce"):
        toy_pass(
            with_target(units), scored, ids, clock, "produce", (ToyTranslator, "translator"), (ToyScorer, "scorer")
        )
    with clock.stage("select"):
        select_pairs(scored, RECIPE, pairs, clock)
    with clock.stage("train"):
        train(pairs, shared, folder)
    with clock.stage("evaluate"):
        toy_pass(with_target(units), run.dataset(1, "evaluation"), ids, clock, "evaluate", (ToyJudge, "recognizer"))


def with_target(units: DatasetDir) -> Any:
    """Stream units with the columns that a translator and a judge expect."""
    return units.dataset().map_batches(_with_target, batch_format="pyarrow", num_cpus=0.25)


def _with_target(table: pa.Table) -> pa.Table:
    return table.append_column("tgt_lang", pa.array(["en"] * table.num_rows)).append_column("src_lang", table["lang"])


def train(pairs: DatasetDir, shared: Path, folder: Path) -> None:
    """Train the toy policy on the first 40 pairs, as a round does."""
    from trainers.launch import Workers
    from trainers.preference import train_preference

    chosen = choose_training_pairs(pairs.rows(status="ok").to_pylist(), RECIPE)[:40]
    data = folder / "pairs.parquet"
    pq.write_table(pa.Table.from_pylist(chosen), data)
    train_preference(data, shared / "policy", folder / "round-1/policy", TRAINING, workers=Workers())


def outcome(folder: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Return each pass's rows as sorted tuples: id, status, reason, and what was made of it, as text."""
    made = {}
    for name in PASSES:
        rows = DatasetDir(str(folder / name)).rows().to_pylist()
        made[name] = sorted((row["utt_id"], row["status"], row["reason"], repr(sorted(row.items()))) for row in rows)
    return made


def main() -> None:
    """Run the round in the folder named on the command line."""
    import ray

    ray.init(log_to_driver=False, logging_level="ERROR")
    ray.data.DataContext.get_current().enable_progress_bars = False
    folder = Path(sys.argv[1]).absolute()
    round_of(folder, folder.parent / "shared")


if __name__ == "__main__":
    import chaos_world  # by its own name, so that actors' processes find the toys

    chaos_world.main()
