"""The round trip over HTTP, on this machine only (`roundtrip serve-rewards`).

    POST / {"src_lang": "fr", "tgt_lang": "en", "source": "le train part",
            "candidates": [{"text": "the train leaves"}, {"units": [5, 21, 7]}]}

The answer is `{"answers": [{"scores": {"bleu": 0.5}, "back_translation": "le train", "finish": "ok"}, ...]}` in the
order of the candidates, or, with status 422, `{"error": "a sentence"}`: an error is never a score.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from factory.rewards.round_trip import Question, RewardError, RoundTripRewards
from factory.runtime.redact import redact
from schemas.errors import RoundtripError

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse

_SIDES = ("src_lang", "tgt_lang", "source")


def serve(rewards: RoundTripRewards, listener: socket.socket) -> None:
    """Answer requests at an open port until Ctrl-C."""
    import uvicorn

    with suppress(KeyboardInterrupt):
        uvicorn.Server(uvicorn.Config(make_app(rewards), lifespan="off", log_level="warning")).run(sockets=[listener])


def make_app(rewards: RoundTripRewards) -> Starlette:
    """Return the application. Requests are answered one after another: the engine has one batch at a time."""
    from starlette.applications import Starlette
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    lock = asyncio.Lock()

    async def answer(request: Request) -> JSONResponse:
        """Answer a request; its error becomes status 422."""
        try:
            questions = read_questions(await request.body())
            async with lock:
                answers = await asyncio.to_thread(rewards.score, questions)
        except RoundtripError as error:
            return JSONResponse({"error": redact(str(error))}, status_code=422)
        return JSONResponse({"answers": answers})

    return Starlette(routes=[Route("/", answer, methods=["POST"])])


def read_questions(body: bytes) -> list[Question]:
    """Return the candidates of a request; raise RewardError for a body of another form."""
    try:
        asked = json.loads(body)
    except ValueError as error:
        raise RewardError(f"the body must be JSON: {error}") from error
    if not isinstance(asked, dict) or not isinstance(asked.get("candidates"), list):
        raise RewardError("the body must be an object with a list of candidates")
    for name in _SIDES:
        if not isinstance(asked.get(name), str):
            raise RewardError(f"{name} must be a text; got {asked.get(name)!r}")
    return [_read_candidate(number, one, asked) for number, one in enumerate(asked["candidates"])]


def _read_candidate(number: int, candidate: object, asked: Mapping[str, str]) -> Question:
    if not isinstance(candidate, dict) or not candidate.keys() <= {"text", "units"}:
        raise RewardError(f"candidate {number} must be an object with text, units, or both; got {candidate!r}")
    text, units = candidate.get("text"), candidate.get("units")
    if not isinstance(text, str | None) or not (units is None or _are_units(units)):
        raise RewardError(f"candidate {number}: text must be a text, and units a list of whole numbers from 0")
    return Question(asked["src_lang"], asked["tgt_lang"], asked["source"], text, units)


def _are_units(units: object) -> bool:
    return isinstance(units, list) and all(isinstance(unit, int) and unit >= 0 for unit in units)
