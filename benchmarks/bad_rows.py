"""Bad recordings of 27 kinds, as rows of UTTERANCE. Each kind names the rejection reasons that its rows may get."""

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
    """A kind of bad recording: a function that makes the fields of a row, and the slugs of the expected reasons."""

    make: Callable[[random.Random, Path], Row]
    slugs: frozenset[str]


class Trap:
    """An object that creates a file when it is unpickled, which proves that outside files are unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


def tone(chance: random.Random, seconds: float = 1.0) -> np.ndarray:
    """Return a tone of a random pitch, with shape (N,)."""
    time = np.arange(int(RATE * seconds)) / RATE
    return (0.3 * np.sin(2 * np.pi * chance.uniform(100, 400) * time)).astype(np.float32)


def encode(wave: np.ndarray, format: str = "WAV", subtype: str | None = None, rate: int = RATE) -> bytes:
    """Return a wave as the bytes of an audio file.

    Args:
        wave: samples of shape (N,), -1..1.
        format: the format, by the name of libsndfile.
        subtype: the encoding of samples; None: the default of the format.
        rate: samples per second.
    """
    sink = io.BytesIO()
    soundfile.write(sink, wave, rate, format=format, subtype=subtype)
    return sink.getvalue()


def _from_bytes(make: Callable[[random.Random], bytes], *slugs: str) -> Kind:
    return Kind(lambda chance, _: {"audio": {"bytes": make(chance), "path": None}}, frozenset(slugs))


def _from_path(make: Callable[[random.Random, Path], str], *slugs: str) -> Kind:
    return Kind(lambda chance, folder: {"audio": {"bytes": None, "path": make(chance, folder)}}, frozenset(slugs))


def _with_sample(value: float) -> Callable[[random.Random], bytes]:
    def make(chance: random.Random) -> bytes:
        wave = tone(chance)
        wave[chance.randrange(len(wave))] = value
        return encode(wave, subtype="FLOAT")

    return make


def _make_zip(chance: random.Random) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        archive.writestr("a.wav", encode(tone(chance)))
    return sink.getvalue()


def _without_rate(chance: random.Random) -> bytes:
    content = bytearray(encode(tone(chance)))
    content[24:28] = struct.pack("<I", 0)
    return bytes(content)


def _make_folder(chance: random.Random, folder: Path) -> str:
    path = folder / f"folder-{chance.randrange(10**9)}.wav"
    path.mkdir(exist_ok=True)
    return str(path)


def _with_fields(**fields: Any) -> Kind:
    slugs: frozenset[str] = fields.pop("slugs")
    return Kind(lambda chance, _: {"audio": {"bytes": encode(tone(chance)), "path": None}, **fields}, slugs)


NO_AUDIO = ("not_audio", "truncated", "empty")
KINDS: dict[str, Kind] = {
    "no bytes": _from_bytes(lambda _: b"", "empty"),
    "noise": _from_bytes(lambda chance: chance.randbytes(chance.randint(1, 4000)), *NO_AUDIO),
    "half a WAV header": _from_bytes(lambda chance: encode(tone(chance))[: chance.randint(1, 40)], *NO_AUDIO),
    "a header alone": _from_bytes(lambda chance: encode(tone(chance))[:44], *NO_AUDIO),
    "half a FLAC": _from_bytes(
        lambda chance: (content := encode(tone(chance), "FLAC"))[: chance.randint(50, len(content) // 2)], *NO_AUDIO
    ),
    "half an Opus": _from_bytes(
        lambda chance: encode(tone(chance), "OGG", "OPUS")[: chance.randint(30, 200)], *NO_AUDIO
    ),
    "text": _from_bytes(lambda chance: f"bonjour {chance.random()}".encode() * 9, "not_audio"),
    "a web page": _from_bytes(lambda _: b"<!doctype html><title>404 Not Found</title>", "not_audio"),
    "a pickle": _from_bytes(lambda _: pickle.dumps(Trap(Path("unpickled"))), "not_audio"),
    "a zip": _from_bytes(_make_zip, "not_audio"),
    "an MP3 header on noise": _from_bytes(lambda chance: b"ID3\x04\0\0\0\0\0\0" + chance.randbytes(900), *NO_AUDIO),
    "NaN": _from_bytes(_with_sample(float("nan")), "nan"),
    "infinity": _from_bytes(_with_sample(float("inf")), "nan"),
    "no samples": _from_bytes(lambda _: encode(np.zeros(0, np.float32)), "empty"),
    "silence": _from_bytes(lambda _: encode(np.zeros(RATE, np.float32)), "silent"),
    "almost silence": _from_bytes(lambda chance: encode(1e-3 * tone(chance)), "silent"),
    "too short": _from_bytes(lambda chance: encode(tone(chance, chance.uniform(0.001, 0.09))), "too_short"),
    "too long": _from_bytes(lambda chance: encode(tone(chance, 31), "FLAC"), "too_long"),
    "a sampling rate of 0": _from_bytes(_without_rate, "not_audio"),
    "a path to nothing": _from_path(lambda chance, folder: str(folder / f"gone-{chance.random()}.wav"), "missing_file"),
    "a path to a folder": _from_path(_make_folder, "missing_file"),
    "neither bytes nor path": Kind(lambda _, __: {"audio": {"bytes": None, "path": None}}, frozenset({"missing_file"})),
    "no audio at all": Kind(lambda _, __: {"audio": None}, frozenset({"missing_file"})),
    "another language": _with_fields(lang="xx", slugs=frozenset({"unknown_lang"})),
    "no language": _with_fields(lang=None, slugs=frozenset({"unknown_lang"})),
    "an id that is taken": _with_fields(utt_id="good-0", slugs=frozenset({"duplicate_id"})),
    "no id": _with_fields(utt_id=None, slugs=frozenset({"no_id"})),
}
