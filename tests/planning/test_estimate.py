"""The estimate of a round's GPUs, and the dry run of the paper's recipes without their data, models or a GPU."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from factory.planning.estimate import (
    TEXT_SHARE,
    Amounts,
    costs,
    count_parameters,
    render,
    sft_tokens,
    tokens_of_produce,
)
from factory.recipe.loading import load
from factory.run_round import main
from schemas.sequences import Variant
from tests.limits import HANG_S

ROOT = Path(__file__).resolve().parent.parent.parent
RECIPE = ROOT / "recipes/prost_llm_3b.yaml"
ONE = Amounts(1, 1)


@pytest.mark.parametrize("name", ["prost_llm_3b", "prost_llm_3b_vanilla", "prost_llm_3b_tritask"])
def test_a_dry_run_prints_plan_sizes_memory_and_hours(name: str, tmp_path: Path) -> None:
    printed = dry_run(name, tmp_path)
    missing = "corpus.mono is data/mono, which does not exist"
    for words in ("414,748 rows", missing, "8 translator", "GPU h", "3.21 G parameters"):
        assert words in printed


def test_a_dry_run_of_scheduled_interleaving_aligns_seven_languages(tmp_path: Path) -> None:
    printed = dry_run("scheduled_interleaving_1b", tmp_path)
    directions = "directions fr-en, es-en, it-en, pt-en, ru-en, de-en, ca-en"
    for words in ("1,126,090 rows", directions, "align paired; 8 aligner", "1.24 G parameters", "1,943 M tokens"):
        assert words in printed


def test_a_dry_run_of_continuous_speech_has_stages_and_no_vocoder(tmp_path: Path) -> None:
    printed = dry_run("part_2b", tmp_path)
    for words in ("600,000 rows", "stage adapter", "stage text", "1.54 G parameters", "read mono, 100,000 rows"):
        assert words in printed
    assert "tokenize" not in printed and "vocoder" not in printed and "recognizer" not in printed


def test_a_dry_run_of_an_audio_llm_knows_its_size_or_says_that_it_does_not(tmp_path: Path) -> None:
    printed = dry_run("audio_llm", tmp_path, "1")
    for words in ("policy: Qwen/Qwen2-Audio-7B-Instruct", "7.76 G parameters", "read mono, 20,000 rows", "GPU h"):
        assert words in printed
    assert "vocoder" not in printed and "recognizer" not in printed
    by_name = load(ROOT / "recipes/audio_llm.yaml", ["expected.parameters=null"])
    assert "7.00 G parameters" in render(by_name, 1, ONE)
    unknown = load(ROOT / "recipes/audio_llm.yaml", ["expected.parameters=null", "policy.start=owner/talker"])
    assert costs(unknown, 1, ONE) == []
    assert render(unknown, 1, ONE).endswith("the size of owner/talker is not known; give it as expected.parameters")


def test_an_audio_llm_has_no_round_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--recipe", str(ROOT / "recipes/audio_llm.yaml"), "--round", "0-1", "--dry-run"]) == 2
    assert "policy.kind: audio_llm has no round 0, because Qwen/Qwen2-Audio-7B-Instruct" in capsys.readouterr().err


def dry_run(name: str, tmp_path: Path, rounds: str = "0-1") -> str:
    """Return what a dry run prints; it writes nothing, and each stage fits into its GPU."""
    command = [sys.executable, "factory/run_round.py", "--round", rounds, "--recipe", f"recipes/{name}.yaml"]
    command += ["--run", str(tmp_path), "--dry-run"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=HANG_S)
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.iterdir()) == []
    assert "does not fit" not in done.stdout
    return done.stdout


@pytest.mark.parametrize("name", ["prost_llm_3b", "prost_llm_3b_vanilla", "prost_llm_3b_tritask"])
def test_a_step_has_as_many_sequences_as_the_recipe_says(name: str) -> None:
    recipe = load(ROOT / f"recipes/{name}.yaml")
    units = recipe.expected.seconds * recipe.expected.units_per_s
    variants = [Variant(task) for task in recipe.policy.tasks]
    lengths = [units * (1 + variant.has_units + TEXT_SHARE * variant.has_text) for variant in variants]
    assert 75 < (recipe.sft.batches or 0) * recipe.sft.tokens / (sum(lengths) / len(lengths)) < 95


def test_a_task_counts_the_tokens_of_its_prompt_and_of_its_completion() -> None:
    def tokens(task: str) -> float:
        recipe = load(RECIPE, [f"policy.tasks={{com: 1e-9, {task}: 1.0}}", "corpus.text=text.parquet", "sft.epochs=1"])
        return sft_tokens(recipe, 1) / (recipe.expected.seconds * recipe.expected.units_per_s)

    expected = {
        "cot": 2 + 2 * TEXT_SHARE,
        "vanilla": 2,
        "asr": 1 + TEXT_SHARE,
        "s2t": 1 + TEXT_SHARE,
        "tts": 1 + TEXT_SHARE,
        "mt": 2 * TEXT_SHARE,
    }
    assert {task: tokens(task) for task in expected} == pytest.approx(expected)


def test_hours_follow_the_rows_and_memory_the_parameters() -> None:
    recipe, larger = load(RECIPE), load(RECIPE, ["expected.parameters=6.42e9"])
    once, twice = (sum(cost.hours for cost in costs(recipe, 0, Amounts(rows, rows))) for rows in (100_000, 200_000))
    assert once < twice < 2 * once + 1
    pairs = zip(costs(larger, 0, ONE), costs(recipe, 0, ONE), strict=True)
    assert all(big.gib >= small.gib for big, small in pairs)
    assert count_parameters(recipe) == 3.21e9


def test_many_texts_with_few_units_cost_little() -> None:
    changes = ["policy.tasks={com: 1.0, mt: 1.0}", "corpus.text=text.parquet", "scorer.metrics=[bleu]"]
    changes += ["translator.back_translate=text", "translator.n=16"]
    amounts = Amounts(100_000, 100_000)
    every, few = (
        {cost.stage: cost.hours for cost in costs(load(RECIPE, [*changes, *more]), 1, amounts)}
        for more in ([], ["translator.unit_temperature=0"])
    )
    assert 2 < every["produce"] / few["produce"] < 3
    assert every["evaluate"] == few["evaluate"]


@pytest.mark.parametrize("back", ["speech", "text"])
def test_no_back_translation_is_counted_where_the_policy_reads_the_source_text(back: str) -> None:
    changes = ["policy.tasks={com: 1.0, mt: 1.0}", "corpus.text=text.parquet", f"translator.back_translate={back}"]
    ways = {
        "decoded": ["scorer.metrics=[bleu]"],
        "both": ["scorer.metrics=[bleu, reconstruction]"],
        "read": ["scorer.metrics=[reconstruction]", "select.metric=reconstruction"],
    }
    recipes = {name: load(RECIPE, [*changes, *metrics]) for name, metrics in ways.items()}
    tokens = {name: tokens_of_produce(recipe) for name, recipe in recipes.items()}
    assert tokens["decoded"] == tokens["both"]
    if back == "speech":
        assert tokens["read"] == tokens["decoded"] / 2
    else:
        assert tokens["decoded"] / 2 < tokens["read"] < tokens["decoded"], "a text is short"
    heard = load(RECIPE, [*changes, *ways["read"], "scorer.score_text=asr", "recognizer.compute_type=int8"])
    assert [cost.stage for cost in costs(heard, 1, ONE) if cost.stage.startswith("produce")] == ["produce"]


def test_all_that_the_recognizer_transcribes_is_counted() -> None:
    plain = ["evaluate.cascade=null"]
    recipes = {
        "plain": load(RECIPE, plain),
        "cascade": load(RECIPE),
        "vanilla": load(ROOT / "recipes/prost_llm_3b_vanilla.yaml", plain),
    }
    hours = {name: {cost.stage: cost.hours for cost in costs(recipe, 1, ONE)} for name, recipe in recipes.items()}
    once = hours["plain"]["evaluate: recognizer"]
    assert once == hours["plain"]["toplines: recognizer"]  # two policies; recordings and their units
    assert hours["cascade"]["evaluate: recognizer"] == 2 * once
    assert hours["vanilla"]["evaluate: recognizer"] == 2 * once  # its back-translations have no text
    assert [cost.pool for cost in costs(recipes["vanilla"], 1, ONE) if cost.stage == "produce: recognizer"] == [
        "scorer"
    ]


def test_a_stage_that_does_not_fit_is_named() -> None:
    assert "does not fit" not in render(load(RECIPE), 1, Amounts(10_000, 10_000))
    small, many = ["expected.gpu_gib=40"], Amounts(400_000, 400_000)
    assert "does not fit" not in render(load(RECIPE, small), 0, many)
    large = render(load(RECIPE, [*small, "sft.sharded=false"]), 0, many)
    assert "sft does not fit into 40 GiB: lower its batch, or use LoRA" in large


@pytest.mark.parametrize("name", ["phrasebook", "phrasebook_vanilla", "phrasebook_tritask"])
def test_the_parameters_of_a_small_policy_follow_from_its_shape(name: str) -> None:
    assert 4e6 < count_parameters(load(ROOT / f"recipes/{name}.yaml")) < 7e6


def test_stages_of_continuous_speech_cost_what_learns_in_them() -> None:
    recipe, rows = load(ROOT / "recipes/part_2b.yaml"), 600_000
    first = {cost.stage: cost for cost in costs(recipe, 0, Amounts(rows, 0))}
    assert list(first) == ["stage adapter", "stage top", "stage encoder", "stage llm", "stage text", "evaluate"]
    assert all(cost.gib < 80 for cost in first.values())
    frames, text = 5.5 * 50, 5.5 * 24 * TEXT_SHARE
    frozen = 4 * 1.54e9 * (frames / 4 + text) + 2 * 6.35e8 * frames
    learned = frozen + 4 * 6.35e8 * frames
    per_hour = 990e12 * 0.35 * 3600
    assert first["stage adapter"].hours == pytest.approx(rows * frozen / per_hour)
    assert first["stage encoder"].hours == pytest.approx(rows * learned / per_hour)
    assert first["stage llm"].hours == pytest.approx(2 * first["stage encoder"].hours), "asr and s2t"
    few = load(ROOT / "recipes/part_2b.yaml", ["part.stages=[{name: a, train: ['adapter.*'], steps: 1}]"])
    assert costs(few, 0, Amounts(rows, 0))[0].hours == pytest.approx(
        first["stage adapter"].hours * 8 * 4096 / (rows * (frames / 4 + text))
    )
    later = [cost.stage for cost in costs(recipe, 1, Amounts(rows, rows))]
    assert later == ["produce", "train", "evaluate"], "nothing is tokenized and nothing is spoken"
