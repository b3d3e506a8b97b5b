"""What a round asks for beside what a cluster has: one sentence for each shortfall, with the key that would mend it."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster.preflight import cramped, full, unplaced
from factory.passes.plan import demands
from factory.recipe import Recipe, load
from factory.runs import Run
from factory.typed import RecipeError

ROOT = Path(__file__).resolve().parent.parent.parent
H100 = {"CPU": 64.0, "GPU": 8.0, "memory": 512 * 2.0**30, "accelerator_type:H100": 1.0}
T4 = {"CPU": 16.0, "GPU": 4.0, "memory": 64 * 2.0**30, "accelerator_type:T4": 1.0}
PRODUCE = ("translator", "vocoder", "scorer")


def paper(*changes: str, name: str = "prost_llm_3b") -> Recipe:
    return load(ROOT / f"recipes/{name}.yaml", changes)


def placed(nodes: list[dict[str, float]], *changes: str, actors: tuple[str, ...] = PRODUCE) -> list[str]:
    return list(unplaced("produce", demands(paper(*changes).resources, actors), nodes))


def test_the_papers_recipe_fits_eight_h100() -> None:
    recipe = paper()
    assert list(cramped(0, paper("sft.sharded=false"), [H100])) == []
    for number in (0, 1):
        assert list(cramped(number, recipe, [H100])) == []
    assert placed([H100]) == [] == placed([H100], actors=("trainer",))


@pytest.mark.parametrize("name", ["prost_llm_3b_vanilla", "prost_llm_3b_tritask"])
def test_its_other_variants_fit_too(name: str) -> None:
    recipe = paper(name=name)
    for number in (0, 1):
        assert list(cramped(number, recipe, [H100])) == []
    assert list(unplaced("produce", demands(recipe.resources, PRODUCE), [H100])) == []


@pytest.mark.parametrize(
    ("nodes", "change", "sentence"),
    [
        (
            [T4],
            "resources.translator.accelerator=H100",
            "produce: no node has room for one translator (1 CPU, 0.8 GPU, H100); of 1 nodes the largest have 16 CPU, 4 GPU, T4: "
            "lower resources.translator.num_cpus, num_gpus or memory_gib, change its accelerator, or add such a node",
        ),
        (
            [H100],
            "resources.scorer.memory_gib=600",
            "produce: no node has room for one scorer (1 CPU, 0 GPU); of 1 nodes the largest have 64 CPU, 8 GPU, H100: "
            "lower resources.scorer.num_cpus, num_gpus or memory_gib, or add such a node",
        ),
        (
            [H100],
            "resources.translator.actors=12",
            "produce: 12 translator do not fit beside the others, 8 would: lower resources.translator.actors, or add nodes",
        ),
        (
            [H100],
            "resources.scorer.actors=100",
            "produce: 100 scorer do not fit beside the others, 47 would: lower resources.scorer.actors, or add nodes",
        ),
    ],
)
def test_actors_without_room_are_told_with_the_key_to_change(nodes: list[dict[str, float]], change: str, sentence: str) -> None:
    assert placed(nodes, change) == [sentence]


def test_two_that_fit_alone_but_not_together_are_told() -> None:
    changes = [f"resources.{name}.actors=1" for name in PRODUCE] + ["resources.scorer.num_cpus=64"]
    assert placed([H100], *changes)[0].endswith(
        "1 scorer (64 CPU, 0 GPU each), 1 reader and writer (0.25 CPU, 0 GPU each) do not fit together; of 1 nodes the largest have "
        "64 CPU, 8 GPU, H100: lower their num_cpus and num_gpus in resources, or add nodes"
    )


def test_gpu_memory_is_that_of_the_pools_share() -> None:
    (training, *_) = cramped(0, paper("sft.sharded=false"), [H100 | {"accelerator_type:A100": 1.0}])
    assert training.startswith("sft: some 67 GiB") and "1 of a GPU of 40 GiB is there: take a larger accelerator" in training
    for key in ("sft.sharded", "resources.trainer.actors", "sft.rank", "sft.tokens"):
        assert key in training
    assert "num_gpus" not in training
    (writing, *_) = cramped(1, paper("resources.translator.num_gpus=0.1"), [H100])
    assert writing.startswith("produce: some 13 GiB") and "0.1 of a GPU of 80 GiB is there: raise resources.translator.num_gpus" in writing
    assert list(cramped(1, paper("resources.translator.num_gpus=0.4"), [H100])) == []


def test_a_small_disk_is_told(tmp_path: Path) -> None:
    (sentence,) = full(Run(str(tmp_path / "run")), 1, paper("expected.parameters=1e15"))
    assert "for rows, 4656612.9 for the policy and its checkpoint), and " + str(tmp_path) in sentence
    assert list(full(Run("s3://bucket/run"), 1, paper("expected.parameters=1e15"))) == []
    assert list(full(Run(str(tmp_path)), 1, load(ROOT / "recipes/phrasebook.yaml"))) == []


def test_pools_that_make_no_sense_are_refused() -> None:
    with pytest.raises(RecipeError, match=r"resources.encoder.max_actors must be resources.encoder.actors \(2\) or more, or null; got 1"):
        paper("resources.encoder.max_actors=1")
    with pytest.raises(RecipeError, match=r"resources.scorer.accelerator is a type of GPU and needs resources.scorer.num_gpus; got 0"):
        paper("resources.scorer.accelerator=H100")
    for share in ("0.5", "2"):
        with pytest.raises(RecipeError, match="resources.trainer.num_gpus must be 0 or 1, for a worker trains on one GPU; more GPUs are"):
            paper(f"resources.trainer.num_gpus={share}")
