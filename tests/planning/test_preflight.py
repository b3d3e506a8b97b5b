"""What a round asks for beside what a cluster has: one sentence for each shortfall, with the key that would mend it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from factory.models.weights import near_folder
from factory.passes.execute import list_demands
from factory.planning.places import Run
from factory.planning.plan import missing
from factory.planning.preflight import Shortfall, _cache_room, cramped, full, narrow, preflight, unplaced
from factory.recipe.loading import load
from factory.recipe.recipe import Recipe
from factory.recipe.typed import RecipeError
from factory.rounds import run_rounds

ROOT = Path(__file__).resolve().parent.parent.parent
H100 = {"CPU": 64.0, "GPU": 8.0, "memory": 512 * 2.0**30, "accelerator_type:H100": 1.0}
T4 = {"CPU": 16.0, "GPU": 4.0, "memory": 64 * 2.0**30, "accelerator_type:T4": 1.0}
PRODUCE = ("translator", "vocoder", "scorer")


def paper(*changes: str, name: str = "prost_llm_3b") -> Recipe:
    return load(ROOT / f"recipes/{name}.yaml", changes)


def placed(nodes: list[dict[str, float]], *changes: str, actors: tuple[str, ...] = PRODUCE) -> list[str]:
    return list(unplaced("produce", list_demands(paper(*changes).resources, actors), nodes))


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
    assert list(unplaced("produce", list_demands(recipe.resources, PRODUCE), [H100])) == []


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
def test_actors_without_room_are_told_with_the_key_to_change(
    nodes: list[dict[str, float]], change: str, sentence: str
) -> None:
    assert placed(nodes, change) == [sentence]


def test_two_that_fit_alone_but_not_together_are_told() -> None:
    changes = [f"resources.{name}.actors=1" for name in PRODUCE] + ["resources.scorer.num_cpus=64"]
    assert placed([H100], *changes)[0].endswith(
        "1 scorer (64 CPU, 0 GPU each), 1 reader and writer (0.25 CPU, 0 GPU each) do not fit together; of 1 nodes the largest have "
        "64 CPU, 8 GPU, H100: lower their num_cpus and num_gpus in resources, or add nodes"
    )


def test_gpu_memory_is_that_of_the_pools_share() -> None:
    (training, *_) = cramped(0, paper("sft.sharded=false"), [H100 | {"accelerator_type:A100": 1.0}])
    assert (
        training.startswith("sft: some 67 GiB")
        and "1 of a GPU of 40 GiB is there: take a larger accelerator" in training
    )
    for key in ("sft.sharded", "resources.trainer.actors", "sft.rank", "sft.tokens"):
        assert key in training
    assert "num_gpus" not in training
    (writing, *_) = cramped(1, paper("resources.translator.num_gpus=0.1"), [H100])
    assert (
        writing.startswith("produce: some 13 GiB")
        and "0.1 of a GPU of 80 GiB is there: raise resources.translator.num_gpus" in writing
    )
    assert list(cramped(1, paper("resources.translator.num_gpus=0.4"), [H100])) == []


def test_a_small_disk_is_told(tmp_path: Path) -> None:
    (sentence,) = full(Run(str(tmp_path / "run")), 1, paper("expected.parameters=1e15"))
    assert "for rows, 4656612.9 for the policy and its checkpoint), and " + str(tmp_path) in sentence
    assert list(full(Run("s3://bucket/run"), 1, paper("expected.parameters=1e15"))) == []
    assert list(full(Run(str(tmp_path)), 1, load(ROOT / "recipes/phrasebook.yaml"))) == []


def test_a_small_cache_where_a_run_in_a_store_may_train_is_told(local_ray: None, tmp_path: Path) -> None:
    stored, large = Run(f"file://{tmp_path}/run"), "expected.parameters=1e15"
    recipe = load(ROOT / "recipes/phrasebook.yaml", [large])
    (sentence,) = narrow(stored, 1, recipe)
    assert (
        sentence.startswith("disk: the training takes some 4656612.9 GiB on its node, and /")
        and "ROUNDTRIP_CACHE" in sentence
    )
    assert (
        list(narrow(Run(str(tmp_path / "run")), 1, recipe))
        == []
        == list(narrow(stored, 1, load(ROOT / "recipes/phrasebook.yaml")))
    )
    elsewhere = load(ROOT / "recipes/phrasebook.yaml", [large, "resources.trainer.num_gpus=1"])
    assert list(narrow(stored, 1, elsewhere)) == []  # no trainer can come to a node without a GPU
    assert "disk: the training takes" in str(pytest.raises(Shortfall, preflight, stored, 1, recipe).value)
    (tmp_path / "run/round-1/policy").mkdir(parents=True)
    (tmp_path / "run/round-1/policy/config.json").touch()
    assert list(narrow(stored, 1, recipe)) == []


def test_what_a_training_left_counts_as_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROUNDTRIP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=0))
    assert _cache_room("s3://bucket/policy") == (str(tmp_path), 0.0)
    left = near_folder("s3://bucket/policy") / "policy.work"
    left.mkdir(parents=True)
    (left / "checkpoint.pt").write_bytes(bytes(2**20))
    assert _cache_room("s3://bucket/policy")[1] == 2**-10 and _cache_room("s3://bucket/other")[1] == 0


ABSENT = (
    "corpus.mono",
    "corpus.paired",
    "corpus.dev",
    "corpus.test",
    "corpus.text",
    "encoder.codebook",
    "encoder.model",
    "vocoder.fr",
)
ABSENT += ("recognizer.model", "policy.start", "policy.base", "evaluate.cascade.fr")


def untold(numbers: list[int], folder: Path, *absent: str) -> set[str]:
    """Return which of these keys rounds do not miss although nothing is where they lead."""
    recipe = load(ROOT / "recipes/phrasebook.yaml", [f"{key}={folder}/no/thing" for key in absent])
    told = {sentence.partition(" is ")[0] for sentence in missing(Run(str(folder / "run")), numbers, recipe)}
    assert told <= set(absent)
    return set(absent) - told


def test_a_round_misses_what_it_reads_and_nothing_else(tmp_path: Path) -> None:
    assert untold([0], tmp_path, *ABSENT) == {"corpus.mono", "policy.start"}
    paired = {"corpus.paired", "corpus.dev", "corpus.text", "policy.base"}  # round 0 alone learns from them
    assert untold([1], tmp_path, *ABSENT) == paired
    assert untold([2], tmp_path, *ABSENT) == {*paired, "policy.start"}
    assert untold([0, 1], tmp_path, *ABSENT) == {"policy.start"}  # made by then
    assert untold([1], tmp_path) == untold([0], tmp_path) == set()
    from_paired = load(ROOT / "recipes/phrasebook.yaml", ["corpus.source=paired", f"corpus.mono={tmp_path}/no/thing"])
    assert missing(Run(str(tmp_path)), [1], from_paired) == []
    (tmp_path / "run/round-0/policy").mkdir(parents=True)
    (tmp_path / "run/round-0/policy/config.json").touch()
    assert untold([1], tmp_path, "policy.start") == {"policy.start"}


def test_an_encoder_that_nothing_is_tokenized_with_and_names_on_the_hub_are_not_missed(tmp_path: Path) -> None:
    units = [f"corpus.{name}=assets/phrasebook/dev.parquet" for name in ("mono", "paired", "test")]
    hub = [
        "vocoder.fr=owner/voice",
        "policy.base=owner/model@main",
        "recognizer.model=owner/hears",
        "evaluate.cascade={fr: owner/speaks}",
    ]
    recipe = load(ROOT / "recipes/phrasebook.yaml", [*units, *hub, f"encoder.model={tmp_path}/no/thing"])
    assert missing(Run(str(tmp_path)), [0, 1], recipe) == []


def test_all_that_is_missing_is_told_before_ray_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("factory.rounds.start_ray", lambda: pytest.fail("Ray was started for a round that cannot run"))
    recipe = load(ROOT / "recipes/phrasebook.yaml", ["corpus.mono=data/none", "encoder.codebook=data/none.safetensors"])
    with pytest.raises(Shortfall) as told:
        run_rounds(Run(str(tmp_path / "run")), [0, 1], recipe)
    assert str(told.value).splitlines() == [
        "the round cannot run here:",
        "  corpus.mono is data/none, and nothing is there: put it there, or say where it is with --set corpus.mono=…",
        "  encoder.codebook is data/none.safetensors, and nothing is there: put it there, or say where it is with --set encoder.codebook=…",
    ]
    assert not (tmp_path / "run").exists()


def test_nodes_that_never_come_are_waited_for_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    clock = SimpleNamespace(monotonic=lambda: now[0], sleep=lambda seconds: now.append(now.pop() + seconds))
    for module in ("factory.runtime.watch", "factory.planning.preflight"):
        monkeypatch.setattr(f"{module}.time", clock)
        monkeypatch.setattr(f"{module}.nodes", lambda: [{"CPU": 2.0}])
    monkeypatch.setattr("factory.runtime.watch.there", lambda: "")
    monkeypatch.setattr("ray.autoscaler.sdk.request_resources", lambda bundles: None)
    monkeypatch.setenv("RAY_ADDRESS", "none")
    monkeypatch.setenv("ROUNDTRIP_GROWTH_S", "1800")
    large = load(ROOT / "recipes/phrasebook.yaml", ["resources.scorer.num_cpus=4", "resources.recognizer.num_cpus=4"])
    with pytest.raises(
        Shortfall, match=r"(?s)produce: no node has room for one scorer.*toplines: no node has room for one recognizer"
    ):
        preflight(Run(str(tmp_path)), 1, large)
    assert 1800 <= now[0] < 1810


def test_pools_that_make_no_sense_are_refused() -> None:
    with pytest.raises(
        RecipeError,
        match=r"resources.encoder.max_actors must be resources.encoder.actors \(2\) or more, or null; got 1",
    ):
        paper("resources.encoder.max_actors=1")
    with pytest.raises(
        RecipeError, match=r"resources.scorer.accelerator is a type of GPU and needs resources.scorer.num_gpus; got 0"
    ):
        paper("resources.scorer.accelerator=H100")
    for share in ("0.5", "2"):
        with pytest.raises(
            RecipeError,
            match="resources.trainer.num_gpus must be 0 or 1, for a worker trains on one GPU; more GPUs are",
        ):
            paper(f"resources.trainer.num_gpus={share}")
