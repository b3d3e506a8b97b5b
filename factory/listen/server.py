"""Serves a page for blind A/B judgements, on this machine only."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock
from typing import TypedDict, cast

import numpy as np
import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from factory.corpora.audio import encode
from factory.listen.choose import Question, choose_questions
from factory.listen.judgements import VERDICTS, ListenError, Verdict, read_judgements, save_judgement
from factory.planning.places import Round
from factory.report.players import find_recordings, load_vocoders
from factory.runtime.loopback import LOOPBACK, open_port
from factory.runtime.redact import redact
from factory.storage.files import filesystem, put
from schemas.errors import RoundtripError

_NO_STORE = {"Cache-Control": "no-store"}
_LAST_REQUESTS_S = 2
"""Seconds that open requests have after Ctrl-C: a browser may hold the rest of a sound for as long as it likes."""


class PageRow(TypedDict):
    """A question as the page shows it."""

    source: str | None
    direction: str
    texts: list[str | None] | None
    """The texts of A and B, where the policy writes no speech; else None, because sounds are judged."""
    verdict: Verdict | None


class PageState(TypedDict):
    """All that the page knows: no scores, and no texts of spoken candidates, which would show what to hear."""

    rater: str
    rows: list[PageRow]


class Session:
    """The questions of one rater, their sounds, and the verdicts."""

    def __init__(self, round_: Round, questions: list[Question], rater: str, choose: str) -> None:
        """Load the vocoders and the earlier verdicts of the rater; `choose` is how the questions were chosen."""
        self.round, self.questions, self.rater, self.choose = round_, questions, rater, choose
        judgements = read_judgements(round_)
        self.verdicts = {_name(row): row["verdict"] for row in judgements if row["rater"] == rater}
        self.vocoders = load_vocoders(round_.recipe)
        self.sounds = TemporaryDirectory()
        self.lock = Lock()
        self.worker = ThreadPoolExecutor(1)  # a reader of audio must not end with the thread of a request

    def state(self) -> PageState:
        """Return what the page shows."""
        spoken = self.round.recipe.writes_speech
        return {
            "rater": self.rater,
            "rows": [
                {
                    "source": one.row["text"],
                    "direction": f"{one.row['src_lang']} → {one.row['tgt_lang']}",
                    "texts": None if spoken else [one.a["text"], one.b["text"]],
                    "verdict": self.verdicts.get(_name(one.row)),
                }
                for one in self.questions
            ],
        }

    def sound(self, index: int, name: str) -> Future[Path]:
        """Return the file of the sound `source`, `a` or `b` of a question (Opus), which is made at the first request.

        The result raises ListenError if it cannot be made.
        """
        return self.worker.submit(self._sound, index, name)

    def _sound(self, index: int, name: str) -> Path:
        file = Path(self.sounds.name, f"{index}-{name}.opus")
        if not file.exists():
            try:
                fs, path = filesystem(str(file))
                put(fs, path, encode(self._make_wave(self.questions[index], name)))
            except ListenError:
                raise
            except Exception as error:  # any type: one sound that fails must not stop the others
                raise ListenError(f"this sound cannot be made ({type(error).__name__}: {error})") from error
        return file

    def _make_wave(self, question: Question, name: str) -> np.ndarray:
        """Return a waveform at 16 kHz; a source is resynthesised from its units if its recording cannot be read."""
        row = question.row
        if name != "source":
            return self._speak({"a": question.a, "b": question.b}[name]["units"], row["tgt_lang"])
        recordings = find_recordings(self.round.recipe.corpus.mono, [row["utt_id"]])
        wave = recordings.get(row["utt_id"])
        return self._speak(row["units"], row["src_lang"]) if wave is None else wave

    def _speak(self, units: list[int] | None, lang: str) -> np.ndarray:
        if not units:
            raise ListenError("this sound cannot be made: there are no units to speak")
        if lang not in self.vocoders:
            raise ListenError(f"this sound cannot be made: the recipe has no vocoder for {lang}")
        return self.vocoders[lang].speak([units])[0]

    def judge(self, index: int, verdict: Verdict, seconds: float) -> None:
        """Save a judgement. Raises StoreError if it cannot be written."""
        question, row = self.questions[index], self.questions[index].row
        with self.lock:
            save_judgement(
                self.round,
                {
                    "rater": self.rater,
                    "utt_id": row["utt_id"],
                    "src_lang": row["src_lang"],
                    "tgt_lang": row["tgt_lang"],
                    "verdict": verdict,
                    "a_index": question.a_index,
                    "b_index": question.b_index,
                    "a_text": question.a["text"],
                    "b_text": question.b["text"],
                    "a_scores": question.a.get("scores", {}),
                    "b_scores": question.b.get("scores", {}),
                    "chosen_by": self.choose,
                    "seconds": seconds,
                },
            )
            self.verdicts[_name(row)] = verdict

    def count_judged(self) -> int:
        """Return how many of the questions have a verdict."""
        return sum(_name(question.row) in self.verdicts for question in self.questions)


def _name(row: Mapping[str, object]) -> tuple[object, object]:
    """Return what names the question about a row: its utterance, and the language that it is translated into."""
    return row["utt_id"], row["tgt_lang"]


class _Page:
    """What the page asks for: itself, its state, the sounds; and what it sends: the verdicts."""

    def __init__(self, session: Session) -> None:
        self.session = session

    async def show(self, _: Request) -> Response:
        page = (files("factory.listen") / "page.html").read_bytes()
        return HTMLResponse(page, headers=_NO_STORE)

    async def state(self, _: Request) -> Response:
        return JSONResponse(self.session.state(), headers=_NO_STORE)

    async def sound(self, request: Request) -> Response:
        """Answer with the sound NAME of the question INDEX, or with a range of its bytes."""
        index, name = request.path_params["index"], request.path_params["name"]
        if not self._is_index(index) or name not in ("source", "a", "b"):
            raise HTTPException(404)
        file = await asyncio.wrap_future(self.session.sound(int(index), name))
        return FileResponse(file, headers=_NO_STORE, media_type="audio/ogg")

    async def judge(self, request: Request) -> Response:
        """Save a judgement: `{row, verdict, seconds}` as JSON."""
        if request.headers.get("Content-Type") != "application/json":
            raise HTTPException(403, "only the page itself may send judgements")
        try:
            body = json.loads(await request.body())
            index, verdict, seconds = int(body["row"]), str(body["verdict"]), float(body["seconds"])
        except (ValueError, KeyError, TypeError, OverflowError) as error:
            raise HTTPException(400, "expected row, verdict and seconds") from error
        if verdict not in VERDICTS or not self._is_index(str(index)):
            raise HTTPException(400, "expected the verdict a, b or same, and a row of the page")
        await asyncio.to_thread(self.session.judge, index, cast(Verdict, verdict), seconds)
        return Response(status_code=204)

    def _is_index(self, text: str) -> bool:
        return text in map(str, range(len(self.session.questions)))


async def _answer_error(_: Request, error: Exception) -> Response:
    return PlainTextResponse(redact(str(error)), 500)


def make_server(session: Session) -> uvicorn.Server:
    """Return a server of `/`, `/state`, `/sound/INDEX/NAME` and `/judge`; it answers when it is run with a socket."""
    page = _Page(session)
    app = Starlette(
        routes=[
            Route("/", page.show),
            Route("/state", page.state),
            Route("/sound/{index}/{name}", page.sound),
            Route("/judge", page.judge, methods=["POST"]),
        ],
        # another site may not use a name that leads here
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=[LOOPBACK, "localhost"])],
        exception_handlers={RoundtripError: _answer_error},
    )
    return uvicorn.Server(
        uvicorn.Config(app, lifespan="off", ws="none", log_level="error", timeout_graceful_shutdown=_LAST_REQUESTS_S)
    )


def serve(round_: Round, *, choose: str, rows: int, rater: str, port: int) -> str:
    """Serve the page until Ctrl-C; return how many questions are judged.

    Args:
        round_: a finished round.
        choose: how the utterances are chosen (`choose_questions`).
        rows: how many utterances.
        rater: the name of the rater.
        port: the port; 0 takes a free one.

    Raises:
        ListenError: the round has no candidates to compare.
        PortError: the port cannot be used.
    """
    session = Session(round_, choose_questions(round_, choose, rows), rater, choose)
    with open_port(port) as listener, session.sounds:
        print(f"listen at http://{LOOPBACK}:{listener.getsockname()[1]}/ as {rater}; end with Ctrl-C", flush=True)
        with suppress(KeyboardInterrupt):
            make_server(session).run(sockets=[listener])
    judged = f"{session.count_judged()} of {len(session.questions)} rows judged by {rater}"
    return f"{judged}; compare with the metrics: roundtrip audit --human --run {round_.run.uri}"
