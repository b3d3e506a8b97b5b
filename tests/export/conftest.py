"""A finished round with odd utterance ids, a policy and judgements, and its export to a folder."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from factory.export.export import export_pairs
from factory.listen.judgements import save_judgement
from factory.planning.places import Round
from schemas.datasets import Row
from tests.export.hub import Hub, serving
from tests.listen.test_judgements import judge
from tests.odd_ids import make_ids
from tests.toy_run import toy_recipe, toy_run
from tests.toys import tiny_policy


@pytest.fixture(scope="session")
def round_(tmp_path_factory: pytest.TempPathFactory, local_ray: None) -> Round:
    """Round 1 with a pair of every odd id; only the last utterances have the ids of their recordings."""
    made = Round(toy_run(tmp_path_factory.mktemp("above") / "deep/run", count=20, ids=make_ids()), 1, toy_recipe())
    policy = tiny_policy(Path(made.policy_uri))
    (policy / "training.json").write_text(json.dumps({"settings": {"loss": "dpo"}, "pairs": 10}))
    (policy / "adapter").mkdir()
    adapter = {"r": 8, "base_model_name_or_path": "/a/path/here"}
    (policy / "adapter/adapter_config.json").write_text(json.dumps(adapter))
    for verdict in ("a", "same"):
        save_judgement(made, judge("someone", f"u-{verdict}", verdict))
    return made


@pytest.fixture(scope="session")
def pairs(round_: Round) -> dict[str, Row]:
    """The pairs of the round by id."""
    return {row["pair_id"]: row for row in round_.pairs.rows(status="ok").to_pylist()}


@pytest.fixture(scope="session")
def exported(round_: Round, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The round as Parquet in a folder."""
    folder = tmp_path_factory.mktemp("out") / "set"
    assert export_pairs(round_, str(folder)) == str(folder)
    return folder


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    """An empty Hub on loopback."""
    with serving() as served:
        yield served
