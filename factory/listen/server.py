"""Serves a page for blind A/B judgements, on this machine only."""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from threading import Lock
from typing import TypedDict, cast

import numpy as np

from factory.corpora.audio import encode
from factory.listen.choose import Question, choose_questions
from factory.listen.judgements import VERDICTS, ListenError, Verdict, read_judgements, save_judgement
from factory.planning.places import Round
from factory.report.players import find_recordings, load_vocoders
from factory.runtime.redact import redact
from schemas.errors import RoundtripError

LOOPBACK = "127.0.0.1"
_MAX_BODY_BYTES = 4_096


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
        self.sounds: dict[tuple[int, str], bytes] = {}
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

    def sound(self, index: int, name: str) -> bytes:
        """Return the sound `source`, `a` or `b` of a question as Opus; it is made at the first request.

        Raises ListenError if it cannot be made.
        """
        return self.worker.submit(self._sound, index, name).result()

    def _sound(self, index: int, name: str) -> bytes:
        if (index, name) not in self.sounds:
            try:
                self.sounds[index, name] = encode(self._make_wave(self.questions[index], name))
            except ListenError:
                raise
            except Exception as error:  # any type: one sound that fails must not stop the others
                raise ListenError(f"this sound cannot be made ({type(error).__name__}: {error})") from error
        return self.sounds[index, name]

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


class _Handler(BaseHTTPRequestHandler):
    session: Session

    def log_message(self, *_: object) -> None:
        """Log nothing: the page shows what happens."""

    def do_GET(self) -> None:
        """Answer `/`, `/state` and `/sound/INDEX/NAME`."""
        parts = self.path.strip("/").split("/")
        if not self._is_local():
            self._answer(403, b"this page is for this machine only", "text/plain")
        elif self.path == "/":
            self._answer(200, (files("factory.listen") / "page.html").read_bytes(), "text/html; charset=utf-8")
        elif self.path == "/state":
            self._answer(200, json.dumps(self.session.state()).encode(), "application/json")
        elif len(parts) == 3 and parts[0] == "sound" and self._is_index(parts[1]) and parts[2] in ("source", "a", "b"):
            self._answer_sound(int(parts[1]), parts[2])
        else:
            self._answer(404, b"there is no such address", "text/plain")

    def _answer_sound(self, index: int, name: str) -> None:
        try:
            self._answer(200, self.session.sound(index, name), "audio/ogg")
        except ListenError as error:
            self._answer_error(error)

    def do_POST(self) -> None:
        """Save a judgement: `{row, verdict, seconds}` as JSON."""
        try:
            body = json.loads(self.rfile.read(min(_MAX_BODY_BYTES, int(self.headers.get("Content-Length") or 0))))
            index, verdict, seconds = int(body["row"]), str(body["verdict"]), float(body["seconds"])
        except (ValueError, KeyError, TypeError):
            return self._answer(400, b"expected row, verdict and seconds", "text/plain")
        if not self._is_local() or self.path != "/judge" or self.headers.get("Content-Type") != "application/json":
            return self._answer(403, b"only the page itself may send judgements", "text/plain")
        if verdict not in VERDICTS or not self._is_index(str(index)):
            return self._answer(400, b"expected the verdict a, b or same, and a row of the page", "text/plain")
        try:
            self.session.judge(index, cast(Verdict, verdict), seconds)
        except RoundtripError as error:
            return self._answer_error(error)
        return self._answer(204, b"", "text/plain")

    def _is_local(self) -> bool:
        """Return whether the request names this machine: another site may not use a name that leads here."""
        return (self.headers.get("Host") or "").rsplit(":", 1)[0] in (LOOPBACK, "localhost")

    def _is_index(self, text: str) -> bool:
        return text.isascii() and text.isdigit() and int(text) < len(self.session.questions)

    def _answer_error(self, error: RoundtripError) -> None:
        self._answer(500, redact(str(error)).encode(), "text/plain; charset=utf-8")

    def _answer(self, status: int, body: bytes, content_type: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)


def make_server(session: Session, port: int) -> ThreadingHTTPServer:
    """Return a server on loopback; it answers after `serve_forever`. Raises ListenError if the port cannot be used."""
    try:
        return ThreadingHTTPServer((LOOPBACK, port), type("Handler", (_Handler,), {"session": session}))
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ListenError(
            f"port {port} cannot be used ({reason}): give another one with --port, or 0 for a free one"
        ) from error


def serve(round_: Round, *, choose: str, rows: int, rater: str, port: int) -> str:
    """Serve the page until Ctrl-C; return how many questions are judged.

    Args:
        round_: a finished round.
        choose: how the utterances are chosen (`choose_questions`).
        rows: how many utterances.
        rater: the name of the rater.
        port: the port; 0 takes a free one.

    Raises:
        ListenError: the round has no candidates to compare, or the port cannot be used.
    """
    session = Session(round_, choose_questions(round_, choose, rows), rater, choose)
    with make_server(session, port) as server:
        print(f"listen at http://{LOOPBACK}:{server.server_address[1]}/ as {rater}; end with Ctrl-C", flush=True)
        with suppress(KeyboardInterrupt):
            server.serve_forever()
    judged = f"{session.count_judged()} of {len(session.questions)} rows judged by {rater}"
    return f"{judged}; compare with the metrics: roundtrip audit --human --run {round_.run.uri}"
