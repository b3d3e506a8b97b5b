"""The sounds of the listening page: recordings of a folder one after another, and what a sound that cannot be made does
to the others.
"""

from __future__ import annotations

import io
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import soundfile

from factory.corpora.audio import RATE, encode
from factory.planning.kept_recipe import keep_recipe
from factory.recipe.recipe import Recipe
from tests.toy_run import ROOT, toy_recipe, toy_run

SECONDS = 3.3
"""No unit of the toy run's is spoken for as long."""


def recorded(folder: Path, count: int) -> Path:
    """Write recordings `fr/0.wav` … into a folder."""
    wave = np.sin(np.arange(int(SECONDS * RATE)) / 20).astype(np.float32) / 2
    for number in range(count):
        path = folder / f"fr/{number}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode(wave, "WAV"))
    return folder


@contextmanager
def listening(place: Path, recipe: Recipe) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Serve the page of a toy run over `recipe`, and yield its address."""
    run = toy_run(place, ids=[f"fr/{number}" for number in range(6)], langs=("fr",))
    keep_recipe(run, 1, recipe)
    command = [
        sys.executable,
        "-m",
        "factory.cli",
        "listen",
        "--run",
        run.uri,
        "--port",
        "0",
        "--rows",
        "4",
        "--rater",
        "script",
    ]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen(command, cwd=ROOT, text=True, **pipes)  # type: ignore[call-overload]
    try:
        found = re.search(r"http://127\.0\.0\.1:\d+/", process.stdout.readline())
        assert found, process.communicate()[1]
        yield found[0], process
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()


def seconds(url: str) -> float:
    """Return how long the sound at an address lasts."""
    return float(soundfile.info(io.BytesIO(urllib.request.urlopen(url, timeout=300).read())).duration)


def with_speech(mono: Path) -> Recipe:
    recipe = toy_recipe()
    return replace(recipe, corpus=replace(recipe.corpus, mono=str(mono)))


def test_two_recordings_of_a_folder_play_one_after_the_other(tmp_path: Path) -> None:
    with listening(tmp_path / "run", with_speech(recorded(tmp_path / "speech", 6))) as (address, process):
        assert abs(seconds(f"{address}sound/0/source") - SECONDS) < 0.2
        time.sleep(3)  # the thread of that request is over, and what it might have started with it
        assert abs(seconds(f"{address}sound/1/source") - SECONDS) < 0.2
        assert seconds(f"{address}sound/1/a") > 0 and process.poll() is None


def test_a_source_whose_recording_is_gone_is_resynthesised(tmp_path: Path) -> None:
    speech = recorded(tmp_path / "speech", 6)
    recipe = with_speech(speech)
    for path in speech.rglob("*.wav"):
        path.write_bytes(b"no sound at all")
    with listening(tmp_path / "run", recipe) as (address, _):
        assert 0 < seconds(f"{address}sound/0/source") < SECONDS - 1
    for path in (*speech.rglob("*.wav"), speech / "fr", speech):
        path.rmdir() if path.is_dir() else path.unlink()
    with listening(tmp_path / "again", recipe) as (address, process):
        assert 0 < seconds(f"{address}sound/0/source") < SECONDS - 1
        process.kill()
        assert "cannot be read, so their sources are resynthesised from units" in process.communicate()[1]


def test_a_sound_that_cannot_be_made_is_answered_and_the_others_play(tmp_path: Path) -> None:
    recipe = with_speech(recorded(tmp_path / "speech", 6))
    with listening(tmp_path / "run", replace(recipe, vocoder={"fr": recipe.vocoder["fr"]})) as (address, process):
        for name in ("a", "b", "a"):
            try:
                urllib.request.urlopen(f"{address}sound/0/{name}", timeout=300)
            except urllib.error.HTTPError as error:
                assert error.code == 500
                assert (
                    error.read().decode() == "this sound cannot be made (ValueError: the recipe has no vocoder for en)"
                )
            else:
                raise AssertionError("there is no voice for it")
        assert seconds(f"{address}sound/0/source") > 0 and process.poll() is None
