"""The judges of an evaluation, with the shipped vocoders, a real recognizer and a toy voice for the cascade."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from factory.actors.evaluated import JUDGED
from factory.actors.greedy import TRANSLATED
from factory.actors.judge import Judge, ToplineJudge
from factory.actors.recognition import load_recognizer
from factory.corpora.audio import encode
from factory.models.voice import Voice
from factory.models.whisper import WhisperNetwork
from factory.recipe.loading import load
from schemas.datasets import TOPLINE, UNITS, Row
from tests.toys import tiny_vits

ROOT = Path(__file__).resolve().parent.parent.parent
RECIPE = load(ROOT / "recipes/phrasebook.yaml")
VOCODERS = {lang: str(ROOT / path) for lang, path in RECIPE.vocoder.items()}


@pytest.fixture(scope="module")
def voice(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A VITS network of random weights that knows a few letters, in the layout of the MMS voices."""
    return str(tiny_vits(tmp_path_factory.mktemp("voice")))


@pytest.fixture(scope="module")
def pair() -> Row:
    """A real French sentence with its English translation, as units."""
    rows = pq.read_table(ROOT / "assets/phrasebook/dev.parquet").to_pylist()
    return next(row for row in rows if row["tgt_lang"] == "en")


@pytest.fixture(scope="module")
def scored(pair: Row) -> list[Row]:
    """A valid translation (u0), a malformed one (u1), and the valid one again (u2)."""
    valid = {
        "text": pair["tgt_text"],
        "units": pair["tgt_units"],
        "finish": "ok",
        "back_translation": None,
        "back_translation_units": pair["src_units"],
    }
    malformed = dict.fromkeys(valid) | {"text": "words <|sosp|>", "finish": "unclosed"}
    head = {"src_lang": "fr", "tgt_lang": "en", "text": pair["src_text"], "reference": pair["tgt_text"], "status": "ok"}
    head |= {"durations": [30, 20]}
    return [head | {"utt_id": f"u{n}", "candidates": [each]} for n, each in enumerate((valid, malformed, valid))]


def transcribe(units: list[int], lang: str) -> str:
    """Return the transcript of units that are spoken in a language."""
    return load_recognizer(RECIPE.recognizer, threads=1).transcribe(Voice(VOCODERS[lang]).speak([units]), lang)[0]


def judge(rows: list[Row], **changes: Any) -> list[Row]:
    """Return the rows as a judge returns them; u0 and u1 are spoken."""
    options = {
        "writes_text": True,
        "translates_texts_back": True,
        "cascade": {},
        "measures": (),
        "threads": 1,
    } | changes
    actor = Judge(VOCODERS, RECIPE.recognizer, **options)
    marked = [row | {"policy": "1", "spoken": row["utt_id"] in ("u0", "u1")} for row in rows]
    table = actor(pa.Table.from_pylist(marked, schema=TRANSLATED))
    assert table.schema == JUDGED and table["policy"].to_pylist() == ["1"] * len(rows)
    return table.to_pylist()


def test_translation_back_translation_and_cascade_are_spoken_and_transcribed(
    scored: list[Row], pair: Row, voice: str
) -> None:
    valid, malformed, unspoken = judge(scored, writes_text=False, cascade={"en": voice})
    assert (valid["source_text"], valid["text"], valid["reference"], valid["finish"]) == (
        scored[0]["text"],
        scored[0]["reference"],
        scored[0]["reference"],
        "ok",
    )
    assert valid["asr_text"] == transcribe(pair["tgt_units"], "en") != ""
    assert valid["back_translation"] == transcribe(pair["src_units"], "fr") != ""
    assert 1 < valid["mos"] < 5
    seconds = len(Voice(VOCODERS["en"]).speak([pair["tgt_units"]])[0]) / 16_000
    assert (valid["spoken_lang"], valid["source_s"], valid["speech_s"]) == ("en", 1.0, seconds)
    assert (malformed["spoken_lang"], malformed["source_s"], malformed["speech_s"]) == (None, 1.0, 0.0)
    assert [unspoken[key] for key in ("spoken_lang", "source_s", "speech_s")] == [None] * 3
    assert valid["cascade_text"] is not None and 1 <= valid["cascade_mos"] < 5
    assert (malformed["text"], malformed["finish"]) == ("words", "unclosed"), "a text ends where speech begins"
    assert (malformed["asr_text"], malformed["mos"], malformed["back_translation"]) == ("", None, "")
    assert unspoken["text"] == valid["text"] and unspoken["units"] == valid["units"]
    assert all(unspoken[key] is None for key in ("asr_text", "mos", "back_translation", "cascade_text", "cascade_mos"))


def test_a_back_translation_with_a_text_is_read(scored: list[Row]) -> None:
    texts = ("il est là", None, None)
    rows = [
        row | {"candidates": [row["candidates"][0] | {"back_translation": text}]}
        for row, text in zip(scored, texts, strict=True)
    ]
    judged = judge(rows)
    assert [row["back_translation"] for row in judged] == ["il est là", "", ""]
    assert judged[0]["cascade_text"] is None
    by_speech = judge(rows, translates_texts_back=False)
    assert [row["back_translation"] for row in by_speech] == ["il est là", "", None], (
        "u2 has no units to translate back"
    )


def test_measures_compare_the_spoken_translation_with_its_source(scored: list[Row], pair: Row) -> None:
    wave = Voice(VOCODERS["en"]).speak([pair["tgt_units"]])[0]
    recorded = [row | {"audio": {"bytes": encode(wave, "FLAC"), "path": None}} for row in scored]
    same, malformed, unspoken = judge(recorded, measures=("speaker_similarity",))
    assert same["speaker_similarity"] == pytest.approx(1, abs=0.001), "it is the same sound"
    assert (same["unmeasured"], same["dnsmos"]) == ([], None)
    assert (malformed["speaker_similarity"], malformed["unmeasured"]) == (None, ["speaker_similarity: no_speech"])
    assert (unspoken["speaker_similarity"], unspoken["unmeasured"]) == (None, None)
    [plain, *_] = judge(recorded)
    assert plain["speaker_similarity"] is plain["unmeasured"] is None and plain["asr_text"] == same["asr_text"]


def test_a_topline_judges_the_recording_and_its_resynthesis(pair: Row, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(WhisperNetwork, "detect_languages")  # no topline has a language
    wave = Voice(VOCODERS["en"]).speak([pair["tgt_units"]])[0]
    row = {"utt_id": "a", "lang": "en", "text": pair["tgt_text"], "status": "ok"}
    table = pa.Table.from_pylist([row | {"audio": {"bytes": encode(wave, "FLAC"), "path": None}}])
    encoder = replace(RECIPE.encoder, codebook=str(ROOT / RECIPE.encoder.codebook))
    [done] = ToplineJudge(VOCODERS, RECIPE.recognizer, encoder, RECIPE.languages, threads=1)(table).to_pylist()
    assert done["reference"] == pair["tgt_text"]
    assert done["audio_asr"] == transcribe(pair["tgt_units"], "en") != ""
    assert done["resynthesised_asr"] != done["audio_asr"], "the recording is resynthesised from units of its own"
    assert 1 < done["resynthesised_mos"] != done["audio_mos"] > 1


def test_a_topline_of_units_has_no_recording_and_keeps_the_order(pair: Row) -> None:
    rows = [
        {"utt_id": f"u{number}", "lang": lang, "text": lang, "units": pair[f"{side}_units"], "status": "ok"}
        for number, (lang, side) in enumerate([("fr", "src"), ("en", "tgt"), ("fr", "src")])
    ]
    table = ToplineJudge(VOCODERS, RECIPE.recognizer, None, RECIPE.languages, threads=1)(
        pa.Table.from_pylist(rows, schema=UNITS)
    )
    assert table.schema == TOPLINE
    done = table.to_pylist()
    assert [(row["utt_id"], row["reference"]) for row in done] == [("u0", "fr"), ("u1", "en"), ("u2", "fr")]
    assert [row["audio_asr"] for row in done] == [row["audio_mos"] for row in done] == [None] * 3
    assert done[0]["resynthesised_asr"] == done[2]["resynthesised_asr"] != done[1]["resynthesised_asr"] != ""
