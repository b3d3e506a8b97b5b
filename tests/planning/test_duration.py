"""How long a round will take: the expectation follows rows, cores, speed and what is done."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from factory.planning.duration import describe_duration, expect_durations, probe_speed
from factory.planning.places import Round, Run
from factory.recipe.loading import load


def expect(
    folder: Path, *changes: str, name: str = "phrasebook", number: int = 1, cores: int = 2, speed: float = 1.0
) -> dict[str, float]:
    recipe = load(f"recipes/{name}.yaml", ["resources.dtype=bfloat16", *changes])
    return dict(expect_durations(Round(Run(str(folder)), number, recipe), cores, speed))


def test_the_demo_takes_minutes_and_each_stage_its_share(tmp_path: Path) -> None:
    """The times that docs/results.md gives for the demo, within a factor of two."""
    demo = expect(tmp_path, name="station")
    assert set(demo) == set(expect(tmp_path)) == {"start", "tokenize", "produce", "train", "evaluate"}, "toplines ship"
    for stage, seconds in {"tokenize": 78, "produce": 148, "train": 99, "evaluate": 90}.items():
        assert seconds / 2 < demo[stage] < seconds * 2, stage


def test_rows_cores_speed_and_number_format_change_the_time(tmp_path: Path) -> None:
    demo, few = expect(tmp_path), expect(tmp_path, "corpus.limit=25")
    assert few["produce"] < demo["produce"] / 2 and few["train"] < demo["train"] / 3
    assert few["evaluate"] == demo["evaluate"]
    assert expect(tmp_path, "evaluate.asr_utterances=1")["evaluate"] < demo["evaluate"]
    one_core = expect(tmp_path, cores=1)
    assert one_core["train"] == 2 * demo["train"] and one_core["produce"] == demo["produce"]
    assert sum(expect(tmp_path, speed=0.5).values()) == pytest.approx(2 * sum(demo.values()))
    assert expect(tmp_path, "resources.dtype=float32")["produce"] > 1.2 * demo["produce"]
    assert expect(tmp_path, "corpus.test=assets/phrasebook/mono")["toplines"] > 10
    assert expect(tmp_path, number=0)["train"] > 1800, "round 0 learns for half an hour or more"


def test_what_is_done_takes_no_time(tmp_path: Path) -> None:
    policy = tmp_path / "round-1/policy/config.json"
    policy.parent.mkdir(parents=True)
    policy.touch()
    assert "train" not in expect(tmp_path) and "produce" in expect(tmp_path)


def test_the_line_names_total_stages_and_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    line = describe_duration(Round(Run(str(tmp_path)), 1, load("recipes/phrasebook.yaml")))
    assert line.startswith("time: about ") and "cores, within a factor of two (start " in line and "train " in line
    on_gpu = load("recipes/phrasebook.yaml", ["resources.translator.num_gpus=1"])
    assert describe_duration(Round(Run(str(tmp_path)), 1, on_gpu)) == ""
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    assert describe_duration(Round(Run(str(tmp_path)), 1, load("recipes/phrasebook.yaml"))) == ""


def test_the_probe_takes_less_than_two_seconds_of_a_core() -> None:
    began = time.process_time(), sum(time_of_children())
    assert 0.01 < probe_speed() < 100
    assert time.process_time() - began[0] + sum(time_of_children()) - began[1] < 2


def time_of_children() -> tuple[float, float]:
    import os

    times = os.times()
    return times.children_user, times.children_system


def test_measures_of_the_speech_take_time(tmp_path: Path) -> None:
    names = ("", "dnsmos", "dnsmos, speaker_similarity")
    none, one, both = (expect(tmp_path, f"evaluate.speech_measures=[{name}]")["evaluate"] for name in names)
    assert one > 2 * none and (both - none) / (one - none) == pytest.approx(1.6 / 1.5)
