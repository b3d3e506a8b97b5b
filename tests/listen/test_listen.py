"""The listening page in a real Chromium, a scripted rater in front of it; and what the judgements tell."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from factory.cli import main
from factory.listen.agreement import agreement, human_audit
from factory.listen.choose import questions
from factory.listen.judgements import judgements_of, keep
from factory.planning.places import Run
from tests.browser import Page, browser
from tests.limits import HANG_S
from tests.toy_run import ROOT, toy_recipe, toy_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return toy_run(tmp_path_factory.mktemp("run"))


def served(run: Run) -> tuple[subprocess.Popen[str], str]:
    """Start `roundtrip listen` and return it with the address that it prints."""
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
    awake = partial(
        signal.signal, signal.SIGINT, signal.SIG_DFL
    )  # what is started in the background of a shell ignores Ctrl-C
    process = subprocess.Popen(command, cwd=ROOT, env=os.environ, stdout=subprocess.PIPE, text=True, preexec_fn=awake)
    assert process.stdout
    found = re.search(r"http://127\.0\.0\.1:\d+/", process.stdout.readline())
    assert found, process.poll()
    return process, found[0]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with browser(tmp_path_factory.mktemp("browser") / "log") as opened:
        yield opened


def answer(page: Page, verdict: str) -> None:
    """Listen to both sides by keyboard, as a person does, and press a verdict."""
    before = page.run("count.textContent")
    for key in "ab":
        page.press(key)
        page.wait(f"heard.has('{key}')")
    page.press(verdict)
    page.wait(f"count.textContent !== {json.dumps(before)}")


def test_a_rater_judges_by_keyboard_and_a_kill_loses_nothing(run: Run, page: Page) -> None:
    first, address = served(run)
    page.open(address)
    page.wait("rows.length === 4")
    page.press("1")  # nothing was heard yet: no verdict counts
    assert judgements_of(run, 1).num_rows == 0
    page.press("s")
    page.wait("audio.currentTime > 0")
    answer(page, "1")
    answer(page, "2")
    assert page.run("document.getElementById('progress').value") == 2
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert judgements_of(run, 1)["verdict"].to_pylist() == ["a", "same"]
    second, address = served(run)
    page.open(address)
    page.wait("rows.length === 4 && count.textContent.startsWith('2 of 4')")
    assert page.run("place") == 2  # it goes on where it was
    answer(page, "3")
    page.press("ArrowLeft")
    answer(page, "2")  # a second thought replaces the first
    second.send_signal(signal.SIGINT)
    told = second.communicate(timeout=HANG_S)[0]
    assert "3 of 4 rows judged by script" in told
    assert page.problems == []
    rows = judgements_of(run, 1).to_pylist()
    assert sorted(row["verdict"] for row in rows) == ["a", "same", "same"]
    assert all(row["chosen_by"] == "disagree" and row["seconds"] > 0 and row["a_text"] != row["b_text"] for row in rows)


def test_the_page_tells_nothing_that_unblinds_and_answers_only_this_machine(run: Run) -> None:
    process, address = served(run)
    try:
        state = json.load(urllib.request.urlopen(address + "state"))
        assert all(row.keys() == {"source", "direction", "verdict"} for row in state["rows"])
        for path, headers, body in (
            ("state", {"Host": "evil.example"}, None),
            ("judge", {"Content-Type": "text/plain"}, b'{"row": 0, "verdict": "a", "seconds": 1}'),
            ("judge", {"Content-Type": "application/json"}, b'{"row": 99, "verdict": "a", "seconds": 1}'),
            ("judge", {"Content-Type": "application/json"}, b"nonsense"),
            ("sound/0/../x", {}, None),
        ):
            with pytest.raises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(urllib.request.Request(address + path, data=body, headers=headers))
            assert refused.value.code in (400, 403, 404)
    finally:
        process.kill()
        process.communicate()


def test_rows_are_chosen_at_random_near_delta_or_where_metrics_disagree(run: Run) -> None:
    recipe = toy_recipe()
    gap = [abs(c[0]["scores"]["bleu"] - c[1]["scores"]["bleu"]) for c in _candidates(run, "near")]
    assert [abs(one - 0.1) for one in gap] == sorted(abs(one - 0.1) for one in gap)
    torn = [_torn(candidates) for candidates in _candidates(run, "disagree")]
    assert torn == sorted(torn, reverse=True) and torn[0] and not torn[-1]
    assert questions(run, 1, recipe, "random", 6) == questions(run, 1, recipe, "random", 6)
    assert questions(run, 1, recipe, "random", 6) != questions(run, 1, replace(recipe, seed=7), "random", 6)
    places = [row["places"][0] for row in questions(run, 1, recipe, "random", 50)]
    assert {0, 1} == set(places)  # either candidate may be A


def _candidates(run: Run, choose: str) -> list[list[dict[str, Any]]]:
    return [row["candidates"] for row in questions(run, 1, toy_recipe(), choose, 50)]


def _torn(candidates: list[dict[str, Any]]) -> bool:
    one, two = (candidate["scores"] for candidate in candidates)
    return (one["bleu"] > two["bleu"]) != (one["mcd"] < two["mcd"])


def test_kappa_is_cohens() -> None:
    draw = np.random.default_rng(3)
    people, metric = draw.random(60) < 0.6, draw.random(60) < 0.5
    found = agreement(people, metric)
    assert found["kappa"] == pytest.approx(cohen_kappa_score(people, metric))
    assert found["accuracy"] == pytest.approx((people == metric).mean())
    assert found["kappa_ci"][0] < found["kappa"] < found["kappa_ci"][1]
    assert agreement(np.ones(4, bool), np.ones(4, bool))["kappa"] == 0


def test_people_are_compared_with_every_metric(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = toy_run(tmp_path / "run")
    for number in range(10):
        good, bad = {"bleu": 0.9, "wer": 0.1, "mcd": 6.0}, {"bleu": 0.2, "wer": 0.8, "mcd": 5.0}
        a, b = (good, bad) if number % 2 else (bad, good)
        told = {"rater": "r", "utt_id": str(number), "src_lang": "fr", "tgt_lang": "en", "a_scores": a, "b_scores": b}
        keep(run, 1, told | {"verdict": "same" if number == 0 else "a" if number % 2 else "b"})
    found = human_audit(run, 1, toy_recipe())
    assert (found["judgements"], found["same"]) == (10, 1)
    assert (found["metrics"]["bleu"]["n"], found["metrics"]["bleu"]["accuracy"], found["metrics"]["bleu"]["kappa"]) == (
        9,
        1,
        1,
    )
    assert found["metrics"]["wer"]["accuracy"] == 1 and found["metrics"]["mcd"]["accuracy"] == 0
    assert found["metrics"]["chrf"]["n"] == 0
    assert main(["audit", "--human", "--run", run.uri]) == 0
    assert "10 judgements by r, 1 of them undecided" in capsys.readouterr().out


def test_a_taken_port_is_said(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert main(["listen", "--run", run.uri, "--port", str(taken.getsockname()[1])]) == 2
    assert "give another one with --port" in capsys.readouterr().err
