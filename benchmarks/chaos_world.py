"""The light round that benchmarks/chaos.py kills: real passes, storage, guards and training with toy actors.

python benchmarks/chaos_world.py FOLDER     # run or continue the round in FOLDER; RAY_ADDRESS names the cluster
"""

from __future__ import annotations

import hashlib
import logging
import os
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ray.data

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

import pyarrow as pa  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402

from factory.actors.base import RowActor  # noqa: E402
from factory.passes.execute import map_actor, run_plan  # noqa: E402
from factory.passes.progress import Clock  # noqa: E402
from factory.passes.select import select_pairs  # noqa: E402
from factory.passes.train import choose_training_pairs  # noqa: E402
from factory.planning.places import Round, Run  # noqa: E402
from factory.recipe.recipe import Recipe  # noqa: E402
from factory.recipe.resources import PoolConfig, ResourcesConfig  # noqa: E402
from factory.recipe.sections import SelectConfig  # noqa: E402
from factory.recipe.training import PreferenceConfig  # noqa: E402
from factory.storage.dataset import DatasetDir  # noqa: E402
from schemas.datasets import EVALUATED, SCORED, SKIPPED, UNITS, UTTERANCE, Candidate, Row  # noqa: E402

ROWS, BLOCK = 400, 16
RAISES, KILLS = "u0123", "u0251"
"""The row that raises and the row that kills its process: both must be `failed` in every run."""
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


def chance(*names: object) -> float:
    """Return a number in 0..1 that depends only on these names."""
    return int.from_bytes(hashlib.sha256(repr(names).encode()).digest()[:6], "big") / 2**48


class _Toy(RowActor):
    """An actor that takes `row_s` seconds per row."""

    def __init__(self, row_s: float = 0.04) -> None:
        self.row_s = row_s

    def process(self, rows: list[Row]) -> list[Row]:
        """Wait, and return what `process_row` makes of each row."""
        time.sleep(self.row_s * len(rows))
        return [self.process_row(row) for row in rows]

    def process_row(self, row: Row) -> Row:
        """Return the row with the columns of this actor."""
        raise NotImplementedError


class ToyEncoder(_Toy):
    """Gives random units to a row."""

    schema = UNITS

    def process_row(self, row: Row) -> Row:
        """Return the row with units; skip a few rows by chance, and raise for one."""
        if chance(row["utt_id"], "short") < 0.05:
            return row | {"status": SKIPPED, "reason": "too_short: by chance"}
        if row["utt_id"] == RAISES:
            raise ValueError("this row raises")
        return row | {"units": _make_units(row["utt_id"], "source"), "durations": [1] * 8, "num_samples": 2560}


class ToyTranslator(_Toy):
    """Gives two candidates to a row."""

    schema = SCORED

    def process_row(self, row: Row) -> Row:
        """Return the row with candidates; end the process for one row."""
        if row["utt_id"] == KILLS:
            os.abort()
        return row | {
            "tgt_lang": "en",
            "src_lang": "fr",
            "candidates": [_make_candidate(row["utt_id"], number) for number in range(2)],
        }


class ToyScorer(_Toy):
    """Gives random scores to candidates."""

    schema = SCORED

    def process_row(self, row: Row) -> Row:
        """Return the row with a score per candidate."""
        for candidate in row["candidates"]:
            candidate["scores"] = {"bleu": chance(row["utt_id"], candidate["text"])}
        return row


class ToyJudge(_Toy):
    """Gives the columns of an evaluation to a row."""

    schema = EVALUATED

    def process_row(self, row: Row) -> Row:
        """Return the row with its text as the reference."""
        return row | {"tgt_lang": "en", "src_lang": "fr", "reference": row["text"], "finish": "ok"}


def _make_units(utt_id: str, name: str) -> list[int]:
    return [int(40 * chance(utt_id, name, index)) for index in range(8)]


def _make_candidate(utt_id: str, number: int) -> Candidate:
    text = f"where is station {number}"
    return {
        "text": text,
        "units": _make_units(utt_id, f"there {number}"),
        "back_translation_units": _make_units(utt_id, f"back {number}"),
        "logprob": -1.0,
        "finish": "ok",
        "back_translation": text,
        "back_translation_finish": "ok",
    }


def make_corpus(number: int = ROWS) -> pa.Table:
    """Return `number` utterances without audio."""
    rows = [{"utt_id": f"u{n:04d}", "lang": "fr", "text": f"text {n}"} for n in range(number)]
    return pa.Table.from_pylist(rows, schema=UTTERANCE)


def write_shared(shared: Path) -> None:
    """Write the corpus and the start policy, which all rounds share."""
    from tests.toys import tiny_policy

    shared.mkdir(parents=True, exist_ok=True)
    if not (shared / "policy/config.json").exists():
        pq.write_table(make_corpus(), shared / "corpus.parquet", row_group_size=BLOCK)
        tiny_policy(shared / "policy")


def run_toy_pass(
    source: ray.data.Dataset,
    out: DatasetDir,
    ids: list[str],
    clock: Clock,
    name: str,
    *actors: tuple[type[RowActor], str],
) -> None:
    """Map toy actors over the rows that are not written yet, and publish the dataset.

    Args:
        source: a stream of rows.
        out: the dataset to write.
        ids: the expected ids.
        clock: measures the stage.
        name: the name of the stage.
        actors: classes of toy actors, each with the name of its pool.
    """
    if not out.start({"stage": name, "rows": len(ids)}):
        return
    rows = out.unfinished(source, rows_per_block=BLOCK)
    for actor, pool in actors:
        rows = map_actor(rows, partial(actor), getattr(RECIPE.resources, pool))
    run_plan(rows, out, ids, clock, name, RECIPE.resources, [pool for _, pool in actors])


def run_round(folder: Path, shared: Path) -> None:
    """Run the stages of the round in `folder`: tokenize, produce, select, train, evaluate."""
    import ray.data

    round_, clock = Round(Run(str(folder)), 1, RECIPE), Clock(str(folder))
    units = round_.run.units("mono")
    ids = pq.read_table(shared / "corpus.parquet", columns=["utt_id"])["utt_id"].to_pylist()
    with clock.stage("tokenize"):
        speech = ray.data.read_parquet(str(shared / "corpus.parquet"))
        run_toy_pass(speech, units, ids, clock, "tokenize", (ToyEncoder, "encoder"))
    with clock.stage("produce"):
        actors = (ToyTranslator, "translator"), (ToyScorer, "scorer")
        run_toy_pass(with_target(units), round_.scored, ids, clock, "produce", *actors)
    with clock.stage("select"):
        select_pairs(round_.scored, RECIPE, round_.pairs, clock)
    with clock.stage("train"):
        train(round_.pairs, shared, folder)
    with clock.stage("evaluate"):
        run_toy_pass(with_target(units), round_.evaluation, ids, clock, "evaluate", (ToyJudge, "recognizer"))


def with_target(units: DatasetDir) -> ray.data.Dataset:
    """Return a stream of units with the columns that a translator and a judge expect."""
    return units.dataset().map_batches(_add_target, batch_format="pyarrow", num_cpus=0.25)


def _add_target(table: pa.Table) -> pa.Table:
    return table.append_column("tgt_lang", pa.array(["en"] * table.num_rows)).append_column("src_lang", table["lang"])


def train(pairs: DatasetDir, shared: Path, folder: Path) -> None:
    """Train the toy policy on the first 40 pairs as a round does."""
    from trainers.launch import Workers
    from trainers.preference import train_preference

    chosen = choose_training_pairs(pairs.rows(status="ok").to_pylist(), RECIPE)[:40]
    data = folder / "pairs.parquet"
    pq.write_table(pa.Table.from_pylist(chosen), data)
    train_preference(data, shared / "policy", folder / "round-1/policy", TRAINING, workers=Workers())


def read_rows(folder: Path) -> dict[str, list[tuple[str, str, str | None, str]]]:
    """Return the sorted rows of each pass: id, status, reason, and all columns as text."""
    by_pass = {}
    for name in PASSES:
        rows = DatasetDir(str(folder / name)).rows().to_pylist()
        by_pass[name] = sorted((row["utt_id"], row["status"], row["reason"], repr(sorted(row.items()))) for row in rows)
    return by_pass


def main() -> None:
    """Run the round in the folder that the command line names."""
    import ray

    ray.init(log_to_driver=False, logging_level=logging.ERROR)
    ray.data.DataContext.get_current().enable_progress_bars = False
    folder = Path(sys.argv[1]).absolute()
    run_round(folder, folder.parent / "shared")


if __name__ == "__main__":
    import chaos_world  # not as `__main__`: the processes of actors import the toys by name

    chaos_world.main()
