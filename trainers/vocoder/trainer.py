"""The two phases of a vocoder's training: spectral losses first, then against discriminators.

The generator learns from crops. The predictors of durations and pitch learn from whole utterances at the same time.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TypedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from factory.models.hifigan_layers import harmonic_source
from factory.recipe.training import resolve_precision
from trainers.vocoder.data import Corpus, Crops, WholeUtterances
from trainers.vocoder.discriminators import SpectralLoss, discriminator_loss, feature_loss, generator_loss
from trainers.vocoder.state import PHASES, Budget, NetworkConfig, State, TrainingConfig

log = logging.getLogger(__name__)

DECAY = 0.995
"""Of the moving average of the weights."""
SPECTRAL_WEIGHT, FEATURE_WEIGHT, PITCH_WEIGHT = 3.0, 2.0, 5.0
"""Of the losses; the other losses have weight 1."""
WARMUP_STEPS = 50
MIN_RATE = 1e-5
LOG_EVERY = 50
"""Steps between two lines of the history."""
MAX_GRADIENT = 5.0
"""The norm to which gradients are clipped."""


class Summary(TypedDict):
    """The content of training.json."""

    settings: dict[str, object]
    data: dict[str, float]
    """Utterances and minutes."""
    steps: dict[str, int]
    """By phase."""
    seconds: dict[str, float]
    """By phase."""
    losses: list[dict[str, float]]
    """The mean losses of every LOG_EVERY steps."""


class Trainer:
    """The training of one voice; its folder always holds a checkpoint and a complete voice."""

    def __init__(self, corpus: Corpus, out: Path, network: NetworkConfig, config: TrainingConfig) -> None:
        """Load the checkpoint in `out`, or begin.

        Args:
            corpus: the data.
            out: the folder of the voice.
            network: the config.json of the vocoder.
            config: the settings.

        Raises:
            TrainingError: the checkpoint belongs to another network.
        """
        self.config = resolve_precision(config, on_gpu=config.device.startswith("cuda"))
        self.out, self.corpus = out, corpus
        self.state = State.create(network, config)
        if (out / "checkpoint.pt").is_file():
            self.state.load(out / "checkpoint.pt")
            log.info("resuming at steps %s", self.state.steps)
        self.spectral_loss = SpectralLoss().to(config.device)
        self.recent: dict[str, list[float]] = {}

    def run(self) -> Summary:
        """Train until both phases are over; return the content of training.json."""
        budgets = (self.config.spectral, self.config.adversarial)
        for phase in range(self.state.phase, len(PHASES)):
            if phase != self.state.phase:
                self.state.phase = phase
                self.state.generator.load_state_dict(self.state.average.state_dict())
            self._run_phase(phase, budgets[phase])
        return self.publish()

    def step(self, phase: int, used: float) -> None:
        """Take one step of each optimizer; `used` is the share (0..1) of the phase that is over."""
        state, config = self.state, self.config
        state.generator.train()
        # seeded by the step, so that a resumed training draws what an unbroken one draws
        random = torch.manual_seed(config.seed * 1_000_003 + sum(state.steps))
        self._set_rates(phase, used)
        crops = self.corpus.draw_crops(config.batch, config.crop, random).to(config.device)
        generated = self._synthesize(crops, random)
        spectral = self.spectral_loss(generated, crops.wave)
        losses: dict[str, Tensor] = {"spectral": spectral}
        if phase == 1:
            losses = {"spectral": SPECTRAL_WEIGHT * spectral} | self._train_discriminators(
                crops.wave, generated, random
            )
        utterances = self.corpus.draw_utterances(max(config.batch // 2, 1), random).to(config.device)
        losses |= self._predictor_losses(utterances)
        _descend(sum(losses.values(), torch.zeros(())), state.generator, state.optimizer)
        self._note(losses)
        self._update_average()

    def publish(self) -> Summary:
        """Write the checkpoint, the voice and training.json; return the content of the latter."""
        self.state.save(self.out / "checkpoint.pt")
        self.state.average.save_pretrained(self.out)
        summary: Summary = {
            "settings": asdict(self.config),
            "data": self.corpus.summary(),
            "steps": dict(zip(PHASES, self.state.steps, strict=True)),
            "seconds": dict(zip(PHASES, self.state.seconds, strict=True)),
            "losses": self.state.history,
        }
        (self.out / "training.json").write_text(json.dumps(summary, indent=1) + "\n")
        return summary

    def _run_phase(self, phase: int, budget: Budget) -> None:
        state, last, saved = self.state, time.monotonic(), time.monotonic()
        while (used := budget.share_used(state.steps[phase], state.seconds[phase])) < 1:
            self.step(phase, used)
            state.steps[phase] += 1
            now = time.monotonic()
            state.seconds[phase], last = state.seconds[phase] + now - last, now
            if state.steps[phase] % LOG_EVERY == 0:
                self._log(phase)
            if now - saved > 60 * self.config.checkpoint_minutes:
                self.publish()
                saved = now

    def _set_rates(self, phase: int, used: float) -> None:
        """Set the learning rates: they rise over WARMUP_STEPS and fall as a cosine over the phase."""
        state, config = self.state, self.config
        share = (0.5 + 0.5 * math.cos(math.pi * used)) * min(1.0, (state.steps[phase] + 1) / WARMUP_STEPS)
        highest = (config.lr, config.adversarial_lr)[phase]
        rates = ((state.optimizer, highest), (state.discriminator_optimizer, config.discriminator_lr))
        for optimizer, rate in rates:
            for group in optimizer.param_groups:
                group["lr"] = share * rate + MIN_RATE

    def _synthesize(self, crops: Crops, random: torch.Generator) -> Tensor:
        """Return the waves (B, T * hop) of crops at their true pitch."""
        source, config = None, self.state.generator.config
        if self.state.generator.pitch_predictor is not None:
            seed = int(torch.randint(2**31, (), generator=random))
            source = harmonic_source(crops.log_f0, crops.voiced, config.code_hop_size, config.sampling_rate, seed)
        with self._autocast():
            wave: Tensor = self.state.generator(crops.units, source).float()
        return wave

    def _train_discriminators(self, real: Tensor, generated: Tensor, random: torch.Generator) -> dict[str, Tensor]:
        """Take a step of the discriminators on a random half of each wave; return the losses of the generator there."""
        discriminators, half = self.state.discriminators, real.shape[1] // 2
        start = int(torch.randint(real.shape[1] - half + 1, (), generator=random))
        real, generated = real[:, start : start + half], generated[:, start : start + half]
        with self._autocast():
            of_real = discriminators(real)
            loss = discriminator_loss(of_real, discriminators(generated.detach()))
        _descend(loss, discriminators, self.state.discriminator_optimizer)
        self._note({"discriminator": loss})
        discriminators.requires_grad_(False)
        with self._autocast():
            of_generated = discriminators(generated)
        discriminators.requires_grad_(True)
        features = FEATURE_WEIGHT * feature_loss(of_real, of_generated)
        return {"features": features, "adversarial": generator_loss(of_generated)}

    def _predictor_losses(self, utterances: WholeUtterances) -> dict[str, Tensor]:
        """Return the losses of the predictors.

        Durations: squared error of log(d + 1). Pitch: squared error of log f0 in voiced frames. Voicing: cross entropy.
        """
        generator, losses = self.state.generator, {}
        if generator.dur_predictor is not None:
            real = utterances.durations > 0
            embedded = generator.dict(utterances.units).detach() * real[:, :, None]
            log_durations = generator.dur_predictor(embedded, real[:, :, None].float())
            losses["duration"] = F.mse_loss(log_durations[real], torch.log(utterances.durations[real] + 1.0))
        if generator.pitch_predictor is not None:
            inside = utterances.inside
            log_f0, voicing = generator.pitch_predictor(utterances.frames, inside[:, :, None].float()).unbind(2)
            voiced = utterances.voiced & inside
            losses["pitch"] = PITCH_WEIGHT * F.mse_loss(log_f0[voiced], utterances.log_f0[voiced])
            targets = utterances.voiced[inside].float()
            losses["voicing"] = F.binary_cross_entropy_with_logits(voicing[inside], targets)
        return losses

    def _update_average(self) -> None:
        """Update the moving average of the weights; it is shorter in the first steps."""
        steps = sum(self.state.steps)
        decay = min(DECAY, (1 + steps) / (10 + steps))
        with torch.no_grad():
            for old, new in zip(self.state.average.parameters(), self.state.generator.parameters(), strict=True):
                old.lerp_(new, 1 - decay)

    def _autocast(self) -> torch.autocast:
        device = self.config.device.split(":")[0]
        return torch.autocast(device, torch.bfloat16, enabled=self.config.precision == "bf16")

    def _note(self, losses: Mapping[str, Tensor]) -> None:
        for name, loss in losses.items():
            self.recent.setdefault(name, []).append(float(loss.detach()))

    def _log(self, phase: int) -> None:
        """Add the mean losses since the last line to the history."""
        means = {name: round(sum(losses) / len(losses), 4) for name, losses in self.recent.items()}
        seconds = round(self.state.seconds[phase], 1)
        self.state.history.append({"phase": phase, "step": self.state.steps[phase], "seconds": seconds, **means})
        log.info("%s step %d, %.0f s: %s", PHASES[phase], self.state.steps[phase], seconds, means)
        self.recent.clear()


def _descend(loss: Tensor, module: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(module.parameters(), MAX_GRADIENT)
    optimizer.step()
