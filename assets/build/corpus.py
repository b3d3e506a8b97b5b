"""Synthesise the sentences of the grammar in Parquet parts of 50 utterances; a killed run continues at the next part.

    python -m assets.build.corpus build/speech [--lang es] [--worker 0 --workers 2]

Writes `<set>-<lang>/part-00000.parquet` ... with the columns of `schemas.datasets.UTTERANCE`; audio is FLAC, 16 kHz.
Utterance ids are `<set>-<lang>-<sentence>-<speaker>`; the languages of a paired set share the sentence's number.
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile

from assets.build.grammar import Sentence, split, split_station
from assets.build.voices import RATE, Hibari, Kokoro, Piper, Speaker
from schemas.datasets import UTTERANCE

SIZES = {"sft": 4_000, "mono_fr": 8_000, "mono_en": 8_000, "dev": 300, "test": 1_000, "text": 12_000}
"""Sentences per set of the phrasebook, sampled once. Recordings may use fewer of them; `text` has no recordings."""
STATION_SIZES = {"test": 500, "mono_fr": 700, "mono_en": 700, "dev": 100, "text": 2_200}
"""Sentences per set of the station; its paired sentences follow the 300 of `test` that ship as a test."""
SPOKEN_MONO_FR = 4_000
"""Sentences of `mono_fr` that French voices read. Spanish ones read the others, as the set `mono_es`."""
SEED = 1
PART = 50

SPEAKERS: dict[tuple[str, str], Callable[[], Speaker]] = {
    ("heart", "en"): Hibari,
    ("joe", "en"): Piper,
    ("siwis", "fr"): Kokoro,
    ("dora", "fr"): lambda: Kokoro("ef_dora", "fr", 1.15),  # a Spanish voice that reads French, to test the units
    ("dora", "es"): lambda: Kokoro("ef_dora", "es", 1.0),
    ("alex", "es"): lambda: Kokoro("em_alex", "es", 1.0),
}


class Recording(NamedTuple):
    """The sentences of a set to synthesise, and their speakers: `speakers[i % len(speakers)]` reads sentence i."""

    set: str
    lang: str
    start: int
    stop: int
    speakers: tuple[str, ...]


MIXED_ES = ("dora", "dora", "alex", "dora", "dora", "dora", "dora", "alex", "dora", "dora")
MIXED = ("heart", "heart", "joe", "heart", "heart", "heart", "heart", "joe", "heart", "heart")
RECORDINGS = (
    Recording("dev", "fr", 0, 100, ("siwis",)),
    Recording("dev", "en", 0, 100, ("heart",)),
    Recording("dev", "en", 0, 100, ("joe",)),
    Recording("sft", "en", 0, 2_400, ("heart",)),
    Recording("sft", "en", 0, 600, ("joe",)),
    Recording("sft", "fr", 0, 800, ("siwis",)),
    Recording("test", "en", 0, 1_000, MIXED),
    Recording("mono_en", "en", 0, 500, MIXED),
    Recording("mono_fr", "fr", 0, 250, ("siwis",)),
    Recording("test", "fr", 0, 100, ("siwis",)),
    Recording("dev", "fr", 0, 100, ("dora",)),
    Recording("sft", "fr", 800, 4_000, ("siwis",)),
    Recording("sft", "en", 2_400, 4_000, ("heart",)),
    Recording("mono_en", "en", 500, 2_000, MIXED),
    Recording("mono_fr", "fr", 250, 600, ("siwis",)),
    Recording("test", "fr", 100, 1_000, ("siwis",)),
    Recording("mono_fr", "fr", 600, SPOKEN_MONO_FR, ("siwis",)),
    Recording("station_test", "fr", 0, 500, ("siwis",)),
    Recording("station_test", "en", 0, 500, ("heart",)),
    Recording("station_mono_fr", "fr", 0, 250, ("siwis",)),
    Recording("station_mono_en", "en", 0, 250, ("heart",)),
    Recording("test", "es", 0, 100, MIXED_ES),
    Recording("sft", "es", 0, 400, ("dora",)),
    Recording("mono_es", "es", 0, 250, MIXED_ES),
    Recording("dev", "es", 0, 100, ("dora",)),
    Recording("sft", "es", 400, 1_750, ("dora",)),  # only the vocoder learns from these
    Recording("dev", "es", 0, 100, ("alex",)),
    Recording("test", "es", 100, 400, MIXED_ES),
)
"""In the order of their use: the training data comes first."""


def sentences() -> dict[str, list[Sentence]]:
    """Return the sentences of every set; those of the station have names with `station_`."""
    station = split_station(STATION_SIZES, SEED)
    phrasebook = split(SIZES, SEED)
    phrasebook["mono_es"] = phrasebook["mono_fr"][SPOKEN_MONO_FR:]
    return phrasebook | {f"station_{name}": chosen for name, chosen in station.items()}


def flac(wave: np.ndarray) -> bytes:
    """Return a wave of shape (N,) at 16 kHz as FLAC."""
    buffer = io.BytesIO()
    soundfile.write(buffer, wave, RATE, format="FLAC")
    return buffer.getvalue()


def utterance(recording: Recording, index: int, sentence: Sentence, voices: dict[tuple[str, str], Speaker]) -> dict[str, object]:
    """Synthesise one sentence, and return it as a row of UTTERANCE."""
    name, lang = recording.speakers[index % len(recording.speakers)], recording.lang
    if (name, lang) not in voices:
        voices[name, lang] = SPEAKERS[name, lang]()
    text = str(getattr(sentence, lang))
    return {
        "utt_id": f"{recording.set}-{lang}-{index:05d}-{name}",
        "lang": lang,
        "audio": {"bytes": flac(voices[name, lang].speak(text[0].upper() + text[1:] + sentence.mark)), "path": None},
        "text": text,
        "reference": sentence.fr if lang == "en" else sentence.en,
        "speaker": name,
        "split": recording.set,
    }


def parts(out: Path, lang: str | None = None) -> Iterator[tuple[Path, Recording, range]]:
    """Yield the file, the recording and the sentence numbers of every part, or of those in one language."""
    for recording in RECORDINGS:
        if lang not in (None, recording.lang):
            continue
        voice = "" if len(recording.speakers) > 1 else f"-{recording.speakers[0]}"
        folder = out / f"{recording.set}-{recording.lang}{voice}"
        for start in range(recording.start, recording.stop, PART):
            yield folder / f"part-{start:05d}.parquet", recording, range(start, min(start + PART, recording.stop))


def speak_all(out: Path, lang: str | None, worker: int, workers: int) -> None:
    """Write the missing parts of this worker."""
    texts = sentences()
    voices: dict[tuple[str, str], Speaker] = {}
    for number, (path, recording, indices) in enumerate(parts(out, lang)):
        if number % workers != worker or path.exists():
            continue
        start = time.monotonic()
        rows = [utterance(recording, i, texts[recording.set][i], voices) for i in indices]
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".tmp")
        pq.write_table(pa.Table.from_pylist(rows, schema=UTTERANCE), temporary)
        temporary.replace(path)
        print(f"{path.parent.name}/{path.name}: {len(rows)} utterances in {time.monotonic() - start:.0f} s", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="folder of the recordings")
    parser.add_argument("--lang", help="speak only this language")
    parser.add_argument("--worker", type=int, default=0, help="this process's number, from 0")
    parser.add_argument("--workers", type=int, default=1, help="number of processes that share the work")
    arguments = parser.parse_args()
    speak_all(arguments.out, arguments.lang, arguments.worker, arguments.workers)
