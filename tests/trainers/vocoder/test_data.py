"""Crops and utterances are aligned with their audio, and unusable data is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from tests.trainers.vocoder.toys import TONES
from trainers.errors import TrainingError
from trainers.vocoder.data import Corpus, prepare


def seeded(seed: int) -> torch.Generator:
    """Return a generator of its own: the global one must not be used."""
    return torch.Generator().manual_seed(seed)


def test_frames_are_aligned_with_their_audio(data: Path) -> None:
    corpus = Corpus.load(data, 320, crop=16, lang="en")
    assert corpus.summary() == {"utterances": 4, "minutes": round(4 * 38 * 320 / 16_000 / 60, 2)}
    utterance = corpus.utterances[0]
    assert len(utterance.wave) == 320 * len(utterance.frames) == 320 * int(utterance.durations.sum())
    frames = utterance.frames
    inside = [t for t in range(2, len(frames) - 2) if len(set(frames[t - 2 : t + 3].tolist())) == 1]
    expected = [TONES[frames[t]] for t in inside]
    np.testing.assert_allclose(150 * utterance.log_f0[inside].exp(), expected, rtol=0.03)


def test_crops_are_pieces_of_utterances(data: Path) -> None:
    corpus = Corpus.load(data, 320, crop=16)
    crops = corpus.draw_crops(8, 16, seeded(0))
    assert crops.wave.shape == (8, 16 * 320) and crops.units.shape == crops.log_f0.shape == crops.voiced.shape == (
        8,
        16,
    )
    for crop in range(8):
        assert any(is_piece(utterance, crops, crop) for utterance in corpus.utterances)
    again = corpus.draw_crops(8, 16, seeded(0))
    assert torch.equal(crops.wave, again.wave) and torch.equal(crops.to("cpu").units, crops.units)
    assert not torch.equal(crops.wave, corpus.draw_crops(8, 16, seeded(1)).wave)


def is_piece(utterance, crops, crop: int) -> bool:  # type: ignore[no-untyped-def]
    """Return True if the units, pitch and wave of a crop are those of one place of the utterance."""
    starts = range(len(utterance.frames) - 16 + 1)
    return any(
        torch.equal(utterance.frames[start : start + 16], crops.units[crop])
        and torch.equal(utterance.log_f0[start : start + 16], crops.log_f0[crop])
        and torch.equal(utterance.voiced[start : start + 16], crops.voiced[crop])
        and torch.equal(utterance.wave[320 * start : 320 * (start + 16)], crops.wave[crop])
        for start in starts
    )


def test_crops_come_from_everywhere(data: Path) -> None:
    """The first and the last frame of an utterance are drawn, and a longer utterance more often."""
    corpus = Corpus.load(data, 320, crop=38, lang="en")
    corpus.weights = torch.tensor([1.0, 0.0, 0.0, 0.0])
    first = corpus.utterances[0]
    assert torch.equal(corpus.draw_crops(1, 38, seeded(0)).units[0], first.frames)
    starts = {tuple(corpus.draw_crops(1, 36, seeded(seed)).units[0].tolist()) for seed in range(40)}
    assert starts == {tuple(first.frames[start : start + 36].tolist()) for start in range(3)}


def test_utterances_are_padded_with_zeros(data: Path) -> None:
    row = pq.read_table(data).slice(0, 1).to_pylist()[0]
    short = prepare(row | {"units": row["units"][:2], "durations": row["durations"][:2]}, 320)
    corpus = Corpus([short, prepare(row, 320)], 320, crop=4)
    batch = corpus.draw_utterances(20, seeded(0))
    assert torch.equal(batch.inside.sum(1), batch.durations.sum(1)) and len(set(batch.inside.sum(1).tolist())) == 2
    assert (batch.frames[~batch.inside] == 0).all() and (batch.durations.shape == batch.units.shape == (20, 4))
    assert batch.frames.shape == batch.log_f0.shape == batch.voiced.shape == batch.inside.shape


def test_audio_is_cut_or_padded_to_its_units(data: Path) -> None:
    row = pq.read_table(data).slice(0, 1).to_pylist()[0]
    whole = prepare(row, 320)
    longer = prepare(row | {"durations": [*row["durations"][:-1], row["durations"][-1] + 9]}, 320)
    shorter = prepare(row | {"durations": [1, 1, 1, 1]}, 320)
    assert len(longer.wave) == len(whole.wave) + 9 * 320 and (longer.wave[-9 * 320 :] == 0).all()
    assert torch.equal(shorter.wave, whole.wave[: 4 * 320])


def test_rows_without_units_are_skipped(data: Path, tmp_path: Path) -> None:
    rows = pq.read_table(data).to_pylist()
    pq.write_table(pa.Table.from_pylist([rows[0] | {"units": None}, rows[1]]), tmp_path / "rows.parquet")
    assert Corpus.load(tmp_path / "rows.parquet", 320, crop=16).summary()["utterances"] == 1


def test_data_that_is_too_short_is_refused(data: Path) -> None:
    assert len(Corpus.load(data, 320, crop=38).long) == 12
    sentence = "none of 12 utterances is as long as a crop of 39 frames: give more data, or a shorter --crop"
    with pytest.raises(TrainingError, match=sentence):
        Corpus.load(data, 320, crop=39)


def test_data_that_is_not_there_or_not_parquet_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="has no Parquet file: give a file, or a folder"):
        Corpus.load(tmp_path, 320, crop=16)
    (tmp_path / "data.parquet").write_bytes(b"no Parquet")
    with pytest.raises(TrainingError, match="data.parquet cannot be read as Parquet with the columns utt_id, lang"):
        Corpus.load(tmp_path, 320, crop=16)
    pq.write_table(pa.table({"utt_id": ["a"]}), tmp_path / "data.parquet")
    with pytest.raises(TrainingError, match="data.parquet cannot be read as Parquet with the columns utt_id, lang"):
        Corpus.load(tmp_path, 320, crop=16)
