"""Rewards over HTTP: what a request may be, and a real server with the station's policy."""

from __future__ import annotations

import json
import time
from pathlib import Path
from threading import Thread
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
import uvicorn

from factory.recipe.loading import load
from factory.rewards.round_trip import Question, RewardError, RoundTripRewards
from factory.rewards.server import make_app, read_questions
from factory.runtime.loopback import LOOPBACK

ROOT = Path(__file__).resolve().parent.parent.parent
SIDES = {"src_lang": "fr", "tgt_lang": "en", "source": "le bus de marseille arrive à quatre heures vingt-trois"}
RIGHT, WRONG = "the bus from marseille arrives at four twenty-three", "the train to geneva leaves"


def test_a_request_names_candidates_by_text_units_or_both() -> None:
    candidates = [{"text": RIGHT}, {"units": [3, 0]}, {"text": "", "units": None}, {}]
    found = read_questions(json.dumps(SIDES | {"candidates": candidates}).encode())
    source = tuple(SIDES.values())
    assert found == [
        Question(*source, RIGHT, None),
        Question(*source, None, [3, 0]),
        Question(*source, "", None),
        Question(*source, None, None),
    ]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{", "the body must be JSON"),
        (b"[1]", "an object with a list of candidates"),
        (json.dumps(SIDES | {"candidates": "a"}).encode(), "an object with a list of candidates"),
        (json.dumps(SIDES | {"candidates": [], "source": None}).encode(), "source must be a text; got None"),
        (json.dumps(SIDES | {"candidates": [{"text": "a"}, "b"]}).encode(), "candidate 1 must be an object with text"),
        (json.dumps(SIDES | {"candidates": [{"audio": "a.wav"}]}).encode(), "candidate 0 must be an object with text"),
        (json.dumps(SIDES | {"candidates": [{"text": 1}]}).encode(), "candidate 0: text must be a text"),
        (json.dumps(SIDES | {"candidates": [{"units": [1, -1]}]}).encode(), "units a list of whole numbers from 0"),
        (json.dumps(SIDES | {"candidates": [{"units": [1.5]}]}).encode(), "units a list of whole numbers from 0"),
    ],
)
def test_a_request_of_another_form_is_refused(body: bytes, message: str) -> None:
    with pytest.raises(RewardError, match=message):
        read_questions(body)


@pytest.mark.service
def test_it_answers_over_http() -> None:
    rewards = RoundTripRewards(load(ROOT / "recipes/station.yaml"), str(ROOT / "assets/station/policy"), ("chrf",))
    server = uvicorn.Server(uvicorn.Config(make_app(rewards), host=LOOPBACK, port=0, log_level="warning"))
    thread = Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.05)
    address = f"http://{LOOPBACK}:{server.servers[0].sockets[0].getsockname()[1]}/"
    try:
        body = json.dumps(SIDES | {"candidates": [{"text": RIGHT}, {"text": WRONG}, {}]}).encode()
        with urlopen(Request(address, body), timeout=120) as response:
            right, wrong, none = json.load(response)["answers"]
        assert right["scores"]["chrf"] > wrong["scores"]["chrf"] > 0 and "marseille" in right["back_translation"]
        assert none == {"scores": {"chrf": 0.0}, "back_translation": None, "finish": "no_text"}
        with pytest.raises(HTTPError) as refused:
            urlopen(Request(address, body.replace(b'"en"', b'"de"')), timeout=120)
        assert refused.value.code == 422
        assert json.load(refused.value)["error"] == "de is no language of the recipe (fr, en)"
    finally:
        server.should_exit = True
        thread.join()
