"""The places of a run, and the recipe that a round keeps."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

from factory.planning.kept_recipe import as_yaml, finished_round, keep_recipe, kept_recipe
from factory.planning.places import CANDIDATES, MissingRound, Round, Run, choose_round, finished_rounds
from factory.recipe.loading import load
from factory.recipe.paths import ROOT
from factory.recipe.typed import RecipeError


def finish(run: Path, *numbers: int) -> Run:
    for number in numbers:
        (run / f"round-{number}").mkdir(parents=True)
        (run / f"round-{number}/summary.json").write_text("{}")
    return Run(str(run))


def test_the_last_finished_round_is_the_default(tmp_path: Path) -> None:
    run = finish(tmp_path, 0, 2, 10)
    (tmp_path / "round-11").mkdir()
    (tmp_path / "round-x").mkdir()
    assert finished_rounds(run) == [0, 2, 10]
    assert choose_round(run, None) == 10 and choose_round(run, 2) == 2
    with pytest.raises(
        MissingRound, match=r"^round 11 of .* is not finished \(finished: 0, 2, 10\): finish it first with"
    ):
        choose_round(run, 11)
    with pytest.raises(MissingRound, match=r"^no round of .* is finished \(finished: none\): .* --round 1 --run"):
        choose_round(Run(str(tmp_path / "empty")), None)


def test_a_round_with_finished_candidates_is_enough_for_a_judge(tmp_path: Path) -> None:
    run, recipe = finish(tmp_path, 1), load("recipes/phrasebook.yaml")
    scored = Round(run, 2, recipe).scored
    assert scored.start({"stage": "produce", "languages": ["fr", "en", "de"], "directions": ["fr-en", "fr-de"]})
    arguments = argparse.Namespace(run=run.uri, round=2, recipe="recipes/phrasebook.yaml")
    with pytest.raises(MissingRound, match=r"^round 2 of .* has no finished candidates \(finished: none\): "):
        finished_round(arguments, CANDIDATES)
    scored.publish()
    with pytest.raises(MissingRound, match=r"^round 2 of .* is not finished \(finished: 1\): finish it first"):
        finished_round(arguments)
    found = finished_round(arguments, CANDIDATES)
    assert found.number == 2 and list(found.recipe.used_directions) == ["fr-en", "fr-de"]
    assert found.scored.id_columns == ("utt_id", "tgt_lang"), "its command line names other languages"
    with pytest.raises(MissingRound, match=r"^round 0 makes no candidates: name a round from 1 on with --round$"):
        choose_round(run, 0, CANDIDATES)
    with pytest.raises(MissingRound, match=r"^there is no round -1: --round is 0"):
        choose_round(run, -1)
    with pytest.raises(MissingRound, match=r"finish it first with python factory/run_round.py --round 0 "):
        choose_round(run, 0)
    assert choose_round(run, None, CANDIDATES) == 2 and choose_round(run, None) == 1


def test_a_round_names_its_datasets_and_its_policy(tmp_path: Path) -> None:
    recipe = load("recipes/phrasebook.yaml", ["corpus.source=both"])
    round_ = Round(Run(str(tmp_path)), 2, recipe)
    assert [dataset.uri for dataset in (round_.scored, round_.dev_scored, round_.pairs, round_.evaluation)] == [
        f"{tmp_path}/round-2/{name}" for name in ("scored", "dev", "pairs", "evaluation")
    ]
    assert round_.sequences.key == "sequence_id" and round_.sequences.uri.endswith("round-2/sequences")
    assert [units.uri for units in round_.sources] == [f"{tmp_path}/units/mono-2", f"{tmp_path}/units/paired"]
    third = Round(round_.run, 3, recipe).mono_units
    assert [units.uri for units in third] == [f"{tmp_path}/units/{name}" for name in ("mono", "mono-2", "mono-3")]
    for change in ("corpus.limit=null", "rounds.fresh=false"):
        same = Round(round_.run, 3, load("recipes/phrasebook.yaml", [change])).mono_units
        assert [units.uri for units in same] == [f"{tmp_path}/units/mono"], "every round uses the same utterances"
    assert [one.number for one in round_.compared] == [1, 2]
    first = Round(round_.run, 0, recipe)
    assert first.previous is None and [one.number for one in first.compared] == [0]
    assert first.policy == recipe.policy.start
    with pytest.raises(MissingRound, match=r"^round 2 has no policy at .*round-2/policy: run it first with python"):
        _ = round_.policy
    (tmp_path / "round-0/policy").mkdir(parents=True)
    (tmp_path / "round-0/policy/config.json").touch()
    assert first.policy == f"{tmp_path}/round-0/policy" and first.has_policy and not round_.has_policy
    with pytest.raises(MissingRound):
        _ = Round(round_.run, 3, load("recipes/phrasebook.yaml", ["policy.start=null"])).policy


def test_a_kept_recipe_is_read_on_another_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(str(tmp_path / "run"))
    monkeypatch.chdir(tmp_path)
    round_ = Round(run, 1, load("recipes/phrasebook_tritask.yaml", ["preference.loss=simpo", "sft.lr=1e-4"]))
    assert round_.recipe.corpus.mono == f"{ROOT}/assets/phrasebook/mono"
    assert kept_recipe(run, 1) is None
    keep_recipe(round_)
    assert str(ROOT) not in (tmp_path / "run/round-1/recipe.json").read_text()
    assert kept_recipe(run, 1) == round_.recipe
    monkeypatch.chdir(ROOT)
    (tmp_path / "kept.yaml").write_text(as_yaml(round_.recipe))
    assert load(tmp_path / "kept.yaml") == kept_recipe(run, 1)


def test_a_kept_recipe_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "round-1").mkdir()
    (tmp_path / "round-1/recipe.json").write_text(json.dumps({"select": {"guards": {}}}))
    with pytest.raises(
        RecipeError, match=r"round-1/recipe\.json: select\.guards is called select\.filters since 0\.2\.0"
    ):
        kept_recipe(Run(str(tmp_path)), 1)
