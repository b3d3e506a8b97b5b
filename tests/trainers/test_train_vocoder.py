"""A voice learns, goes on after a kill as if nothing had happened, and is readable at any time."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
import torch

from factory.models.unit_hifigan import CodeHiFiGAN
from trainers.vocoder.data import Corpus
from trainers.vocoder.discriminators import (
    Discriminators,
    SpectralLoss,
    discriminator_loss,
    feature_loss,
    generator_loss,
    mel_basis,
)
from trainers.vocoder.pitch import track
from trainers.vocoder.state import Budget, Settings
from trainers.vocoder.train import main, train

CONFIG: dict[str, Any] = {
    "num_embeddings": 4,
    "embedding_dim": 16,
    "upsample_rates": [5],
    "upsample_kernel_sizes": [11],
    "upsample_initial_channel": 64,
    "resblock_kernel_sizes": [3],
    "resblock_dilation_sizes": [[1, 3]],
    "filter_n_fft": 256,
    "filter_hop": 64,
    "code_hop_size": 320,
    "sampling_rate": 16_000,
    "dur_predictor_params": {"encoder_embed_dim": 16, "var_pred_hidden_dim": 32, "var_pred_dropout": 0.0},
    "pitch_predictor_params": {"dim": 16, "dropout": 0.0},
}
SETTINGS = Settings(Budget(steps=4), Budget(steps=2), batch=2, crop=16)
TONES = (110.0, 150.0, 200.0, 260.0)  # the pitch of each unit


def spoken(units: list[int], durations: list[int]) -> np.ndarray:
    """Return a buzz whose pitch is its unit's, in phase all along."""
    f0 = np.repeat([TONES[unit] for unit in units], np.array(durations) * 320)
    phase = 2 * np.pi * np.cumsum(f0) / 16_000
    return (sum(np.cos(k * phase) / k for k in range(1, 10)) / 6).astype(np.float32)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two Parquet files with 12 utterances of two languages."""
    folder, rng, rows = tmp_path_factory.mktemp("data"), np.random.default_rng(0), []
    for i in range(12):
        units = [int(unit) for unit in rng.permutation(4)]
        durations = [5 + 3 * unit for unit in units]
        sink = io.BytesIO()
        soundfile.write(sink, spoken(units, durations), 16_000, format="FLAC")
        audio = {"bytes": sink.getvalue(), "path": None}
        rows.append(
            {"utt_id": f"u{i}", "lang": "fr" if i < 8 else "en", "units": units, "durations": durations, "audio": audio}
        )
    for part in range(2):
        pq.write_table(pa.Table.from_pylist(rows[6 * part : 6 * part + 6]), folder / f"part-{part}.parquet")
    return folder


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """Return the published voice's weights."""
    return CodeHiFiGAN.from_pretrained(folder).state_dict()


def test_both_phases_run_and_the_voice_is_published(data: Path, tmp_path: Path) -> None:
    told = train(data, tmp_path, config=CONFIG, settings=SETTINGS)
    assert told["steps"] == {"spectral": 4, "adversarial": 2}
    assert told["data"]["utterances"] == 12
    assert json.loads((tmp_path / "training.json").read_text()) == json.loads(json.dumps(told))
    wave = CodeHiFiGAN.from_pretrained(tmp_path).synthesize([[0, 1, 2, 3]])[0]
    assert len(wave) >= 4 * 320 and np.isfinite(wave).all()


def test_a_resumed_run_equals_an_unbroken_one(data: Path, tmp_path: Path) -> None:
    settings = replace(SETTINGS, spectral=Budget(steps=4), adversarial=Budget(steps=4), checkpoint_minutes=0)
    train(data, tmp_path / "unbroken", config=CONFIG, settings=settings)
    with pytest.raises(KeyboardInterrupt):
        _train_and_stop(data, tmp_path / "killed", settings, after=6)
    train(data, tmp_path / "killed", config=CONFIG, settings=settings)
    one, other = weights(tmp_path / "unbroken"), weights(tmp_path / "killed")
    for key in one:
        torch.testing.assert_close(one[key], other[key], rtol=1e-3, atol=1e-4, msg=key)


def _train_and_stop(data: Path, out: Path, settings: Settings, after: int) -> None:
    """Train as `train` does and leave in the middle of step `after`, as a kill would."""
    from trainers.vocoder.train import Trainer

    class Stopped(Trainer):
        def step(self, phase: int, spent: float) -> None:
            if sum(self.state.steps) == after:
                raise KeyboardInterrupt
            super().step(phase, spent)

    out.mkdir()
    Stopped(Corpus.read(data, 320, 16_000, settings.crop), out, CONFIG, settings).run()


def test_a_checkpoint_of_another_network_is_refused(data: Path, tmp_path: Path) -> None:
    train(data, tmp_path, config=CONFIG, settings=replace(SETTINGS, spectral=Budget(steps=1), adversarial=Budget()))
    with pytest.raises(ValueError, match="another config.json"):
        train(data, tmp_path, config=CONFIG | {"upsample_initial_channel": 32}, settings=SETTINGS)


def test_a_voice_learns_pitch_and_durations(data: Path, tmp_path: Path) -> None:
    settings = replace(SETTINGS, spectral=Budget(steps=300), adversarial=Budget(), lr=5e-3, batch=4)
    told = train(data, tmp_path, config=CONFIG, settings=settings)
    first, last = told["losses"][0], told["losses"][-1]
    assert last["spectral"] < 0.8 * first["spectral"]
    voice = CodeHiFiGAN.from_pretrained(tmp_path)
    units = [2, 0, 3, 1]
    assert voice.predict_durations(torch.tensor(units)).tolist() == pytest.approx(
        [5 + 3 * unit for unit in units], abs=2
    )
    wave = voice.synthesize([units], [[12] * 4])[0]
    f0, voiced = track(torch.from_numpy(wave), 48)
    assert f0[6::12].tolist() == pytest.approx([TONES[unit] for unit in units], rel=0.1)
    assert voiced[6::12].all()


def test_the_command_line_trains_one_language(data: Path, tmp_path: Path) -> None:
    main(
        f"--data {data} --out {tmp_path} --lang fr --num-units 4 --batch 1 --crop 8 --seed 3"
        " --precision bf16 --minutes-spectral 0 --steps-spectral 1 --minutes-adversarial 0 --steps-adversarial 1".split()
    )
    told = json.loads((tmp_path / "training.json").read_text())
    assert told["data"]["utterances"] == 8 and told["settings"]["seed"] == 3
    assert told["settings"]["precision"] == "bf16"
    assert told["steps"] == {"spectral": 1, "adversarial": 1}


def test_crops_are_aligned_with_their_audio(data: Path) -> None:
    corpus = Corpus.read(data, 320, 16_000, crop=16, lang="en")
    crops = corpus.crops(8, 16, torch.manual_seed(0))
    assert crops.wave.shape == (8, 16 * 320) and crops.units.shape == (8, 16)
    line = corpus.utterances[0]
    assert len(line.wave) == 320 * len(line.frames) == 320 * int(line.durations.sum())
    inside = [i for i in range(2, len(line.frames) - 2) if len(set(line.frames[i - 2 : i + 3].tolist())) == 1]
    expected = [TONES[line.frames[i]] for i in inside]
    np.testing.assert_allclose(150 * line.log_f0[inside].exp(), expected, rtol=0.03)


def test_lines_are_padded_with_zeros(data: Path) -> None:
    lines = Corpus.read(data, 320, 16_000, crop=16).lines(3, torch.manual_seed(0))
    assert torch.equal(lines.inside.sum(1), lines.durations.sum(1))


def test_data_that_is_too_short_is_a_clear_error(data: Path) -> None:
    with pytest.raises(ValueError, match="as long as a crop of 1000 frames"):
        Corpus.read(data, 320, 16_000, crop=1000)


def test_a_budget_ends_at_the_first_of_its_limits() -> None:
    assert Budget(steps=100, minutes=1).spent(10, 30) == 0.5
    assert Budget(steps=100).spent(25, 1e9) == 0.25
    assert Budget(minutes=2).spent(10**9, 60) == 0.5
    assert Budget().spent(0, 0) == 1


def test_the_pitch_of_a_glide_is_followed() -> None:
    f0 = np.linspace(90, 280, 16_000 * 2)
    wave = sum(np.cos(k * 2 * np.pi * np.cumsum(f0) / 16_000) / k for k in range(1, 12))
    rng = np.random.default_rng(0)
    heard, voiced = track(torch.tensor(0.2 * wave + 0.005 * rng.standard_normal(len(f0)), dtype=torch.float32), 100)
    assert voiced[2:-2].all()
    np.testing.assert_allclose(heard[3:-3], f0[160::320][3:-3], rtol=0.02)


def test_noise_and_silence_are_unvoiced() -> None:
    noise = torch.randn(16_000, generator=torch.manual_seed(0)) * 0.1
    assert track(noise, 50)[1].mean() < 0.1
    f0, voiced = track(torch.zeros(16_000), 50)
    assert not voiced.any() and (f0 == 150).all()


def test_the_spectral_loss_is_zero_for_the_same_wave_and_blind_to_sign() -> None:
    wave = torch.randn(2, 4096, generator=torch.manual_seed(0)) * 0.1
    loss = SpectralLoss()
    assert loss(wave, wave).item() == pytest.approx(0, abs=1e-6)
    assert loss(-wave, wave).item() == pytest.approx(0, abs=1e-6)
    assert loss(0.5 * wave, wave).item() > 0.5


def test_mel_filters_agree_with_torchaudio() -> None:
    functional = pytest.importorskip("torchaudio.functional")
    expected = functional.melscale_fbanks(513, 0.0, 8000.0, 80, 16_000).T
    np.testing.assert_allclose(mel_basis(80, 1024), expected, atol=1e-5)


def test_discriminators_learn_to_tell_noise_from_tones() -> None:
    torch.manual_seed(0)
    judges = Discriminators(periods=(2, 3), width=4)
    optimizer = torch.optim.AdamW(judges.parameters(), 3e-3)
    time = torch.arange(4000) / 16_000
    real = torch.sin(2 * torch.pi * torch.tensor([[200.0], [330.0]]) * time)
    fake = torch.randn(2, 4000)
    first = discriminator_loss(judges(real), judges(fake)).item()
    for _ in range(30):
        optimizer.zero_grad()
        discriminator_loss(judges(real), judges(fake)).backward()
        optimizer.step()
    true, made = judges(real), judges(fake)
    assert discriminator_loss(true, made).item() < 0.3 * first
    assert generator_loss(made) > generator_loss(true)
    assert feature_loss(true, made) > 0 and feature_loss(true, true) == 0
