"""The listening page: a scripted rater in a real Chromium, the sounds, and what the server refuses."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile

from factory.cli import main
from factory.corpora.audio import encode
from factory.listen.choose import choose_questions
from factory.listen.judgements import read_judgement_table, save_judgement
from factory.listen.server import Session, make_server
from factory.planning.places import Round
from factory.recipe.recipe import Recipe
from factory.runtime.loopback import open_port
from schemas.audio import SAMPLE_RATE
from tests.browser import Page, browser
from tests.limits import HANG_S
from tests.listen.test_judgements import judge
from tests.toy_run import ROOT, toy_recipe, toy_run

SECONDS = 3.3
"""Duration of a recording; the vocoder makes nothing as long from the units of the toy run."""


@pytest.fixture(scope="module")
def round_(tmp_path_factory: pytest.TempPathFactory) -> Round:
    return Round(toy_run(tmp_path_factory.mktemp("run")), 1, toy_recipe())


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with browser(tmp_path_factory.mktemp("browser") / "log") as opened:
        yield opened


def start_command(round_: Round) -> tuple[subprocess.Popen[str], str]:
    """Start `roundtrip listen` and return its process and the address that it prints."""
    command = [sys.executable, "-m", "factory.cli", "listen", "--run", round_.run.uri]
    command += ["--port", "0", "--rows", "4", "--rater", "script"]
    # a process that a shell starts in the background ignores Ctrl-C
    heed = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    process = subprocess.Popen(command, cwd=ROOT, env=os.environ, stdout=subprocess.PIPE, text=True, preexec_fn=heed)
    assert process.stdout
    match = re.search(r"http://127\.0\.0\.1:\d+/", process.stdout.readline())
    assert match, process.poll()
    return process, match[0]


@contextmanager
def serve_session(round_: Round) -> Iterator[str]:
    """Serve four questions of a round in this process, and yield the address."""
    session = Session(round_, choose_questions(round_, "random", 4), "script", "random")
    server = make_server(session)
    with open_port(0) as listener, session.sounds:
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        server.should_exit = True
        thread.join(HANG_S)


def begin_judgement(address: str) -> socket.socket:
    """Send the head of a judgement whose body never comes, and return the connection."""
    port = int(address.rsplit(":", 1)[1].strip("/"))
    connection = socket.create_connection(("127.0.0.1", port))
    head = f"POST /judge HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\nContent-Length: 9\r\n"
    connection.sendall(f"{head}\r\n".encode())
    return connection


def answer(page: Page, verdict: str) -> None:
    """Listen to both candidates by keyboard, as a person does, and press the key of a verdict."""
    before = page.run("count.textContent")
    for key in "ab":
        page.press(key)
        page.wait(f"played.has('{key}')")
    page.press(verdict)
    page.wait(f"count.textContent !== {json.dumps(before)}")


def test_a_rater_judges_by_keyboard_and_a_kill_loses_nothing(round_: Round, page: Page) -> None:
    first, address = start_command(round_)
    page.open(address)
    page.wait("rows.length === 4")
    page.press("1")  # nothing was played yet, so no verdict counts
    assert read_judgement_table(round_).num_rows == 0
    page.press("s")
    page.wait("audio.currentTime > 0")
    answer(page, "1")
    answer(page, "2")
    assert page.run("document.getElementById('progress').value") == 2
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert read_judgement_table(round_)["verdict"].to_pylist() == ["a", "same"]
    second, address = start_command(round_)
    page.open(address)
    page.wait("rows.length === 4 && count.textContent.startsWith('2 of 4')")
    assert page.run("index") == 2  # it continues with the third row
    answer(page, "3")
    page.press("ArrowLeft")
    answer(page, "2")  # the second answer replaces the first
    with begin_judgement(address):
        second.send_signal(signal.SIGINT)
        assert "3 of 4 rows judged by script" in second.communicate(timeout=HANG_S / 30)[0]
    assert second.returncode == 0
    assert page.problems == []
    rows = read_judgement_table(round_).to_pylist()
    assert sorted(row["verdict"] for row in rows) == ["a", "same", "same"]
    scored = {row["utt_id"]: row["candidates"] for row in round_.scored.rows().to_pylist()}
    for row in rows:
        assert row["chosen_by"] == "disagree" and row["seconds"] > 0 and row["a_text"] != row["b_text"]
        for side in ("a", "b"):
            candidate = scored[row["utt_id"]][row[f"{side}_index"]]
            assert (row[f"{side}_text"], row[f"{side}_scores"]) == (candidate["text"], candidate["scores"])


def test_the_page_knows_nothing_that_unblinds_and_only_this_machine_may_use_it(round_: Round) -> None:
    with serve_session(round_) as address:
        state = json.load(urllib.request.urlopen(address + "state"))
        assert len(state["rows"]) == 4
        assert all(row.keys() == {"source", "direction", "texts", "verdict"} for row in state["rows"])
        assert all(row["texts"] is None for row in state["rows"]), "A and B are heard"
        for path, headers, body in (
            ("state", {"Host": "evil.example"}, None),
            ("judge", {"Content-Type": "text/plain"}, b'{"row": 0, "verdict": "a", "seconds": 1}'),
            ("judge", {"Content-Type": "application/json"}, b'{"row": 99, "verdict": "a", "seconds": 1}'),
            ("judge", {"Content-Type": "application/json"}, b'{"row": 0, "verdict": "c", "seconds": 1}'),
            ("judge", {"Content-Type": "application/json"}, b"nonsense"),
            ("sound/0/../x", {}, None),
            ("sound/0/c", {}, None),
            ("sound/4/a", {}, None),
        ):
            with pytest.raises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(urllib.request.Request(address + path, data=body, headers=headers))
            assert refused.value.code in (400, 403, 404)


def test_only_verdicts_on_the_rows_of_the_session_are_counted(tmp_path: Path) -> None:
    round_ = Round(toy_run(tmp_path), 1, toy_recipe())
    questions = choose_questions(round_, "random", 4)
    row = questions[0].row
    languages = {"src_lang": row["src_lang"], "tgt_lang": row["tgt_lang"]}
    for name in ({"utt_id": "another"}, {"tgt_lang": "another language"}, {}):
        save_judgement(round_, judge("script", row["utt_id"], "a") | languages | name)  # type: ignore[typeddict-item]
    session = Session(round_, questions, "script", "random")
    assert session.count_judged() == 1 and session.state()["rows"][0]["verdict"] == "a"
    assert Session(round_, questions, "other", "random").count_judged() == 0


def test_candidates_that_are_not_spoken_are_read(tmp_path: Path) -> None:
    recipe = toy_recipe()
    hearing = replace(recipe, policy=replace(recipe.policy, kind="continuous"))
    round_ = Round(toy_run(tmp_path), 1, hearing)
    [question] = choose_questions(round_, "random", 1)
    session = Session(round_, [question], "script", "random")
    assert session.state()["rows"][0]["texts"] == [question.a["text"], question.b["text"]]
    assert session.vocoders == {}


@pytest.mark.parametrize("port", ["taken", "99999"])
def test_a_port_that_cannot_be_used_is_refused(round_: Round, port: str, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        number = str(taken.getsockname()[1]) if port == "taken" else port
        assert main(["listen", "--run", round_.run.uri, "--port", number]) == 2
    assert "give another one with --port" in capsys.readouterr().err


# ---- sounds


def write_speech(folder: Path) -> Recipe:
    """Write recordings `fr/0.wav` to `fr/5.wav`, and return the recipe with this corpus."""
    wave = np.sin(np.arange(int(SECONDS * SAMPLE_RATE)) / 20).astype(np.float32) / 2
    (folder / "fr").mkdir(parents=True)
    for number in range(6):
        (folder / f"fr/{number}.wav").write_bytes(encode(wave, "WAV"))
    recipe = toy_recipe()
    return replace(recipe, corpus=replace(recipe.corpus, mono=str(folder)))


def make_round(folder: Path, recipe: Recipe) -> Round:
    """Return a finished round over the recordings of `write_speech`."""
    return Round(toy_run(folder, ids=[f"fr/{number}" for number in range(6)], langs=("fr",)), 1, recipe)


def seconds(url: str) -> float:
    """Return the duration of the sound at an address."""
    return float(soundfile.info(io.BytesIO(urllib.request.urlopen(url, timeout=300).read())).duration)


def test_recordings_can_be_played_after_the_thread_of_the_first_request_ended(tmp_path: Path) -> None:
    round_ = make_round(tmp_path / "run", write_speech(tmp_path / "speech"))
    session = Session(round_, choose_questions(round_, "random", 4), "script", "random")
    sizes: list[float] = []
    with session.sounds:
        for index in range(2):
            ask = threading.Thread(
                target=lambda index=index: sizes.append(
                    soundfile.info(session.sound(index, "source").result()).duration
                )
            )
            ask.start()
            ask.join(HANG_S)
    assert sizes == [pytest.approx(SECONDS, abs=0.2)] * 2


def test_a_sound_is_made_once_and_sent_whole_or_in_ranges(tmp_path: Path) -> None:
    with serve_session(make_round(tmp_path / "run", write_speech(tmp_path / "speech"))) as address:
        assert abs(seconds(f"{address}sound/0/source") - SECONDS) < 0.2
        assert seconds(f"{address}sound/1/a") > 0
        whole = urllib.request.urlopen(f"{address}sound/0/source", timeout=300)
        content = whole.read()
        assert whole.headers["Content-Type"] == "audio/ogg" and whole.headers["Cache-Control"] == "no-store"
        (tmp_path / "speech").rename(tmp_path / "moved")
        request = urllib.request.Request(f"{address}sound/0/source", headers={"Range": "bytes=100-199"})
        part = urllib.request.urlopen(request, timeout=300)
        assert part.status == 206 and part.read() == content[100:200]
        assert part.headers["Content-Range"] == f"bytes 100-199/{len(content)}"


def test_a_source_without_a_recording_is_resynthesised(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    speech = tmp_path / "speech"
    round_ = make_round(tmp_path / "run", write_speech(speech))
    for path in speech.rglob("*.wav"):
        path.write_bytes(b"not audio at all")
    with serve_session(round_) as address:
        assert 0 < seconds(f"{address}sound/0/source") < SECONDS - 1
    speech.rename(tmp_path / "moved")
    with serve_session(round_) as address:
        assert 0 < seconds(f"{address}sound/0/source") < SECONDS - 1
    assert "cannot be read, so their sources are resynthesised from units" in capfd.readouterr().err


def test_a_sound_that_cannot_be_made_does_not_stop_the_others(tmp_path: Path) -> None:
    recipe = write_speech(tmp_path / "speech")
    recipe = replace(recipe, vocoder={"fr": recipe.vocoder["fr"]})
    with serve_session(make_round(tmp_path / "run", recipe)) as address:
        for name in ("a", "b", "a"):
            with pytest.raises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(f"{address}sound/0/{name}", timeout=300)
            assert refused.value.code == 500
            assert refused.value.read().decode() == "this sound cannot be made: the recipe has no vocoder for en"
        assert seconds(f"{address}sound/0/source") > 0
