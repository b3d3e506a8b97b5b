"""The paper's own recipe: its dry run says what it will take, without its data, its models or a GPU."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from factory.planning.estimate import TEXT_SHARE, costs, parameters, render
from factory.planning.plan import reckoned
from factory.recipe.loading import load
from schemas.sequences import Variant
from tests.limits import HANG_S

ROOT = Path(__file__).resolve().parent.parent.parent
RECIPE = ROOT / "recipes/prost_llm_3b.yaml"


@pytest.mark.parametrize("name", ["prost_llm_3b", "prost_llm_3b_vanilla", "prost_llm_3b_tritask"])
def test_a_dry_run_prints_plan_sizes_memory_and_hours(name: str, tmp_path: Path) -> None:
    recipe = f"recipes/{name}.yaml"
    command = [
        sys.executable,
        "factory/run_round.py",
        "--round",
        "0-1",
        "--recipe",
        recipe,
        "--run",
        str(tmp_path),
        "--dry-run",
    ]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=HANG_S)
    assert told.returncode == 0, told.stderr
    for words in (
        "414,748 rows",
        "corpus.mono is data/mono, and nothing is there",
        "8 translator",
        "GPU h",
        "3.21 G parameters",
    ):
        assert words in told.stdout
    assert list(tmp_path.iterdir()) == []
    assert "does not fit" not in told.stdout


@pytest.mark.parametrize("name", ["prost_llm_3b", "prost_llm_3b_vanilla", "prost_llm_3b_tritask"])
def test_a_step_holds_as_many_sequences_as_the_recipe_says(name: str) -> None:
    recipe = load(ROOT / f"recipes/{name}.yaml")
    side, told = recipe.expected.seconds * recipe.expected.units_per_s, [Variant(task) for task in recipe.policy.tasks]
    lengths = [side * (1 + variant.has_units + TEXT_SHARE * variant.has_text) for variant in told]
    assert 75 < recipe.sft["batches"] * recipe.sft["tokens"] / (sum(lengths) / len(lengths)) < 95


def test_hours_follow_the_rows_and_memory_the_parameters() -> None:
    recipe, larger = load(RECIPE), load(RECIPE, ["expected.parameters=6.42e9"])
    once, twice = (sum(cost.hours for cost in costs(recipe, 0, rows, rows)) for rows in (100_000, 200_000))
    assert once < twice < 2 * once + 1
    assert all(big.gib >= small.gib for big, small in zip(costs(larger, 0, 1, 1), costs(recipe, 0, 1, 1), strict=True))
    assert parameters(recipe) == 3.21e9


def test_many_texts_of_which_few_are_spoken_cost_little() -> None:
    changes = ["policy.tasks={com: 1.0, mt: 1.0}", "corpus.text=text.parquet", "scorer.metrics=[bleu]"]
    changes += ["translator.back_translate=text", "translator.n=16"]
    all_spoken, few = (
        {cost.stage: cost.hours for cost in costs(load(RECIPE, [*changes, *more]), 1, 100_000, 100_000)}
        for more in ([], ["translator.unit_temperature=0"])
    )
    assert 2 < all_spoken["produce"] / few["produce"] < 3
    assert all_spoken["evaluate"] == few["evaluate"]


def test_all_that_the_recognizer_hears_is_counted() -> None:
    plain = ["evaluate.cascade=null"]
    asked = {
        "plain": load(RECIPE, plain),
        "cascade": load(RECIPE),
        "vanilla": load(ROOT / "recipes/prost_llm_3b_vanilla.yaml", plain),
    }
    hours = {name: {cost.stage: cost.hours for cost in costs(recipe, 1, 1, 1)} for name, recipe in asked.items()}
    once = hours["plain"]["evaluate: recognizer"]
    assert once == hours["plain"]["toplines: recognizer"]  # two policies; recordings and their units
    assert hours["cascade"]["evaluate: recognizer"] == 2 * once
    assert hours["vanilla"]["evaluate: recognizer"] == 2 * once  # its ways back have no text of their own


def test_a_round_over_the_paired_corpus_tokenizes_that_and_no_monolingual_speech() -> None:
    recipe = load("recipes/prost_llm_3b.yaml")
    paired = replace(recipe, corpus=replace(recipe.corpus, source="paired"))
    assert reckoned(1, recipe)[1] == recipe.expected.mono and reckoned(1, paired)[1] == recipe.expected.paired
    assert reckoned(0, recipe) == (recipe.expected.paired, recipe.expected.paired)


def test_a_stage_that_does_not_fit_is_named() -> None:
    assert "does not fit" not in render(load(RECIPE), 1, 10_000, 10_000)
    small = ["expected.gpu_gib=40"]
    assert "does not fit" not in render(load(RECIPE, small), 0, 400_000, 400_000)
    assert "sft does not fit into 40 GiB" in render(load(RECIPE, [*small, "sft.sharded=false"]), 0, 400_000, 400_000)


@pytest.mark.parametrize("name", ["phrasebook", "phrasebook_vanilla", "phrasebook_tritask"])
def test_the_small_policys_parameters_are_counted_from_its_shape(name: str) -> None:
    assert 4e6 < parameters(load(ROOT / f"recipes/{name}.yaml")) < 7e6
