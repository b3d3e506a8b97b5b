"""The judge of an evaluation, with the shipped voices, a real recognizer, and a VITS voice at toy size for the cascade."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from factory.actors.judge import Judge
from factory.recipe.loading import load
from schemas.datasets import SCORED
from tests.toys import tiny_vits

ROOT = Path(__file__).resolve().parent.parent.parent
RECIPE = load(ROOT / "recipes/phrasebook.yaml")


@pytest.fixture(scope="module")
def voice(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A VITS network of random weights that knows a few letters, in the layout of the MMS voices."""
    return str(tiny_vits(tmp_path_factory.mktemp("voice")))


@pytest.fixture(scope="module")
def spoken() -> list[dict[str, Any]]:
    """Two English translations as a policy would give them: units of a real sentence, and a malformed one."""
    table = pq.read_table(ROOT / "assets/phrasebook/dev.parquet").to_pylist()
    pair = next(row for row in table if row["tgt_lang"] == "en")
    candidate = {
        "text": pair["tgt_text"],
        "units": pair["tgt_units"],
        "back_translation_units": pair["src_units"],
        "back_translation": None,
        "finish": "ok",
    }
    broken = {
        "text": None,
        "units": None,
        "back_translation_units": None,
        "back_translation": None,
        "finish": "unclosed",
    }
    head = {"src_lang": "fr", "tgt_lang": "en", "text": pair["src_text"], "reference": pair["tgt_text"], "status": "ok"}
    return [head | {"utt_id": f"u{n}", "candidates": [each]} for n, each in enumerate((candidate, broken, candidate))]


def judged(rows: list[dict[str, Any]], **changes: Any) -> list[dict[str, Any]]:
    vocoders = {lang: str(ROOT / place) for lang, place in RECIPE.vocoder.items()}
    actor = Judge(vocoders=vocoders, recognizer=asdict(RECIPE.recognizer), spoken=["u0", "u1"], **changes)
    return actor(pa.Table.from_pylist(rows, schema=SCORED)).to_pylist()


def test_a_policys_speech_its_way_back_and_the_cascade_are_heard(spoken: list[dict[str, Any]], voice: str) -> None:
    said, broken, unspoken = judged(spoken, writes_text=False, cascade={"en": voice})
    assert said["asr_text"] and 1 < said["mos"] < 5
    assert said["back_translation"]  # heard from the way back's units
    assert said["cascade_text"] is not None and 1 <= said["cascade_mos"] < 5
    assert (broken["asr_text"], broken["mos"], broken["back_translation"], broken["cascade_text"]) == (
        "",
        None,
        "",
        None,
    )
    assert unspoken["text"] and (unspoken["asr_text"], unspoken["back_translation"], unspoken["cascade_text"]) == (
        None,
        None,
        None,
    )


def test_a_way_back_that_has_a_text_is_read(spoken: list[dict[str, Any]]) -> None:
    texts = ("il est là", None, None)
    written = [
        row | {"candidates": [row["candidates"][0] | {"back_translation": text}]}
        for row, text in zip(spoken, texts, strict=True)
    ]
    assert [row["back_translation"] for row in judged(written, writes_text=True)] == ["il est là", "", ""]
