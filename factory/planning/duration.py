"""How long a round will take on this machine: counts of rows, times measured on one machine, and a probe of this one.

The times are seconds of one core of an AMD EPYC with bf16 units, with the models of the embedded world
(`docs/results.md`). An expectation is right within a factor of two: other work on the machine is not known.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import NamedTuple

from factory.models.device import resolve_dtype
from factory.planning.estimate import count_parameters, sft_tokens, tokens_of_produce
from factory.planning.places import Round
from factory.planning.plan import Stage, amounts_of, stages
from factory.planning.sizes import find_parameters
from factory.recipe.paths import portable_paths
from factory.recipe.recipe import Recipe

REFERENCE_GFLOPS = 104.0
"""Products of float32 matrices per second on one core of the measured machine."""
REFERENCE_PARAMETERS = 5.3e6
"""Parameters of the policy of the embedded world."""
FLOAT32 = 1.4
"""Time of a translator in float32 against bfloat16 on units for it."""
START = {
    "round": 8.0,
    "tokenize": 7.0,
    "read": 4.0,
    "speak": 8.0,
    "produce": 16.0,
    "train": 24.0,
    "toplines": 8.0,
    "evaluate": 22.0,
}
"""Seconds of a core until a stage has loaded its models; `round`: until Ray has started."""
ENCODE, HEAR, SPEAK = 0.014, 0.07, 0.01
"""Seconds of a core per second of speech: to units; transcript and MOS; units to speech."""
MEASURES = {"dnsmos": 1.5, "speaker_similarity": 0.1}
"""Seconds of a core for each of `evaluate.speech_measures`, of a short utterance."""
TOKEN, TEXT = 1 / 3_000, 0.012
"""Seconds of a core to write a token of candidates, and to write a test utterance's text and back-translation."""
PAIR, SFT_TOKEN = 0.15, 2 / 3_300
"""Seconds of a core to learn from a pair once, and from a token of round 0."""
FEATURES = 0.05
"""Seconds of a core for the features of a recording and an audio LLM's tower, which take 30 s however short it is."""
READ = 0.002
"""Seconds of a core to decode and check a second of speech."""
LEARN_ADAPTER, LEARN_ENCODER = 0.055, 0.09
"""Seconds of a core to learn from a second of continuous speech: the adapter alone, and four layers of Whisper base."""
PAIRS = 0.7
"""Pairs per utterance."""
EMBEDDED = {
    f"assets/{name}" for name in ("phrasebook/test", "station/test", "phrasebook/vocoder-fr", "phrasebook/vocoder-en")
}
"""The test sets and the vocoders whose toplines ship."""

_PROBE = """
import time, numpy
matrix = numpy.ones((512, 512), numpy.float32)
times, end = [], time.perf_counter() + 0.3
while time.perf_counter() < end:
    began = time.perf_counter()
    matrix @ matrix
    times.append(time.perf_counter() - began)
print(2 * 512**3 / min(times) / 1e9)
"""


class Duration(NamedTuple):
    """The expected seconds of a stage."""

    stage: str
    seconds: float


def describe_duration(round_: Round) -> str:
    """Return a line with the expected time of the stages that are left; "" if it is not known.

    It is known for a round whose processes all run on the CPU of this machine.
    """
    resources = round_.recipe.resources
    on_gpu = any(
        getattr(resources, name).num_gpus for name in ("translator", "trainer", "recognizer", "encoder", "aligner")
    )
    if on_gpu or os.environ.get("RAY_ADDRESS") or find_parameters(round_.recipe) is None:
        return ""
    cores = len(os.sched_getaffinity(0))
    durations = expect_durations(round_, cores, probe_speed())
    parts = ", ".join(f"{stage} {_say(seconds)}" for stage, seconds in durations)
    total = _say(sum(seconds for _, seconds in durations))
    return f"time: about {total} on this machine with {cores} cores, within a factor of two ({parts})"


def probe_speed() -> float:
    """Return the speed of one core against the measured machine, from products of 0.3 s; 1 if the probe fails."""
    environment = os.environ | dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    done = subprocess.run([sys.executable, "-c", _PROBE], env=environment, capture_output=True, text=True, timeout=30)
    return float(done.stdout) / REFERENCE_GFLOPS if done.returncode == 0 else 1.0


def expect_durations(round_: Round, cores: int, speed: float) -> list[Duration]:
    """Return the expected time of every stage that is not done.

    Args:
        round_: the round.
        cores: the cores of the machine.
        speed: of one core, against the measured machine.
    """
    seconds = {"start": START["round"] / speed}
    for stage in stages(round_):
        if not stage.is_done(round_):
            name = stage.name.split()[0]
            pools = [getattr(round_.recipe.resources, actor) for actor in stage.actors if actor != "scorer"]
            busy = min(cores, max(1, sum(pool.actors * pool.threads for pool in pools)))
            seconds[name] = seconds.get(name, 0.0) + _core_seconds(stage, round_) / busy / speed
    return [Duration(name, value) for name, value in seconds.items() if value >= 0.5]


def _core_seconds(stage: Stage, round_: Round) -> float:
    """Return the seconds of one core of the measured machine that a stage takes."""
    recipe, name, rows = round_.recipe, stage.name.split()[0], stage.rows or 0
    policy = count_parameters(recipe) / REFERENCE_PARAMETERS
    writing = policy * (1 if resolve_dtype(recipe.resources.dtype, on_gpu=False) == "bfloat16" else FLOAT32)
    speech = recipe.expected.seconds
    spoken = len(recipe.used_directions) * recipe.evaluate.asr_utterances if recipe.writes_speech else 0
    features = FEATURES if recipe.chats else 0.0
    work = {
        "tokenize": rows * ENCODE * speech,
        "read": rows * READ * speech,
        "speak": rows * SPEAK * speech,
        "produce": rows * (tokens_of_produce(recipe) * TOKEN * writing + features),
        "train": _training(round_) * policy,
        "toplines": rows * speech * (ENCODE + SPEAK + 2 * HEAR),
        "evaluate": rows * (TEXT * writing + features) + spoken * _hearing(recipe, writing),
    }
    if not stage.actors or (name == "toplines" and _knows_toplines(recipe)):
        return 0.0
    return START[name] + work[name]


def _training(round_: Round) -> float:
    """Return the seconds that the rows of a round are trained on."""
    recipe, rows = round_.recipe, amounts_of(round_).rows
    if round_.number == 0 and recipe.hears_speech:
        return _staged_training(recipe, rows) * REFERENCE_PARAMETERS / count_parameters(recipe)
    if round_.number == 0:
        return sft_tokens(recipe, rows) * SFT_TOKEN
    most = len(recipe.used_directions) * recipe.select.pairs if recipe.select.pairs else PAIRS * rows
    pairs = min(PAIRS * rows, most)
    return recipe.preference.epochs * pairs * PAIR


def _staged_training(recipe: Recipe, rows: int) -> float:
    """Return the seconds of the stages of a policy of continuous speech; its encoder takes most of them."""
    seconds = 0.0
    for stage in recipe.part.stages:
        learns = any("encoder." in pattern or pattern == "*" for pattern in stage.train)
        spoken = sum(
            weight * recipe.policy.tasks.get(task, 0.0) for task, weight in stage.tasks.items() if task != "mt"
        )
        each = LEARN_ENCODER if learns else LEARN_ADAPTER
        seconds += stage.epochs * rows * spoken * recipe.expected.seconds * each
    return seconds


def _hearing(recipe: Recipe, writing: float) -> float:
    """Return the seconds of a translation that is spoken and heard."""
    speech = recipe.expected.seconds
    measures = sum(MEASURES[name] for name in recipe.evaluate.speech_measures)
    return speech * (recipe.expected.units_per_s * TOKEN * writing + SPEAK + HEAR) + measures


def _knows_toplines(recipe: Recipe) -> bool:
    """Return whether the toplines of the recipe's test set ship."""
    paths = portable_paths(recipe)
    return {paths.corpus.test, *paths.vocoder.values()} <= EMBEDDED


def _say(seconds: float) -> str:
    return (
        f"{seconds:.0f} s"
        if seconds < 90
        else f"{seconds / 60:.0f} min"
        if seconds < 5_400
        else f"{seconds / 3600:.1f} h"
    )
