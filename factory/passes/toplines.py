"""toplines: the scores of perfect output, once per test set and voice, whichever run asks for them.

The rows are kept in a file of this machine, under a digest of all that changes them: the recordings, the encoder, the
vocoders, the recognizer and the MOS model. A later run takes the rows that it needs from there, and computes only those
that are missing. Those of the embedded world ship.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow.fs import LocalFileSystem

from factory.corpora.corpus import keep_ids
from factory.corpora.opening import open_corpus
from factory.models.mos import Mos
from factory.models.recognizer import protocol
from factory.models.weights import cache_folder
from factory.passes.evaluate import list_topline_ids
from factory.passes.execute import fit_pool, map_actor, run_plan
from factory.passes.progress import Clock
from factory.passes.tokenize import describe_whole_corpus
from factory.passes.weights import actor_encoder, actor_recognizer, actor_vocoders, compute_digests
from factory.recipe.paths import locate
from factory.recipe.recipe import Recipe
from factory.storage.dataset import DatasetDir
from factory.storage.files import put_table
from schemas.datasets import OK, TOPLINE
from schemas.fingerprint import json_digest

SHIPPED = ("assets/phrasebook/toplines.parquet", "assets/station/toplines.parquet")
"""The toplines of the test sets that ship; their metadata holds the digest under which a run may take them."""
_DIGEST = b"roundtrip.toplines"


def judge_toplines(units: DatasetDir, recipe: Recipe, out: DatasetDir, clock: Clock) -> None:
    """Write a row of TOPLINE for the test utterances of `list_topline_ids`: recording, and units resynthesised.

    Args:
        units: the dataset of UNITS of the test corpus.
        recipe: the experiment.
        out: the dataset to write.
        clock: measures and shows progress.
    """
    inputs = compute_digests(recipe.judge_weights) | {"units": units.manifest().fingerprint}
    if not out.start(recipe.content("toplines", inputs)):
        return
    ids, digest = list_topline_ids(units, recipe), digest_toplines(units, recipe)
    known = find_toplines(digest)
    missing = set(ids) - out.done_ids()
    reused = known.filter(pc.is_in(known["utt_id"], value_set=pa.array(sorted(missing), pa.string())))
    if reused.num_rows:
        out.append(reused)
        print(f"  {reused.num_rows:,} of {len(ids):,} toplines are known", flush=True)
    if reused.num_rows == len(missing):
        out.publish(ids, {"toplines": f"{reused.num_rows} rows of an earlier run"})
        return
    _judge(units, recipe, out, ids, clock)
    write_toplines(_kept_path(digest), digest, pa.concat_tables([known, out.rows(status=OK).cast(TOPLINE)]))


def _judge(units: DatasetDir, recipe: Recipe, out: DatasetDir, ids: list[str], clock: Clock) -> None:
    """Write the missing rows of these ids."""
    from factory.actors.judge import ToplineJudge

    corpus, pool = open_corpus(recipe.corpus.test), fit_pool(recipe.resources.recognizer, len(ids))
    rows = units.dataset() if corpus.holds_units else corpus.load_speech().rows
    encoder = None if corpus.holds_units else actor_encoder(recipe)
    actor = partial(
        ToplineJudge, actor_vocoders(recipe), actor_recognizer(recipe), encoder, recipe.languages, pool.threads
    )
    rows = map_actor(out.unfinished(keep_ids(rows, ids), pool.batch_size), actor, pool)
    run_plan(rows, out, ids, clock, "toplines", recipe.resources, ["recognizer"])


def digest_toplines(units: DatasetDir, recipe: Recipe) -> str:
    """Return a digest of all that changes the topline of an utterance, and of nothing that another run may change.

    Args:
        units: the finished dataset of UNITS of the test corpus, or of a part of it.
        recipe: the experiment.
    """
    settings = recipe.recognizer
    protocols = {
        lang: protocol(model="", compute_type=settings.compute_type, beam_size=settings.beam_size, lang=lang)
        for lang in recipe.languages
    }
    return json_digest(
        {
            "units": describe_whole_corpus(units.manifest().content),
            "weights": compute_digests(recipe.judge_weights),
            "recognizer": protocols,
            "mos": Mos.signature(),
        }
    )


def find_toplines(digest: str) -> pa.Table:
    """Return the rows of TOPLINE that are known under a digest: those of this machine, else those that ship."""
    for path in (_kept_path(digest), *(Path(locate(path)) for path in SHIPPED)):
        if path.is_file():
            file = pq.ParquetFile(path)
            if (file.schema_arrow.metadata or {}).get(_DIGEST) == digest.encode():
                return file.read().cast(TOPLINE)
    return TOPLINE.empty_table()


def write_toplines(path: Path, digest: str, rows: pa.Table) -> None:
    """Write rows of TOPLINE under a digest, each id once and in order."""
    by_id = {row["utt_id"]: row for row in rows.to_pylist()}
    table = pa.Table.from_pylist([by_id[utt_id] for utt_id in sorted(by_id)], schema=TOPLINE)
    path.parent.mkdir(parents=True, exist_ok=True)
    put_table(LocalFileSystem(), str(path.absolute()), table.replace_schema_metadata({_DIGEST: digest.encode()}))


def _kept_path(digest: str) -> Path:
    return cache_folder() / "toplines" / f"{digest}.parquet"
