"""A voice learns pitch and durations, and resumes as if it had never been killed."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from factory.models.unit_hifigan import CodeHiFiGAN
from tests.trainers.vocoder.toys import CONFIG, NETWORK, TONES
from trainers.vocoder.data import Corpus
from trainers.vocoder.pitch import track_pitch
from trainers.vocoder.state import Budget, TrainingConfig
from trainers.vocoder.trainer import MIN_RATE, WARMUP_STEPS, Trainer


@pytest.fixture(scope="module")
def corpus(data: Path) -> Corpus:
    return Corpus.load(data, 320, CONFIG.crop)


def read_weights(folder: Path) -> dict[str, torch.Tensor]:
    """Return the weights of a published voice."""
    weights: dict[str, torch.Tensor] = CodeHiFiGAN.from_pretrained(folder).state_dict()
    return weights


def test_a_resumed_training_equals_an_unbroken_one(corpus: Corpus, tmp_path: Path) -> None:
    class Stopped(Trainer):
        def step(self, phase: int, used: float) -> None:
            if sum(self.state.steps) == 6:
                raise KeyboardInterrupt
            super().step(phase, used)

    config = replace(CONFIG, adversarial=Budget(steps=4), checkpoint_minutes=0)
    for name in ("unbroken", "killed"):
        (tmp_path / name).mkdir()
    Trainer(corpus, tmp_path / "unbroken", NETWORK, config).run()
    with pytest.raises(KeyboardInterrupt):
        Stopped(corpus, tmp_path / "killed", NETWORK, config).run()
    resumed = Trainer(corpus, tmp_path / "killed", NETWORK, config)
    assert resumed.state.steps == [4, 2]
    resumed.run()
    one, other = read_weights(tmp_path / "unbroken"), read_weights(tmp_path / "killed")
    for key in one:
        torch.testing.assert_close(one[key], other[key], rtol=1e-3, atol=1e-4, msg=key)


def test_a_voice_learns_pitch_and_durations(corpus: Corpus, tmp_path: Path) -> None:
    config = replace(CONFIG, spectral=Budget(steps=300), adversarial=Budget(), lr=5e-3, batch=4)
    summary = Trainer(corpus, tmp_path, NETWORK, config).run()
    first, last = summary["losses"][0], summary["losses"][-1]
    assert [line["step"] for line in summary["losses"]] == [50, 100, 150, 200, 250, 300]
    assert last["spectral"] < 0.8 * first["spectral"]
    voice = CodeHiFiGAN.from_pretrained(tmp_path)
    units = [2, 0, 3, 1]
    durations = voice.predict_durations(torch.tensor(units)).tolist()
    assert durations == pytest.approx([5 + 3 * unit for unit in units], abs=2)
    wave = voice.synthesize([units], [[12] * 4])[0]
    f0, voiced = track_pitch(torch.from_numpy(wave), 48)
    assert f0[6::12].tolist() == pytest.approx([TONES[unit] for unit in units], rel=0.1)
    assert voiced[6::12].all()


def test_the_adversarial_phase_starts_from_the_average_and_has_all_losses(corpus: Corpus, tmp_path: Path) -> None:
    config = replace(CONFIG, spectral=Budget(steps=20), adversarial=Budget(steps=50), batch=1, crop=8)

    class Watched(Trainer):
        def step(self, phase: int, used: float) -> None:
            if phase == 1 and self.state.steps[1] == 0:
                weights, average = self.state.generator.state_dict(), self.state.average.state_dict()
                assert all(torch.equal(weight, average[name]) for name, weight in weights.items())
                self.before = {key: value.clone() for key, value in self.state.discriminators.state_dict().items()}
            super().step(phase, used)

    trainer = Watched(corpus, tmp_path, NETWORK, config)
    summary = trainer.run()
    assert summary["steps"] == {"spectral": 20, "adversarial": 50}
    [line] = summary["losses"]
    names = {"spectral", "features", "adversarial", "discriminator", "duration", "pitch", "voicing"}
    assert set(line) == {"phase", "step", "seconds"} | names and line["phase"] == 1
    assert any(
        not torch.equal(trainer.before[k], value) for k, value in trainer.state.discriminators.state_dict().items()
    )
    assert all(weight.requires_grad for weight in trainer.state.discriminators.parameters())


def test_rates_rise_over_50_steps_and_fall_as_a_cosine(corpus: Corpus, tmp_path: Path) -> None:
    config = TrainingConfig(batch=1, crop=8, lr=1.0, adversarial_lr=0.5, discriminator_lr=0.25)
    trainer = Trainer(corpus, tmp_path, NETWORK, config)
    for phase, steps, used in ((0, 0, 0.0), (0, 80, 0.5), (1, 24, 0.25)):
        trainer.state.steps[phase] = steps
        trainer.step(phase, used)
        share = (0.5 + 0.5 * math.cos(math.pi * used)) * min(1.0, (steps + 1) / WARMUP_STEPS)
        rates = [
            optimizer.param_groups[0]["lr"]
            for optimizer in (trainer.state.optimizer, trainer.state.discriminator_optimizer)
        ]
        assert rates == pytest.approx([share * (1.0, 0.5)[phase] + MIN_RATE, share * 0.25 + MIN_RATE])


def test_the_average_is_short_in_the_first_steps(corpus: Corpus, tmp_path: Path) -> None:
    """In step 0 the average keeps a tenth of the old weights, in a late step 99.5 %."""
    for steps, decay in ((0, 0.1), (10**6, 0.995)):
        trainer = Trainer(corpus, tmp_path, NETWORK, replace(CONFIG, batch=1, crop=8))
        trainer.state.steps[0] = steps
        before = [weight.clone() for weight in trainer.state.average.parameters()]
        trainer.step(0, 0.0)
        after, new = trainer.state.average.parameters(), trainer.state.generator.parameters()
        for old, average, weight in zip(before, after, new):
            torch.testing.assert_close(average, decay * old + (1 - decay) * weight)
