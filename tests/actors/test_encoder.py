"""The encoder actor: an utterance has the same units in every batch, and a bad one is kept with a reason."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from factory.actors.encoder import Encoder
from factory.corpora.audio import encode
from factory.models.codebook import Codebook, expand
from factory.models.weights import WeightsError
from factory.models.whisper_encoder import WhisperEncoder
from factory.recipe.sections import EncoderConfig
from schemas.datasets import FAILED, OK, SKIPPED, UNITS, Row
from trainers.codebook import fit

LAYER = 2


def make_noise(seed: int, seconds: float) -> np.ndarray:
    """Return noise and a tone that swells three times a second, so that the frames differ."""
    rng, t = np.random.default_rng(seed), np.arange(int(seconds * 16_000)) / 16_000
    tone = np.sin(2 * np.pi * t * rng.uniform(100, 400)) * np.sin(2 * np.pi * 3 * t)
    return (0.2 * tone + 0.05 * rng.standard_normal(len(t))).clip(-1, 1)


def row(number: int, wave: np.ndarray, **others: object) -> Row:
    audio = {"bytes": encode(wave, "FLAC"), "path": None}
    fixed: Row = {"utt_id": f"u{number}", "lang": "en", "text": "words", "audio": audio, "status": OK, "reason": None}
    return fixed | others


@pytest.fixture(scope="module")
def codebook(tmp_path_factory: pytest.TempPathFactory) -> Path:
    encoder = WhisperEncoder("package:whisper-base", LAYER)
    path = tmp_path_factory.mktemp("codebook") / "codebook.safetensors"
    fit([encoder.frames(make_noise(seed, 2.0)) for seed in range(4)], 20, encoder).save(path)
    return path


@pytest.fixture(scope="module")
def actor(codebook: Path) -> Encoder:
    config = EncoderConfig(model="package:whisper-base", layer=LAYER, codebook=str(codebook), max_s=4.0)
    return Encoder(config, ["fr", "en"], threads=1)


def test_units_do_not_depend_on_the_batch(actor: Encoder) -> None:
    rows = [row(number, make_noise(number, seconds)) for number, seconds in enumerate((0.3, 1.1, 2.0, 0.7, 1.1))]
    together = actor(pa.Table.from_pylist(rows)).to_pylist()
    alone = [actor(pa.Table.from_pylist([one])).to_pylist()[0] for one in reversed(rows)][::-1]
    assert together == alone
    for one, seconds in zip(together, (0.3, 1.1, 2.0, 0.7, 1.1), strict=True):
        assert (one["status"], one["reason"], one["num_samples"]) == (OK, None, round(seconds * 16_000))
        assert len(expand(one["units"], one["durations"])) == -(-(one["num_samples"] // 160) // 2)


def test_without_deduplication_each_frame_has_its_unit(actor: Encoder) -> None:
    rows = pa.Table.from_pylist([row(1, make_noise(1, 1.1))])
    [merged] = actor(rows).to_pylist()
    actor.config = replace(actor.config, deduplicate=False)
    try:
        [frames] = actor(rows).to_pylist()
    finally:
        actor.config = replace(actor.config, deduplicate=True)
    assert frames["units"] == expand(merged["units"], merged["durations"]).tolist()
    assert frames["durations"] == [1] * 55 and len(merged["units"]) < 55


def test_masked_batches_as_on_a_gpu_give_every_row_its_own_units(actor: Encoder) -> None:
    seconds = (0.3, 1.1, 5.0, 2.0, 0.7, 3.9)
    rows = [row(number, make_noise(number, one)) for number, one in enumerate(seconds)]
    alone = actor(pa.Table.from_pylist(rows)).to_pylist()
    actor.encoder.batch_frames = 200
    try:
        together = actor(pa.Table.from_pylist(rows)).to_pylist()
    finally:
        actor.encoder.batch_frames = None
    assert [one["status"] for one in together] == [OK, OK, SKIPPED, OK, OK, OK]
    assert together == alone


def test_each_row_is_reported_when_it_is_encoded(actor: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    finished: list[Row] = []
    monkeypatch.setattr(actor, "on_finished", finished.append)
    rows = [row(number, make_noise(number, 0.3), lang=lang) for number, lang in enumerate(("en", "de", "fr"))]
    actor.process(rows)
    assert finished == [rows[0], rows[2]]


def test_bad_rows_are_kept_in_their_order_with_a_reason(actor: Encoder) -> None:
    good = make_noise(0, 1.0)
    rows = [
        (row(0, good), OK, None),
        (row(1, np.zeros(16_000)), SKIPPED, "silent"),
        (row(2, good[:800]), SKIPPED, "too_short"),
        (row(3, make_noise(0, 5.0)), SKIPPED, "too_long"),
        (row(4, good, audio={"bytes": None, "path": "/no/such.wav"}), FAILED, "missing_file"),
        (row(5, good, audio={"bytes": b"no audio", "path": None}), FAILED, "not_audio"),
        (row(6, good, audio={"bytes": b"", "path": None}), FAILED, "empty"),
        (row(7, good, lang="de"), SKIPPED, "unknown_lang"),
        (row(8, good, audio=None), FAILED, "missing_file"),
        (row(9, good, status=FAILED, reason="duplicate_id: twice"), FAILED, "duplicate_id"),
        (row(10, good), OK, None),
    ]
    table = actor(pa.Table.from_pylist([one for one, _, _ in rows]))
    assert table.schema == UNITS
    for done, (one, status, slug) in zip(table.to_pylist(), rows, strict=True):
        assert (done["utt_id"], done["status"]) == (one["utt_id"], status)
        assert (done["reason"] or "").partition(":")[0] == (slug or "")
        assert bool(done["units"]) == (status == OK)


def test_a_codebook_of_another_layer_is_refused(codebook: Path) -> None:
    config = EncoderConfig(model="package:whisper-base", layer=LAYER + 1, codebook=str(codebook))
    with pytest.raises(WeightsError, match=f"belongs to layer {LAYER}"):
        Encoder(config, ["en"], threads=1)
    assert Codebook.load(codebook).k == 20
