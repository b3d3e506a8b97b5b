"""Bad recordings, 27 kinds, as rows of UTTERANCE: each kind names the slugs that its rows may end with."""

from __future__ import annotations

import io
import pickle
import random
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import soundfile

from schemas.datasets import Row

RATE = 16_000


class Kind(NamedTuple):
    """A kind of bad recording: makes a row's fields from a random source, and the slugs that such a row may end with."""

    make: Callable[[random.Random, Path], Row]
    slugs: frozenset[str]


class Trap:
    """Unpickling it makes a file: whoever opens outside files so is found out."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


def tone(chance: random.Random, seconds: float = 1.0) -> np.ndarray:
    """Return a wave of `seconds` that is no silence."""
    time = np.arange(int(RATE * seconds)) / RATE
    return (0.3 * np.sin(2 * np.pi * chance.uniform(100, 400) * time)).astype(np.float32)


def encoded(wave: np.ndarray, format: str = "WAV", subtype: str | None = None, rate: int = RATE) -> bytes:
    """Return a wave as the bytes of an audio file."""
    sink = io.BytesIO()
    soundfile.write(sink, wave, rate, format=format, subtype=subtype)
    return sink.getvalue()


def _bytes(make: Callable[[random.Random], bytes], *slugs: str) -> Kind:
    return Kind(lambda chance, _: {"audio": {"bytes": make(chance), "path": None}}, frozenset(slugs))


def _path(make: Callable[[random.Random, Path], str], *slugs: str) -> Kind:
    return Kind(lambda chance, place: {"audio": {"bytes": None, "path": make(chance, place)}}, frozenset(slugs))


def _spoilt(value: float) -> Callable[[random.Random], bytes]:
    def make(chance: random.Random) -> bytes:
        wave = tone(chance)
        wave[chance.randrange(len(wave))] = value
        return encoded(wave, subtype="FLOAT")

    return make


def _zip(chance: random.Random) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        archive.writestr("a.wav", encoded(tone(chance)))
    return sink.getvalue()


def _no_rate(chance: random.Random) -> bytes:
    content = bytearray(encoded(tone(chance)))
    content[24:28] = struct.pack("<I", 0)
    return bytes(content)


def _pipe(chance: random.Random, place: Path) -> str:
    folder = place / f"folder-{chance.randrange(10**9)}.wav"
    folder.mkdir(exist_ok=True)
    return str(folder)


def _named(**fields: Any) -> Kind:
    slugs: frozenset[str] = fields.pop("slugs")
    return Kind(lambda chance, _: {"audio": {"bytes": encoded(tone(chance)), "path": None}, **fields}, slugs)


NO_AUDIO = ("not_audio", "truncated", "empty")
KINDS: dict[str, Kind] = {
    "no bytes": _bytes(lambda _: b"", "empty"),
    "noise": _bytes(lambda chance: chance.randbytes(chance.randint(1, 4000)), *NO_AUDIO),
    "half a WAV header": _bytes(lambda chance: encoded(tone(chance))[: chance.randint(1, 40)], *NO_AUDIO),
    "a header alone": _bytes(lambda chance: encoded(tone(chance))[:44], *NO_AUDIO),
    "half a FLAC": _bytes(
        lambda chance: (whole := encoded(tone(chance), "FLAC"))[: chance.randint(50, len(whole) // 2)], *NO_AUDIO
    ),
    "half an Opus": _bytes(lambda chance: encoded(tone(chance), "OGG", "OPUS")[: chance.randint(30, 200)], *NO_AUDIO),
    "text": _bytes(lambda chance: f"bonjour {chance.random()}".encode() * 9, "not_audio"),
    "a web page": _bytes(lambda _: b"<!doctype html><title>404 Not Found</title>", "not_audio"),
    "a pickle": _bytes(lambda _: pickle.dumps(Trap(Path("unpickled"))), "not_audio"),
    "a zip": _bytes(_zip, "not_audio"),
    "an MP3 header on noise": _bytes(lambda chance: b"ID3\x04\0\0\0\0\0\0" + chance.randbytes(900), *NO_AUDIO),
    "NaN": _bytes(_spoilt(float("nan")), "nan"),
    "infinity": _bytes(_spoilt(float("inf")), "nan"),
    "no samples": _bytes(lambda _: encoded(np.zeros(0, np.float32)), "empty"),
    "silence": _bytes(lambda _: encoded(np.zeros(RATE, np.float32)), "silent"),
    "almost silence": _bytes(lambda chance: encoded(1e-3 * tone(chance)), "silent"),
    "too short": _bytes(lambda chance: encoded(tone(chance, chance.uniform(0.001, 0.09))), "too_short"),
    "too long": _bytes(lambda chance: encoded(tone(chance, 31), "FLAC"), "too_long"),
    "a sampling rate of 0": _bytes(_no_rate, "not_audio"),
    "a path to nothing": _path(lambda chance, place: str(place / f"gone-{chance.random()}.wav"), "missing_file"),
    "a path to a folder": _path(_pipe, "missing_file"),
    "neither bytes nor path": Kind(lambda _, __: {"audio": {"bytes": None, "path": None}}, frozenset({"missing_file"})),
    "no audio at all": Kind(lambda _, __: {"audio": None}, frozenset({"missing_file"})),
    "another language": _named(lang="xx", slugs=frozenset({"unknown_lang"})),
    "no language": _named(lang=None, slugs=frozenset({"unknown_lang"})),
    "an id that is taken": _named(utt_id="good-0", slugs=frozenset({"duplicate_id"})),
    "no id": _named(utt_id=None, slugs=frozenset({"no_id"})),
}
