"""The sounds of a report: recordings, or units resynthesised by the vocoder of their language."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
import soundfile

from factory.models.voice import Voice
from factory.planning.places import Round
from factory.report.pairs import read_shown_pairs
from factory.report.players import embed_waves, find_recordings, load_vocoders, make_waves
from tests.toy_run import ROOT, toy_recipe, toy_run


@pytest.fixture(scope="module")
def vocoders() -> dict[str, Voice]:
    return load_vocoders(toy_recipe())


@pytest.fixture(scope="module")
def round_(tmp_path_factory: pytest.TempPathFactory) -> Round:
    return Round(toy_run(tmp_path_factory.mktemp("run"), langs=("fr",)), 1, toy_recipe())


def test_every_sound_of_a_pair_is_resynthesised_in_its_language(round_: Round, vocoders: dict[str, Voice]) -> None:
    [pair] = read_shown_pairs(round_.pairs, round_.scored, 1)
    waves = make_waves([pair], {}, vocoders)
    expected = {
        "source": ("fr", pair["source"]["units"]),
        "chosen": ("en", pair["chosen"]["units"]),
        "rejected": ("en", pair["rejected"]["units"]),
        "chosen_back": ("fr", pair["chosen"]["back_translation_units"]),
        "rejected_back": ("fr", pair["rejected"]["back_translation_units"]),
    }
    assert set(waves) == {f"{pair['pair_id']}.{name}" for name in expected}
    for name, (lang, units) in expected.items():
        assert units
        np.testing.assert_allclose(waves[f"{pair['pair_id']}.{name}"], vocoders[lang].speak([units])[0], atol=1e-3)


def test_a_recording_replaces_the_units_of_its_source(round_: Round, vocoders: dict[str, Voice]) -> None:
    [pair] = read_shown_pairs(round_.pairs, round_.scored, 1)
    recording = np.ones(3, np.float32)
    waves = make_waves([pair], {pair["utt_id"]: recording, "other": recording}, vocoders, with_back_translations=False)
    assert set(waves) == {f"{pair['pair_id']}.{name}" for name in ("source", "chosen", "rejected")}
    assert waves[f"{pair['pair_id']}.source"] is recording


def test_what_has_no_units_or_no_vocoder_is_silent(round_: Round, vocoders: dict[str, Voice]) -> None:
    [pair] = read_shown_pairs(round_.pairs, round_.scored, 1)
    pair["source"]["units"] = None
    pair["chosen"]["back_translation_units"] = []
    assert set(make_waves([pair], {}, {"fr": vocoders["fr"]})) == {f"{pair['pair_id']}.rejected_back"}
    assert make_waves([pair], {}, {}) == {}


def test_recordings_that_cannot_be_read_are_reported_and_not_needed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert find_recordings(f"{tmp_path}/gone", ["a"]) == {}
    sentence = capsys.readouterr().err
    assert sentence.startswith(f"the recordings in {tmp_path}/gone cannot be read, so their sources are resynthesised")
    assert find_recordings(f"{tmp_path}/gone", []) == {} and capsys.readouterr().err == ""


def test_recordings_of_the_corpus_are_found(round_: Round) -> None:
    ids = round_.scored.rows(["utt_id"])["utt_id"].to_pylist()[:2]
    recordings = find_recordings(str(ROOT / "assets/phrasebook/mono"), ids)
    assert sorted(recordings) == sorted(ids) and all(len(wave) > 8_000 for wave in recordings.values())


def test_a_vocoder_is_loaded_for_each_language(vocoders: dict[str, Voice]) -> None:
    assert set(vocoders) == {"fr", "en"}


def test_a_wave_is_embedded_as_opus() -> None:
    [(key, uri)] = embed_waves({"a": np.sin(np.arange(16_000) / 20).astype(np.float32)}).items()
    head, data = uri.split(",")
    assert (key, head) == ("a", "data:audio/ogg;base64")
    sound = soundfile.info(io.BytesIO(base64.b64decode(data)))
    assert sound.subtype == "OPUS" and sound.duration == pytest.approx(1, abs=0.05)
