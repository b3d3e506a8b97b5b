"""The world with Spanish: its pairs are translations, and its French and English are those of the phrasebook."""

from __future__ import annotations

import io
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from assets.build.corpus import sentences
from assets.build.spanish_pack import pack_spanish
from factory.passes.sequences import read_paired
from factory.recipe.directions import Direction
from factory.recipe.loading import load
from factory.storage.dataset import DatasetDir
from schemas.datasets import Row
from tests.limits import HANG_S

ROOT = Path(__file__).resolve().parent.parent.parent
SENTENCES = sentences()
ENGLISH = {s.es: s.en for chosen in SENTENCES.values() for s in chosen}


def recording(name: str, number: int, speaker: str) -> Row:
    """One second of noise as a Spanish recording, with units."""
    buffer = io.BytesIO()
    soundfile.write(buffer, np.random.default_rng(number).normal(0, 0.1, 16_000), 16_000, format="FLAC")
    sentence = SENTENCES[name][number]
    return {
        "utt_id": f"{name}-es-{number:05d}-{speaker}",
        "lang": "es",
        "audio": {"bytes": buffer.getvalue(), "path": None},
        "text": sentence.es,
        "reference": sentence.en,
        "speaker": speaker,
        "split": name,
        "units": [number, 7],
        "durations": [1, 2],
    }


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a world with ten Spanish recordings of each kind, next to the phrasebook that ships."""
    folder = tmp_path_factory.mktemp("assets")
    (folder / "phrasebook").symlink_to(ROOT / "assets/phrasebook")
    for made, name, speaker in (
        ("units/sft-es-dora", "sft", "dora"),
        ("units/dev-es-dora", "dev", "dora"),
        ("speech/mono_es-es", "mono_es", "dora"),
        ("speech/test-es", "test", "alex"),
    ):
        numbers = [*range(9), 400] if name == "sft" else range(10)
        (folder / made).mkdir(parents=True)
        rows = [recording(name, number, speaker) for number in numbers]
        pq.write_table(pa.Table.from_pylist(rows), folder / made / "part-00000.parquet")
    pack_spanish(folder / "speech", folder / "units", folder)
    return folder / "phrasebook_es"


def test_pairs_are_translations_in_both_directions_and_have_units(world: Path) -> None:
    rows = pq.read_table(world / "paired/es.parquet").to_pylist()
    assert Counter(map(Direction.of_row, rows)) == {"es-en": 9, "en-es": 18}, "two English voices, one target voice"
    for row in rows:
        sides = {row["src_lang"]: row["src_text"], row["tgt_lang"]: row["tgt_text"]}
        assert ENGLISH[sides["es"]] == sides["en"]
        assert row["src_units"] and row["tgt_units"]
        assert row["pair_id"].endswith(f"/{Direction.of_row(row)}")
    assert len({row["pair_id"] for row in rows}) == len(rows)


def test_the_units_of_a_pair_belong_to_its_sentences(world: Path) -> None:
    english = {
        row["src_text"]: row["src_units"] for row in DatasetDir(str(world / "paired/fr.parquet")).rows().to_pylist()
    }
    for row in pq.read_table(world / "paired/es.parquet").to_pylist():
        if row["src_lang"] == "es":
            number = int(row["pair_id"].split("-")[2])
            assert (row["src_units"], row["src_durations"]) == ([number, 7], [1, 2])
            assert SENTENCES["sft"][number].es == row["src_text"]
            assert row["tgt_text"] in english


def test_round_0_reads_every_direction(world: Path) -> None:
    settings = [f"corpus.{name}={world / name}" for name in ("paired", "text")]
    rows = read_paired(load(ROOT / "recipes/phrasebook_es.yaml", settings))
    counts = Counter(map(Direction.of_row, (row for row in rows if row["src_units"])))
    assert counts == {"fr-en": 4_000, "en-fr": 4_600, "es-en": 9, "en-es": 18}
    texts = Counter(map(Direction.of_row, (row for row in rows if not row["src_units"])))
    assert set(texts.values()) == {12_000} and texts.keys() == counts.keys()
    assert len({(row["pair_id"], Direction.of_row(row)) for row in rows}) == len(rows)


def test_the_test_set_has_the_same_sentences_in_three_languages(world: Path) -> None:
    tables = {lang: pq.read_table(world / f"test/{lang}.parquet").to_pylist() for lang in ("fr", "en", "es")}
    french, english, spanish = (
        {row["utt_id"].removesuffix(f"/{lang}"): row for row in rows} for lang, rows in tables.items()
    )
    assert len(spanish) == 10 and spanish.keys() <= french.keys() == english.keys() and len(french) == 100
    for name, row in spanish.items():
        assert row["reference"] == english[name]["text"] == french[name]["reference"] == ENGLISH[row["text"]]
        assert english[name]["reference"] == row["text"]


def test_untranslated_speech_is_in_three_languages_and_english_refers_to_spanish(world: Path) -> None:
    recipe = load(ROOT / "recipes/phrasebook_es.yaml")
    rows = DatasetDir(str(world / "mono")).rows(["utt_id", "lang", "text", "reference"]).to_pylist()
    assert Counter(row["lang"] for row in rows) == {"fr": 250, "en": 250, "es": 10}
    assert all(ENGLISH[row["reference"]] == row["text"] for row in rows if row["lang"] == "en")
    assert len({row["utt_id"] for row in rows}) == len(rows)
    assert {direction.source for direction in recipe.used_directions} == {"fr", "en", "es"}


@pytest.mark.parametrize(
    ("languages", "directions", "named"),
    [
        ("[fr, en, es]", "[fr-en, en-fr, es-en, en-es]", "fr-en, en-fr, en-es, es-en"),
        ("[es, en]", "null", "es-en, en-es"),
    ],
)
def test_a_round_in_two_or_three_languages_is_planned(
    languages: str, directions: str, named: str, world: Path, tmp_path: Path
) -> None:
    vocoders = {lang: f"assets/phrasebook/vocoder-{lang if lang == 'en' else 'fr'}" for lang in ("fr", "en", "es")}
    used = ", ".join(f"{lang}: {path}" for lang, path in vocoders.items() if lang in languages)
    settings = [f"languages={languages}", f"directions={directions}", f"vocoder={{{used}}}"]
    settings += [f"corpus.{name}={world / name}" for name in ("mono", "test", "paired", "text", "dev")]
    command = [sys.executable, "factory/run_round.py", "--recipe", "recipes/phrasebook_es.yaml", "--round", "0-1"]
    command += ["--dry-run", "--run", str(tmp_path), *(word for one in settings for word in ("--set", one))]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=HANG_S)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"directions {named}\n" in done.stdout and "sequences, 8,627 rows" in done.stdout


def test_french_is_linked_and_a_second_pack_replaces_the_files(world: Path) -> None:
    for name in ("paired/fr.parquet", "dev/fr.parquet", "text/fr.parquet", "mono/fr.parquet"):
        assert (world / name).is_symlink() and (world / name).resolve().is_file()
    before = (world / "paired/es.parquet").read_bytes()
    pack_spanish(world.parent / "speech", world.parent / "units", world.parent)
    assert (world / "paired/es.parquet").read_bytes() == before
