"""What a round trains on: which corpora it reads for that, and where what is given to a training lies."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from factory.passes.train import _given, _written, train_next
from factory.planning.places import Run
from factory.planning.plan import stages
from factory.planning.preflight import full
from factory.recipe.loading import load
from factory.storage.dataset import DatasetDir
from schemas.datasets import PAIR

RECIPE = Path(__file__).resolve().parent.parent.parent / "recipes/prost_llm_3b.yaml"


def test_what_a_training_is_given_lies_where_other_nodes_see_it_and_goes_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(2):  # a killed training leaves it behind, and the next one takes it over
        with pytest.raises(KeyboardInterrupt), _given("runs/one/round-1/policy") as folder:
            place = Path(_written(pa.table({"prompt": ["a"]}), f"{folder}/pairs.parquet"))
            assert place.is_absolute() and place.exists() and place.is_relative_to(tmp_path / "runs/one/round-1")
            raise KeyboardInterrupt
        assert not place.exists()


@pytest.mark.parametrize(
    ("number", "changes", "corpora"),
    [
        (0, [], ["paired", "dev", "test"]),
        (1, [], ["mono", "test"]),
        (1, ["corpus.source=paired"], ["paired", "test"]),
        (2, ["corpus.source=both", "select.delta=auto"], ["paired", "dev", "mono", "test"]),
    ],
)
def test_a_plan_tokenizes_what_the_round_reads(number: int, changes: list[str], corpora: list[str]) -> None:
    planned = stages(Run("runs/none"), number, load(RECIPE, changes))
    assert [stage.name.removeprefix("tokenize ") for stage in planned if stage.name.startswith("tokenize")] == corpora
    assert all(stage.actors == ("encoder",) for stage in planned if stage.name.startswith("tokenize"))
    judged = [stage.name for stage in planned if stage.name.startswith("evaluate")]
    assert judged == [f"evaluate round {policy}" for policy in range(max(0, number - 1), number + 1)]


@pytest.mark.parametrize("source", ["mono", "paired", "both"])
def test_the_disk_that_each_stage_takes_is_known(source: str, tmp_path: Path) -> None:
    for number in (0, 1):
        told = [
            *full(Run(str(tmp_path)), number, load(RECIPE, [f"corpus.source={source}", "expected.parameters=1e15"]))
        ]
        assert len(told) == 1 and told[0].startswith("disk: the round takes some")


@pytest.mark.parametrize(
    ("reasons", "sentence"),
    [
        (
            ["below_delta", "below_delta", "malformed"],
            "by reason: below_delta 2, malformed 1; lower select.delta (now 0.1), or give more",
        ),
        (["malformed: length"], "by reason: malformed 1; give more utterances, or a policy that has learned more"),
    ],
)
def test_a_round_without_pairs_says_why(reasons: list[str], sentence: str, tmp_path: Path) -> None:
    pairs = DatasetDir(str(tmp_path / "pairs"))
    pairs.start({"stage": "select", "inputs": {}})
    named = ("pair_id", "utt_id", "src_lang", "tgt_lang")
    rows = [
        {**dict.fromkeys(named, str(place)), "status": "skipped", "reason": reason}
        for place, reason in enumerate(reasons)
    ]
    pairs.append(pa.Table.from_pylist(rows, schema=PAIR))
    pairs.publish()
    with pytest.raises(ValueError) as told:
        train_next(pairs, "no/policy", load(RECIPE), str(tmp_path / "policy"))
    assert sentence in str(told.value) and str(tmp_path / "pairs") in str(told.value)
