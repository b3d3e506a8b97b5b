"""Write the data of `assets`: paired, held-out and monolingual units, parallel text, and speech as Opus.

    python -m assets.build.pack build/speech build/units assets
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import permutations
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from assets.build.corpus import sentences
from assets.build.units import rows_of
from factory.corpora.audio import encode, read
from schemas.datasets import PAIRED, UTTERANCE, Row

TARGETS = {"fr": "siwis", "en": "heart", "es": "dora"}
"""The voice of each language's vocoder; translations into the language use its units."""
LANGUAGES = ("fr", "en")
"""The languages of these worlds; `assets.build.spanish_pack` writes the one with Spanish."""


class World(NamedTuple):
    """The files of one folder below `assets`."""

    paired: dict[str, tuple[str, range]]  # file: the set, and the numbers of its sentences
    text: str  # the set of the parallel text
    monolingual: dict[str, int]  # recordings whose first utterances ship as units; they share no sentence
    spoken: dict[str, dict[str, int]]  # folder: recordings that ship as speech, and the number of utterances of each


WORLDS = {
    "phrasebook": World(
        paired={"paired": ("sft", range(4_000)), "dev": ("dev", range(100))},
        text="text",
        monolingual={"mono_fr-fr-siwis": 1_000, "mono_en-en": 1_000},
        spoken={"mono": {"mono_fr-fr-siwis": 250, "mono_en-en": 250}, "test": {"test-fr-siwis": 100, "test-en": 100}},
    ),
    "station": World(
        paired={"paired": ("station_test", range(300, 380)), "dev": ("station_test", range(460, 500))},
        text="station_text",
        monolingual={},
        spoken={
            "mono": {"station_mono_fr-fr-siwis": 250, "station_mono_en-en-heart": 250},
            "test": {"station_test-fr-siwis": 300, "station_test-en-heart": 300},
        },
    ),
}


def paired(units: Path, name: str, numbers: range) -> list[Row]:
    """Return the PAIRED rows of a set: every recording to the target voice of the other language.

    Args:
        units: the folder of the encoded recordings.
        name: the set.
        numbers: of the sentences; one without a recording in both languages is left out.
    """
    every = [row for folder in sorted(units.glob(f"{name}-*")) for row in rows_of(folder)]
    recordings = [row for row in every if row["lang"] in LANGUAGES and row["speaker"] != "dora"]
    by_sentence: dict[int, list[Row]] = {}
    for row in recordings:
        by_sentence.setdefault(int(row["utt_id"].split("-")[2]), []).append(row)
    complete = {number: rows for number, rows in by_sentence.items() if number in numbers and {r["lang"] for r in rows} == set(LANGUAGES)}
    return [_pair(one, two) for number in sorted(complete) for one, two in permutations(complete[number], 2) if _fits(one, two)]


def _fits(source: Row, target: Row) -> bool:
    return bool(source["lang"] != target["lang"] and target["speaker"] == TARGETS[target["lang"]])


def _pair(source: Row, target: Row) -> Row:
    return {"pair_id": source["utt_id"], **make_side("src", source), **make_side("tgt", target)}


def make_side(side: str, row: Row, prefix: str = "") -> Row:
    """Return one side of a row of PAIRED; what a row does not know, as its words, is null.

    Args:
        side: `src` or `tgt`.
        row: a row of UNITS, which may have words.
        prefix: of the row's columns, if it is a row of PAIRED itself: `src_` or `tgt_`.
    """
    return {f"{side}_{key}": row.get(prefix + key) for key in ("lang", "text", "units", "durations", "words")}


def monolingual(units: Path, recordings: dict[str, int]) -> list[Row]:
    """Return PAIRED rows of monolingual speech: the target is a reference text without units."""
    rows = [row for name, limit in recordings.items() for row, _ in zip(rows_of(units / name), range(limit), strict=False)]
    return [_pair(row, {"lang": _other(row["lang"]), "text": row["reference"], "units": None}) for row in rows]


def _other(lang: str) -> str:
    return next(other for other in LANGUAGES if other != lang)


def parallel_text(name: str, languages: tuple[str, str] = LANGUAGES) -> list[Row]:
    """Return a set of sentences without recordings as PAIRED rows without units, in both directions."""
    rows = []
    for number, sentence in enumerate(sentences()[name]):
        texts = {lang: getattr(sentence, lang) for lang in languages}
        for src, tgt in permutations(languages, 2):
            row = {"src_lang": src, "src_text": texts[src], "tgt_lang": tgt, "tgt_text": texts[tgt]}
            rows.append({"pair_id": f"{name}-{src}-{number:05d}", **row})
    return rows


def spoken(speech: Path, recordings: dict[str, int]) -> Iterator[tuple[str, list[Row]]]:
    """Yield each recording's first utterances with their audio as Opus (24 kbit/s)."""
    for name, limit in recordings.items():
        rows = [row for row, _ in zip(rows_of(speech / name), range(limit), strict=False)]
        for row in rows:
            row["audio"] = {"bytes": encode(read(row["audio"])), "path": f"{row['utt_id']}.opus"}
        yield name.split("-")[1], rows


def pack(world: World, speech: Path, units: Path, out: Path) -> None:
    """Write the files of one world.

    Args:
        world: the files.
        speech: the folder of the recordings.
        units: the folder of the encoded recordings.
        out: the folder to write; existing files are replaced.
    """
    files = {file: paired(units, name, numbers) for file, (name, numbers) in world.paired.items()}
    files |= {"mono_units": monolingual(units, world.monolingual), "text": parallel_text(world.text)}
    for file, rows in files.items():
        if rows:
            write(rows, PAIRED, out / f"{file}.parquet")
    for folder, recordings in world.spoken.items():
        for lang, rows in spoken(speech, recordings):
            write(rows, UTTERANCE, out / folder / f"{lang}.parquet")


def write(rows: list[Row], schema: pa.Schema, path: Path) -> None:
    """Write the rows of a file that ships."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path, compression="zstd", compression_level=19)


if __name__ == "__main__":
    speech, units, out = map(Path, sys.argv[1:])
    for name, world in WORLDS.items():
        pack(world, speech, units, out / name)
