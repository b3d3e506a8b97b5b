"""Counters: what rows add to them, and the tags that they need."""

from __future__ import annotations

import pyarrow as pa
import pytest

from factory.runtime.counters import FRAME_S, NAMES, count, measure
from schemas.datasets import PAIR, SCORED, UNITS


def test_units_count_as_tokens_and_durations_as_seconds() -> None:
    rows = [
        {"utt_id": "u0", "lang": "fr", "units": [7, 8, 9], "durations": [10, 20, 30], "status": "ok"},
        {"utt_id": "u1", "lang": "fr", "units": [7], "durations": [40], "status": "ok"},
        {"utt_id": "u2", "lang": "fr", "status": "failed"},
    ]
    amounts = measure(pa.Table.from_pylist(rows, schema=UNITS))
    assert amounts == {"roundtrip_tokens": 4.0, "roundtrip_audio_seconds": pytest.approx(2.0)}


def test_candidates_count_with_their_back_translations_and_the_source_units_do_not() -> None:
    candidates = [{"units": [1, 2], "back_translation_units": [3, 4, 5]}, {"units": None}]
    head = {"utt_id": "u0", "src_lang": "fr", "tgt_lang": "en", "status": "ok"}
    row = head | {"units": [1] * 9, "durations": [50], "candidates": candidates}
    amounts = measure(pa.Table.from_pylist([row], schema=SCORED))
    assert amounts == {"roundtrip_tokens": 5.0, "roundtrip_audio_seconds": pytest.approx(1.0)}


def test_rows_without_units_count_nothing() -> None:
    assert measure(PAIR.empty_table()) == {}
    assert measure(UNITS.empty_table()) == {"roundtrip_tokens": 0.0, "roundtrip_audio_seconds": 0.0}
    assert measure(SCORED.empty_table()) == {"roundtrip_tokens": 0.0, "roundtrip_audio_seconds": 0.0}


def test_a_frame_is_20_milliseconds() -> None:
    assert FRAME_S == 0.02


def test_the_names_and_tags_of_counters_never_change() -> None:
    assert NAMES == {
        "roundtrip_rows": ("stage", "status"),
        "roundtrip_tokens": ("stage",),
        "roundtrip_audio_seconds": ("stage",),
        "roundtrip_pairs": ("stage", "direction"),
    }


def test_a_counter_needs_its_tags(local_ray: None) -> None:
    count("roundtrip_rows", 3, stage="toy", status="ok")
    with pytest.raises(ValueError, match="status"):
        count("roundtrip_rows", 3, stage="toy")
    with pytest.raises(KeyError):
        count("no_such_counter", 3)
    count("no_such_counter", 0)
