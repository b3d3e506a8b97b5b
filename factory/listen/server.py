"""A page for blind A/B judgements, served to this machine only."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from threading import Lock
from typing import Any

import numpy as np

from factory.corpora.audio import encode
from factory.listen.choose import questions
from factory.listen.judgements import VERDICTS, judgements_of, keep
from factory.planning.places import Run
from factory.recipe.paths import locate
from factory.recipe.recipe import Recipe
from factory.report.players import find_recordings, load_vocoders
from factory.runtime.redact import redact
from schemas.datasets import Row
from schemas.errors import RoundtripError

LOOPBACK = "127.0.0.1"
_LARGEST = 4_096


class SilentError(RoundtripError):
    """A sound that cannot be made."""


class Session:
    """One rater's rows: what is asked, what it sounds like, what was answered."""

    def __init__(self, run: Run, number: int, recipe: Recipe, rows: list[Row], rater: str, choose: str) -> None:
        self.run, self.number, self.recipe, self.rows, self.rater, self.choose = (
            run,
            number,
            recipe,
            rows,
            rater,
            choose,
        )
        told = judgements_of(run, number).to_pylist()
        self.answers = {row["utt_id"]: row["verdict"] for row in told if row["rater"] == rater}
        self.corpus, self.voices = locate(recipe.corpus.mono), load_vocoders(recipe)
        self.sounds: dict[tuple[int, str], bytes] = {}
        self.lock = Lock()
        self.speaker = ThreadPoolExecutor(
            1
        )  # makes every sound: what a reader starts must not end with a request's thread

    def state(self) -> Row:
        """Return what the page may know: no scores, no texts of candidates, nothing that tells which is which."""
        asked = [
            {
                "source": row["text"],
                "direction": f"{row['src_lang']} → {row['tgt_lang']}",
                "verdict": self.answers.get(row["utt_id"]),
            }
            for row in self.rows
        ]
        return {"rater": self.rater, "rows": asked}

    def sound(self, place: int, name: str) -> bytes:
        """Return the source, `a` or `b` of a row as Opus; it is made the first time that somebody asks.

        Raises SilentError with a sentence where it cannot be made.
        """
        return self.speaker.submit(self._sound, place, name).result()

    def _sound(self, place: int, name: str) -> bytes:
        if (place, name) not in self.sounds:
            try:
                self.sounds[place, name] = encode(self._wave(self.rows[place], name))
            except Exception as error:  # whatever it is: one sound that fails must not end the others
                raise SilentError(f"this sound cannot be made ({type(error).__name__}: {error})") from error
        return self.sounds[place, name]

    def _wave(self, row: Row, name: str) -> np.ndarray:
        """Return a side's wave at 16 kHz; a source whose recording cannot be read is resynthesised from its units."""
        if name != "source":
            candidate = row["candidates"][row["places"][("a", "b").index(name)]]
            return self._spoken(candidate["units"], row["tgt_lang"])
        wave = find_recordings(self.corpus, [row["utt_id"]]).get(row["utt_id"])
        return self._spoken(row["units"], row["src_lang"]) if wave is None else wave

    def _spoken(self, units: list[int] | None, lang: str) -> np.ndarray:
        if not units or lang not in self.voices:
            raise ValueError(f"the recipe has no vocoder for {lang}" if units else "there are no units to speak")
        return self.voices[lang].speak([units])[0]

    def judge(self, place: int, verdict: str, seconds: float) -> None:
        """Keep a judgement in Parquet before anything else happens."""
        row = self.rows[place]
        told = {key: row[key] for key in ("utt_id", "src_lang", "tgt_lang")} | {"rater": self.rater, "verdict": verdict}
        for side, at in zip(("a", "b"), row["places"], strict=True):
            candidate = row["candidates"][at]
            told |= {f"{side}_place": at, f"{side}_text": candidate["text"], f"{side}_scores": candidate["scores"]}
        with self.lock:
            keep(self.run, self.number, told | {"chosen_by": self.choose, "seconds": seconds})
            self.answers[row["utt_id"]] = verdict


class _Handler(BaseHTTPRequestHandler):
    session: Session

    def log_message(self, *_: Any) -> None:
        """Say nothing: the page shows what happens."""

    def do_GET(self) -> None:
        """Answer `/`, `/state` and `/sound/ROW/NAME`."""
        parts = self.path.strip("/").split("/")
        if not self._is_ours():
            self._answer(403, b"this page is for this machine only", "text/plain")
        elif self.path == "/":
            self._answer(200, _page(), "text/html; charset=utf-8")
        elif self.path == "/state":
            self._answer(200, json.dumps(self.session.state()).encode(), "application/json")
        elif len(parts) == 3 and parts[0] == "sound" and self._is_row(parts[1]) and parts[2] in ("source", "a", "b"):
            self._answer_sound(int(parts[1]), parts[2])
        else:
            self._answer(404, b"there is no such address", "text/plain")

    def _answer_sound(self, place: int, name: str) -> None:
        try:
            self._answer(200, self.session.sound(place, name), "audio/ogg")
        except SilentError as error:
            self._answer(500, redact(str(error)).encode(), "text/plain; charset=utf-8")

    def do_POST(self) -> None:
        """Take a judgement: `{row, verdict, seconds}` as JSON."""
        try:
            told = json.loads(self.rfile.read(min(_LARGEST, int(self.headers.get("Content-Length") or 0))))
            place, verdict, seconds = int(told["row"]), str(told["verdict"]), float(told["seconds"])
        except (ValueError, KeyError, TypeError):
            return self._answer(400, b"expected row, verdict and seconds", "text/plain")
        if not self._is_ours() or self.path != "/judge" or self.headers.get("Content-Type") != "application/json":
            return self._answer(403, b"judgements come from the page itself", "text/plain")
        if verdict not in VERDICTS or not self._is_row(str(place)):
            return self._answer(400, b"the verdict is a, b or same, the row one of the page", "text/plain")
        self.session.judge(place, verdict, seconds)
        return self._answer(204, b"", "text/plain")

    def _is_ours(self) -> bool:
        """Whether the page was opened by its own name: no other site may reach it through a name that leads here."""
        return (self.headers.get("Host") or "").rsplit(":", 1)[0] in (LOOPBACK, "localhost")

    def _is_row(self, text: str) -> bool:
        return text.isascii() and text.isdigit() and int(text) < len(self.session.rows)

    def _answer(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)


def _page() -> bytes:
    return (files("factory.listen") / "page.html").read_bytes()


def server(session: Session, port: int) -> ThreadingHTTPServer:
    """Return the server of a session on loopback; it does not answer before `serve_forever`. Raises ValueError where the port is taken."""
    try:
        return ThreadingHTTPServer((LOOPBACK, port), type("Handler", (_Handler,), {"session": session}))
    except OSError as error:
        raise ValueError(
            f"port {port} cannot be used ({error.strerror}); give another one with --port, or 0 for a free one"
        ) from error


def serve(run: Run, number: int, recipe: Recipe, *, choose: str, rows: int, rater: str, port: int) -> str:
    """Serve the page until it is interrupted, and say how many judgements there are."""
    session = Session(run, number, recipe, questions(run, number, recipe, choose, rows), rater, choose)
    with server(session, port) as served:
        print(f"listen at http://{LOOPBACK}:{served.server_address[1]}/ as {rater}; end with Ctrl-C", flush=True)
        with suppress(KeyboardInterrupt):
            served.serve_forever()
    return f"{len(session.answers)} of {len(session.rows)} rows judged by {rater}; see roundtrip audit --human --run {run.uri}"
