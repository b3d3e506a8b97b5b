"""The main job as a user runs it, on a few utterances of the embedded world: real speech, real models, every stage.

The round and its corpora, in three languages, are on an S3 server. The round starts on one machine and ends as a job of
a Ray cluster. `test_rounds.py` has round 0 and the other variants.
"""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from factory.export.export import export_policy
from factory.models.weights import policy_digest
from factory.planning.kept_recipe import kept_recipe
from factory.planning.places import Round, Run
from factory.recipe.directions import Direction
from factory.report.history import history_rows
from factory.report.summary import read_summary
from factory.run_round import main
from factory.storage.files import exists, filesystem, get_json
from schemas.datasets import UTTERANCE
from tests.cluster.nodes import NODE, nodes
from tests.limits import HANG_S
from tests.s3 import s3_server
from tests.three_languages import DIRECTIONS, SETTINGS, make_mono, make_test, write_policy

ROOT = Path(__file__).resolve().parent.parent
SMALL = {
    "evaluate.s2t_utterances": "3",
    "evaluate.asr_utterances": "1",
    "translator.n": "8",
    "select.delta": "0.0",
    "preference.epochs": "1",
}
STORED = SETTINGS | {"corpus.mono": "s3://roundtrip/mono.parquet", "corpus.test": "s3://roundtrip/test.parquet"}


def make_command(*arguments: str, **changes: str) -> list[str]:
    """Return the command line of the main job with the phrasebook; `changes` are keys of the recipe."""
    settings = [part for key, value in (SMALL | changes).items() for part in ("--set", f"{key}={value}")]
    return [sys.executable, "factory/run_round.py", "--recipe", "recipes/phrasebook.yaml", *arguments, *settings]


def run_here(*arguments: str, **changes: str) -> int:
    """Run the main job in this process, and return its exit code."""
    return main(make_command(*arguments, **changes)[2:])


def read_json(uri: str) -> Any:
    """Return the content of a JSON file."""
    return get_json(*filesystem(uri))


class Finished(NamedTuple):
    """A round that is finished, how it ended, and the keys of its recipe that differ from the phrasebook's."""

    round_: Round
    again: subprocess.CompletedProcess[str]
    changes: dict[str, str]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Finished]:
    """Yield a round in an object store that was killed in produce and continued on a cluster."""
    folder = tmp_path_factory.mktemp("first")
    changes = STORED | {"policy.start": write_policy(folder / "start")}
    with s3_server() as bucket:
        for name, rows in (("mono", make_mono()), ("test", make_test())):
            fs, path = filesystem(f"{bucket}/{name}.parquet")
            pq.write_table(pa.Table.from_pylist(rows, schema=UTTERANCE), path, filesystem=fs)
        run = Run(f"{bucket}/runs/toy")
        again = _run_twice(run.uri, changes, folder / "log")
        assert again.returncode == 0, again.stdout[-5000:] + again.stderr[-3000:]
        recipe = kept_recipe(run, 1)
        assert recipe is not None and recipe.used_directions == tuple(DIRECTIONS)
        yield Finished(Round(run, 1, recipe), again, changes)


def _run_twice(uri: str, changes: dict[str, str], log: Path) -> subprocess.CompletedProcess[str]:
    """Kill a round in produce, and continue it on a cluster; return the job."""
    first = subprocess.Popen(
        make_command("--round", "1", "--run", uri, **changes),
        cwd=ROOT,
        start_new_session=True,
        stdout=log.open("w"),
        stderr=subprocess.STDOUT,
    )
    deadline = time.monotonic() + HANG_S
    while not exists(f"{uri}/round-1/scored/_progress.json") and time.monotonic() < deadline:
        assert first.poll() is None, log.read_text()[-3000:]
        time.sleep(0.2)
    os.killpg(first.pid, signal.SIGKILL)
    node = NODE | {"num_cpus": 6, "object_store_memory": 300 * 2**20}
    with nodes(node) as cluster:  # one node: a second one on this machine would delete the code of the job
        submit = [sys.executable, "-m", "factory.cli", "submit", "--address", f"http://{cluster.webui_url}"]
        arguments = make_command("--round", "1", "--run", uri, **changes)[2:]
        return subprocess.run([*submit, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=HANG_S)


@pytest.mark.slow
def test_a_killed_round_continues_and_loses_nothing(finished: Finished) -> None:
    round_ = finished.round_
    units = round_.run.units("mono").rows(["utt_id", "lang"])
    assert Counter(units["lang"].to_pylist()) == {"fr": 4, "en": 4, "de": 4}
    for dataset in (round_.scored, round_.pairs):
        rows = dataset.rows(["utt_id", "src_lang", "tgt_lang"])
        assert Counter(map(Direction.of_row, rows.to_pylist())) == dict.fromkeys(DIRECTIONS, 4)
        assert len(set(dataset.list_ids(rows))) == rows.num_rows == dataset.manifest().rows == 16
    assert set(round_.scored.rows()["status"].to_pylist()) == {"ok"}
    assert round_.scored.manifest().attempts == 2


@pytest.mark.slow
def test_a_candidate_is_translated_back_into_the_language_of_its_source(finished: Finished) -> None:
    round_ = finished.round_
    rows = round_.scored.rows().to_pylist()
    best = [max(one["scores"]["bleu"] or 0.0 for one in row["candidates"]) for row in rows]
    by_direction = {name: [] for name in DIRECTIONS}
    for row, score in zip(rows, best, strict=True):
        by_direction[Direction.of_row(row)].append(score)
    assert all(sum(scores) / len(scores) > 0.3 for scores in by_direction.values()), by_direction
    owned = {Direction.of_row(row) for row in rows if row["reference"]}
    assert owned == {"fr-en", "de-en"}, "nobody knows which language an English utterance was translated into"


@pytest.mark.slow
def test_every_direction_is_evaluated_against_its_own_references(finished: Finished) -> None:
    round_ = finished.round_
    summary = read_summary(round_.run, 1)
    for name in ("s2t_bleu", "asr_bleu", "round_trip", "mos", "pairs"):
        assert list(summary[name]) == DIRECTIONS  # type: ignore[literal-required]
    assert all(score and score["utterances"] == 3 for score in summary["s2t_bleu"].values())
    assert set(summary["toplines"]) == {"fr", "en", "de"} and summary["untested"] == []
    rows = round_.evaluation.rows().to_pylist()
    references = {Direction.of_row(row): row["reference"] for row in rows if "00000" in row["utt_id"]}
    assert references["en-fr"] == references["en-de"] != references["fr-en"] == references["de-en"]


@pytest.mark.slow
def test_report_and_history_have_every_direction(finished: Finished) -> None:
    round_ = finished.round_
    fs, path = filesystem(f"{round_.uri}/report/index.html")
    page = fs.open_input_file(path).read().decode()
    history = [row["direction"] for row in history_rows(round_.run)]
    for name in DIRECTIONS:
        assert f"<option>{name}</option>" in page and name in history
    assert "all directions" in page


@pytest.mark.slow
def test_the_summary_has_all_scores_and_times(finished: Finished) -> None:
    uri, printed = finished.round_.uri, finished.again.stdout
    summary = read_summary(finished.round_.run, 1)
    assert sum(summary["rows"].values()) == 16
    for score in (summary["s2t_bleu"], summary["asr_bleu"]):
        for direction in DIRECTIONS:
            assert {"before", "after", "ci", "difference_ci", "signature"} <= set(score[direction] or {})
    assert {"tokenize", "produce", "select", "train", "evaluate"} <= set(summary["wall_s"])
    assert summary["peak_rss_mb"] > 0
    assert "S2T BLEU" in printed and "difference" in printed
    assert "Starting execution of Dataset" not in printed + finished.again.stderr, "Ray Data's own log is not shown"
    assert exists(f"{uri}/samples/texts.tsv")


@pytest.mark.slow
def test_the_policy_of_a_run_in_an_object_store_is_exported(finished: Finished, tmp_path: Path) -> None:
    export_policy(finished.round_, str(tmp_path / "policy"))
    assert {"config.json", "model.safetensors", "README.md"} <= {path.name for path in (tmp_path / "policy").iterdir()}
    recorded = finished.round_.evaluation.manifest().inputs["policy"]
    assert recorded == policy_digest(finished.round_.policy_uri) == policy_digest(tmp_path / "policy")


@pytest.mark.slow
def test_manifests_and_the_training_name_a_policy_by_the_same_digest(finished: Finished) -> None:
    round_ = finished.round_
    identity = read_json(f"{round_.policy_uri}/identity.json")
    assert identity["policy"] == round_.scored.manifest().inputs["policy"]
    assert identity["policy"] != round_.evaluation.manifest().inputs["policy"]


@pytest.mark.slow
def test_a_finished_round_does_nothing_and_another_recipe_is_refused(
    local_ray: None, finished: Finished, capsys: pytest.CaptureFixture[str]
) -> None:
    uri, changes = finished.round_.run.uri, finished.changes
    assert run_here("--round", "1", "--run", uri, **changes) == 0
    assert "is finished" in capsys.readouterr().out
    fs, path = filesystem(f"{uri}/round-1/summary.json")
    fs.delete_file(path)
    assert run_here("--round", "1", "--run", uri, **changes, **{"translator.temperature": "0.5"}) == 2
    assert "translator.temperature: 0.7 in the folder, 0.5 in the recipe" in capsys.readouterr().err


def test_help_is_fast() -> None:
    before = cpu_s()
    timed = [sys.executable, "-X", "importtime", "factory/run_round.py", "--help"]
    done = subprocess.run(timed, cwd=ROOT, capture_output=True, text=True, timeout=HANG_S)
    assert done.returncode == 0 and "--dry-run" in done.stdout
    assert not any(heavy in done.stderr for heavy in (" torch\n", " ray\n", " vllm\n", " transformers\n"))
    assert cpu_s() - before < 10  # a second on most machines


def cpu_s() -> float:
    """Return the CPU seconds of all finished subprocesses."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_the_error_of_a_missing_round_names_its_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_here("--round", "3", "--run", str(tmp_path)) == 2
    assert f"python factory/run_round.py --round 2 --run {tmp_path}" in capsys.readouterr().err


def test_a_dry_run_prints_the_plan_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_here("--round", "1", "--run", str(tmp_path / "new"), "--dry-run") == 0
    printed = capsys.readouterr().out
    for word in ("tokenize mono", "produce", "select", "train", "evaluate", "1 translator"):
        assert word in printed
    assert not (tmp_path / "new").exists()


def test_the_error_of_an_unknown_key_names_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_here("--round", "1", **{"select.dleta": "0.2"}) == 2
    printed = capsys.readouterr().err
    assert "dleta" in printed and "delta" in printed
