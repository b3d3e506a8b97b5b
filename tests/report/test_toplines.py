"""The toplines: the scores of recordings and of their resynthesised units."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from factory.report.toplines import score_toplines
from factory.storage.dataset import DatasetDir
from schemas.datasets import TOPLINE, Row
from tests.toy_run import toy_recipe


def topline(utt_id: str, lang: str, **changes: object) -> Row:
    columns = {"audio_asr": "the red boat leaves", "audio_mos": 4.0, "resynthesised_asr": "the red boat left"}
    head = {"utt_id": utt_id, "lang": lang, "reference": "The red boat leaves!", "status": "ok", "reason": None}
    return head | columns | {"resynthesised_mos": 3.0} | changes


def write(folder: Path, rows: list[Row]) -> DatasetDir:
    dataset = DatasetDir(str(folder), TOPLINE)
    dataset.start({"stage": "toy"})
    dataset.append(pa.Table.from_pylist(rows, schema=TOPLINE))
    dataset.publish()
    return dataset


def test_recordings_and_resynthesised_units_are_scored_per_language(tmp_path: Path) -> None:
    rows = [topline("a", "en"), topline("b", "en", audio_asr=None, audio_mos=None), topline("c", "en", status="failed")]
    toplines = score_toplines(write(tmp_path / "toplines", rows), toy_recipe())
    assert list(toplines) == ["en"]
    english = toplines["en"]
    assert english["utterances"] == 2
    assert english["audio"]["asr_bleu"] == {"score": 100.0, "ci": [100.0, 100.0]}
    assert english["audio"]["wer"] == {"score": 0.0, "ci": [0.0, 0.0]}
    assert english["audio"]["mos"] == {"score": 4.0, "ci": [4.0, 4.0]}
    assert english["resynthesised"]["wer"] == {"score": 0.25, "ci": [0.25, 0.25]}
    assert english["resynthesised"]["mos"] == {"score": 3.0, "ci": [3.0, 3.0]}


def test_what_was_not_measured_is_none_or_absent(tmp_path: Path) -> None:
    rows = [
        topline("a", "fr", reference=None, audio_asr=None, resynthesised_mos=None),
        topline("b", "en", resynthesised_asr=None),
    ]
    toplines = score_toplines(write(tmp_path / "toplines", rows), toy_recipe())
    assert toplines["fr"] == {"utterances": 1, "resynthesised": {"asr_bleu": None, "wer": None, "mos": None}}
    assert set(toplines["en"]) == {"utterances", "audio"}
    assert score_toplines(write(tmp_path / "none", []), toy_recipe()) == {}
