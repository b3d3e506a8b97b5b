"""Write `assets/phrasebook_es`: the phrasebook in three languages, with little paired speech in Spanish.

Its French and English are those of `assets/phrasebook`: files are links to it, or have other ids and references.

    python -m assets.build.spanish_pack build/speech build/units assets

An utterance of `test` has the id `NAME/LANG`, so that it is the reference of the same sentence in other languages. The
column `reference` is English, and Spanish for English: it serves rounds in Spanish and English only. A pair into or out
of Spanish has the id `NAME/es-en` or `NAME/en-es`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pyarrow.parquet as pq

from assets.build.corpus import sentences
from assets.build.pack import TARGETS, make_side, parallel_text, spoken, write
from assets.build.units import rows_of
from schemas.datasets import PAIRED, UTTERANCE, Row

PAIRED_SENTENCES, DEV_SENTENCES = 400, 100
TESTED_ENGLISH = slice(250, 650)
"""The English sentences of `mono_units` that are tested into Spanish; those before are translated by rounds."""
LINKS = {f"{name}/fr.parquet": f"{name}.parquet" for name in ("paired", "dev", "text")} | {"mono/fr.parquet": "mono/fr.parquet"}
"""Files that are links, and the files of the phrasebook that they lead to: French and English."""


def pair(spanish: list[Row], english: list[Row]) -> list[Row]:
    """Return PAIRED rows of the same sentences: Spanish to the English target voice, every English voice to Spanish.

    Args:
        spanish: rows of UNITS of the Spanish target voice.
        english: PAIRED rows whose sources are the English recordings.
    """
    by_sentence = {_number(row["utt_id"]): row for row in spanish if row["speaker"] == TARGETS["es"]}
    rows = []
    for row in english:
        number, _, voice = row["pair_id"].partition("-en-")[2].partition("-")
        if row["src_lang"] == "en" and (other := by_sentence.get(int(number))):
            rows.append({"pair_id": f"{row['pair_id']}/en-es", **make_side("src", row, "src_"), **make_side("tgt", other)})
            if voice == TARGETS["en"]:
                rows.append({"pair_id": f"{other['utt_id']}/es-en", **make_side("src", other), **make_side("tgt", row, "src_")})
    return rows


def _number(utt_id: str) -> int:
    return int(utt_id.split("-")[2])


def pair_with_text(spanish: list[Row], english: list[Row]) -> list[Row]:
    """Return test utterances as PAIRED rows: the target is a reference text without units.

    Args:
        spanish: rows of UNITS of the set `test`; their references are English.
        english: PAIRED rows of speech of the set `mono_en`.
    """
    translations = {sentence.en: sentence.es for sentence in sentences()["mono_en"]}
    rows = []
    for row in spanish:
        text = {"lang": "en", "text": row["reference"]}
        rows.append({"pair_id": f"{row['utt_id']}/es-en", **make_side("src", row), **make_side("tgt", text)})
    for row in english:
        text = {"lang": "es", "text": translations[row["src_text"]]}
        rows.append({"pair_id": f"{row['pair_id']}/en-es", **make_side("src", row, "src_"), **make_side("tgt", text)})
    return rows


def rename(rows: list[Row]) -> list[Row]:
    """Return test utterances as `NAME/LANG`."""
    return [row | {"utt_id": f"test-{_number(row['utt_id']):05d}/{row['lang']}"} for row in rows]


def refer_to_spanish(rows: list[Row], name: str) -> list[Row]:
    """Return English utterances of a set of sentences with a Spanish reference instead of a French one."""
    translations = {sentence.en: sentence.es for sentence in sentences()[name]}
    return [row | {"reference": translations[row["text"]]} for row in rows]


def pack_spanish(speech: Path, units: Path, assets: Path) -> None:
    """Write the files of the world.

    Args:
        speech: the folder of the recordings.
        units: the folder of the encoded recordings.
        assets: the folder with `phrasebook`; existing files are replaced.
    """
    world, out = assets / "phrasebook", assets / "phrasebook_es"
    for name, recording, size in (("paired", "sft-es-dora", PAIRED_SENTENCES), ("dev", "dev-es-dora", DEV_SENTENCES)):
        spanish = [row for row in rows_of(units / recording) if _number(row["utt_id"]) < size]
        write(pair(spanish, pq.read_table(world / f"{name}.parquet").to_pylist()), PAIRED, out / name / "es.parquet")
    english = [row for row in pq.read_table(world / "mono_units.parquet").to_pylist() if row["src_lang"] == "en"]
    tested_units = pair_with_text(list(rows_of(units / "test-es")), english[TESTED_ENGLISH])
    write(tested_units, PAIRED, out / "test_units.parquet")
    text = [row | {"pair_id": f"{row['pair_id']}/{row['src_lang']}-{row['tgt_lang']}"} for row in parallel_text("text", ("es", "en"))]
    write(text, PAIRED, out / "text/es.parquet")
    english = refer_to_spanish(pq.read_table(world / "mono/en.parquet").to_pylist(), "mono_en")
    write(english, UTTERANCE, out / "mono/en.parquet")
    for lang, rows in spoken(speech, {"mono_es-es": 250}):
        write(rows, UTTERANCE, out / f"mono/{lang}.parquet")
    french, english = (pq.read_table(world / f"test/{lang}.parquet").to_pylist() for lang in ("fr", "en"))
    tested = {"fr": french, "en": refer_to_spanish(english, "test"), **dict(spoken(speech, {"test-es": 100}))}
    for lang, rows in tested.items():
        write(rename(rows), UTTERANCE, out / f"test/{lang}.parquet")
    for name, file in LINKS.items():
        (out / name).unlink(missing_ok=True)
        (out / name).symlink_to(Path("../../phrasebook", file))


if __name__ == "__main__":
    pack_spanish(*map(Path, sys.argv[1:]))
