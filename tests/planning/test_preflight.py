"""What a round needs against what a cluster has: one sentence per shortfall, with the key that fixes it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from factory.passes.execute import list_demands
from factory.planning.places import Round, Run
from factory.planning.preflight import Shortfall, preflight, small_gpus, unplaced_actors
from factory.recipe.loading import load
from factory.recipe.recipe import Recipe
from factory.rounds import run_rounds

ROOT = Path(__file__).resolve().parent.parent.parent


def paper(*changes: str, name: str = "prost_llm_3b") -> Recipe:
    return load(ROOT / f"recipes/{name}.yaml", changes)


def planned(number: int, recipe: Recipe, uri: str = "runs/none") -> Round:
    return Round(Run(uri), number, recipe)


H100 = {"CPU": 64.0, "GPU": 8.0, "memory": 512 * 2.0**30, "accelerator_type:H100": 1.0}
T4 = {"CPU": 16.0, "GPU": 4.0, "memory": 64 * 2.0**30, "accelerator_type:T4": 1.0}
PRODUCE = ("translator", "vocoder", "scorer")


def unplaced(nodes: list[dict[str, float]], *changes: str, actors: tuple[str, ...] = PRODUCE) -> list[str]:
    return list(unplaced_actors("produce", list_demands(paper(*changes).resources, actors), nodes))


def test_the_papers_recipe_fits_eight_h100() -> None:
    recipe = paper()
    assert list(small_gpus(planned(0, paper("sft.sharded=false")), [H100])) == []
    for number in (0, 1):
        assert list(small_gpus(planned(number, recipe), [H100])) == []
    assert unplaced([H100]) == [] == unplaced([H100], actors=("trainer",))


@pytest.mark.parametrize("name", ["prost_llm_3b_vanilla", "prost_llm_3b_tritask"])
def test_the_other_variants_fit_too(name: str) -> None:
    recipe = paper(name=name)
    for number in (0, 1):
        assert list(small_gpus(planned(number, recipe), [H100])) == []
    assert list(unplaced_actors("produce", list_demands(recipe.resources, PRODUCE), [H100])) == []


@pytest.mark.parametrize(
    ("nodes", "change", "sentence"),
    [
        (
            [T4],
            "resources.translator.accelerator=H100",
            "produce: no node has room for one translator (1 CPU, 0.8 GPU, H100); of 1 nodes the largest have 16 CPU, "
            "4 GPU, T4: "
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
            "produce: 12 translator do not fit next to the other actors, 8 do: "
            "lower resources.translator.actors, or add nodes",
        ),
        (
            [H100],
            "resources.scorer.actors=100",
            "produce: 100 scorer do not fit next to the other actors, 47 do: "
            "lower resources.scorer.actors, or add nodes",
        ),
    ],
)
def test_actors_without_room_are_named_with_the_key_to_change(
    nodes: list[dict[str, float]], change: str, sentence: str
) -> None:
    assert unplaced(nodes, change) == [sentence]


def test_actors_that_fit_alone_but_not_together_are_named() -> None:
    changes = [f"resources.{name}.actors=1" for name in PRODUCE] + ["resources.scorer.num_cpus=64"]
    assert unplaced([H100], *changes)[0].endswith(
        "1 scorer (64 CPU, 0 GPU each), 1 reader and writer (0.25 CPU, 0 GPU each) do not fit together; of 1 nodes the "
        "largest have "
        "64 CPU, 8 GPU, H100: lower their num_cpus and num_gpus in resources, or add nodes"
    )


def test_the_share_of_a_gpu_counts() -> None:
    (training, *_) = small_gpus(planned(0, paper("sft.sharded=false")), [H100 | {"accelerator_type:A100": 1.0}])
    assert training.startswith("sft: needs about 67 GiB of GPU memory, and has 1 of a GPU of 40 GiB: use a larger")
    for key in ("sft.sharded", "resources.trainer.actors", "sft.rank", "sft.tokens"):
        assert key in training
    assert "num_gpus" not in training
    (generation, *_) = small_gpus(planned(1, paper("resources.translator.num_gpus=0.1")), [H100])
    share = (
        "produce: needs about 13 GiB of GPU memory, and has 0.1 of a GPU of 80 GiB: raise resources.translator.num_gpus"
    )
    assert generation.startswith(share) and generation.endswith("resources.translator.batch_size, or policy.base")
    assert list(small_gpus(planned(1, paper("resources.translator.num_gpus=0.4")), [H100])) == []


def test_the_smallest_known_gpu_counts() -> None:
    def shares(change: str, *kinds: str) -> list[str]:
        node = {"CPU": 64.0, "GPU": 8.0} | {f"accelerator_type:{kind}": 1.0 for kind in kinds}
        recipe = paper(change, "resources.translator.num_gpus=0.1")
        return [
            sentence.partition(", and has ")[2].partition(":")[0] for sentence in small_gpus(planned(1, recipe), [node])
        ]

    assert "0.1 of a GPU of 15 GiB" in shares("seed=0", "T4", "H100")
    assert "0.1 of a GPU of 80 GiB" in shares("resources.translator.accelerator=H100", "T4", "H100")
    assert "0.1 of a GPU of 20 GiB" in shares("expected.gpu_gib=20", "P1")
    assert "0.1 of a GPU of 20 GiB" in shares("expected.gpu_gib=20")


def test_missing_files_are_named_before_ray_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("factory.rounds.start_ray", lambda: pytest.fail("Ray was started for a round that cannot run"))
    recipe = load(ROOT / "recipes/phrasebook.yaml", ["corpus.mono=data/none", "encoder.codebook=data/none.safetensors"])
    with pytest.raises(Shortfall) as error:
        run_rounds([planned(number, recipe, str(tmp_path / "run")) for number in (0, 1)])
    assert str(error.value).splitlines() == [
        "the round cannot run here:",
        "  corpus.mono is data/none, which does not exist: put it there, or name another path with --set corpus.mono=…",
        "  encoder.codebook is data/none.safetensors, which does not exist: put it there, or name another "
        "path with --set "
        "encoder.codebook=…",
    ]
    assert not (tmp_path / "run").exists()


def test_nodes_that_never_come_cost_one_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    clock = SimpleNamespace(monotonic=lambda: now[0], sleep=lambda seconds: now.append(now.pop() + seconds))
    for module in ("factory.runtime.watch", "factory.planning.preflight"):
        monkeypatch.setattr(f"{module}.time", clock)
        monkeypatch.setattr(f"{module}.nodes", lambda: [{"CPU": 2.0}])
    monkeypatch.setattr("factory.runtime.watch.describe_cluster", lambda: "")
    monkeypatch.setattr("ray.autoscaler.sdk.request_resources", lambda bundles: None)
    monkeypatch.setenv("RAY_ADDRESS", "none")
    monkeypatch.setenv("ROUNDTRIP_GROWTH_S", "1800")
    large = load(ROOT / "recipes/phrasebook.yaml", ["resources.scorer.num_cpus=4", "resources.recognizer.num_cpus=4"])
    with pytest.raises(
        Shortfall, match=r"(?s)produce: no node has room for one scorer.*toplines: no node has room for one recognizer"
    ):
        preflight(planned(1, large, str(tmp_path)))
    assert 1800 <= now[0] < 1810
