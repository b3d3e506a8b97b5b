"""Trains a unit vocoder for one language: spectral losses first, then against discriminators; runs on one CPU core or a GPU.

    python -m trainers.vocoder.train --data units.parquet --out vocoder-fr --num-units 200 --minutes-spectral 15 --minutes-adversarial 20

The generator learns from crops; the duration and the pitch predictor learn beside it from whole utterances. `out/checkpoint.pt` is
replaced every few minutes and a killed run goes on from it; `out/` itself always is a voice that `CodeHiFiGAN.from_pretrained` reads
(the moving average of the weights), with what made it in `training.json`.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from factory.arguments import print_any_text
from factory.models.hifigan_layers import harmonic_source
from factory.recipe.training import Precision, resolve_precision
from trainers.vocoder.data import Corpus, Crops, Lines
from trainers.vocoder.discriminators import SpectralLoss, discriminator_loss, feature_loss, generator_loss
from trainers.vocoder.state import PHASES, Budget, Settings, State, small_config

log = logging.getLogger(__name__)
EMA = 0.995
SPECTRAL_WEIGHT, FEATURE_WEIGHT = 3.0, 2.0  # of the losses beside the discriminators' verdict


class Trainer:
    """Runs the two phases over a corpus that fits in memory."""

    def __init__(self, corpus: Corpus, out: Path, config: dict[str, Any], settings: Settings) -> None:
        self.settings = resolve_precision(settings, on_gpu=settings.device.startswith("cuda"))
        self.out, self.corpus = out, corpus
        self.state = State.fresh(config, settings)
        if (out / "checkpoint.pt").is_file():
            self.state.load(out / "checkpoint.pt")
            log.info("resuming at steps %s", self.state.steps)
        self.spectral_loss = SpectralLoss().to(settings.device)
        self.recent: dict[str, list[float]] = {}

    def run(self) -> dict[str, Any]:
        """Train what is left of both phases; return the contents of training.json."""
        budgets = (self.settings.spectral, self.settings.adversarial)
        for phase in range(self.state.phase, len(PHASES)):
            if phase != self.state.phase:
                self.state.phase = phase
                self.state.voice.load_state_dict(self.state.average.state_dict())
            self._run_phase(phase, budgets[phase])
        return self.publish()

    def _run_phase(self, phase: int, budget: Budget) -> None:
        state, last, saved = self.state, time.monotonic(), time.monotonic()
        while (spent := budget.spent(state.steps[phase], state.seconds[phase])) < 1:
            self.step(phase, spent)
            state.steps[phase] += 1
            now = time.monotonic()
            state.seconds[phase], last = state.seconds[phase] + now - last, now
            if state.steps[phase] % 50 == 0:
                self._log(phase)
            if now - saved > 60 * self.settings.checkpoint_minutes:
                self.publish()
                saved = now

    def step(self, phase: int, spent: float) -> None:
        """One step of each optimizer; `spent` is the part of the phase that is over."""
        state, settings = self.state, self.settings
        state.voice.train()
        generator = torch.manual_seed(
            settings.seed * 1_000_003 + sum(state.steps)
        )  # a resumed run draws what an unbroken one does
        self._set_rates(phase, spent)
        crops = self.corpus.crops(settings.batch, settings.crop, generator).to(settings.device)
        fake = self._speak(crops, generator)
        losses = {"spectral": self.spectral_loss(fake, crops.wave)}
        if phase == 1:
            losses = {"spectral": SPECTRAL_WEIGHT * losses["spectral"]} | self._judged(crops.wave, fake, generator)
        losses |= self._predictor_losses(self.corpus.lines(max(settings.batch // 2, 1), generator).to(settings.device))
        _descend(sum(losses.values()), state.voice, state.optimizer)
        for name, loss in losses.items():
            self._note(name, loss)
        self._average()

    def _set_rates(self, phase: int, spent: float) -> None:
        """Learning rates rise over 50 steps and fall as a cosine over the phase."""
        state, settings = self.state, self.settings
        part = (0.5 + 0.5 * math.cos(math.pi * spent)) * min(1.0, (state.steps[phase] + 1) / 50)
        peak = (settings.lr, settings.adversarial_lr)[phase]
        for optimizer, rate in ((state.optimizer, peak), (state.judges_optimizer, settings.judges_lr)):
            for group in optimizer.param_groups:
                group["lr"] = part * rate + 1e-5

    def _speak(self, crops: Crops, generator: torch.Generator) -> Tensor:
        """Speak the crops at their true pitch."""
        source, config = None, self.state.voice.config
        if self.state.voice.pitch_predictor is not None:
            seed = int(torch.randint(2**31, (), generator=generator))
            source = harmonic_source(crops.log_f0, crops.voiced, config.code_hop_size, config.sampling_rate, seed)
        with self._autocast():
            return self.state.voice(crops.units, source).float()

    def _judged(self, real: Tensor, fake: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """One step of the discriminators; return the generator's losses before them. They judge a random half of every crop."""
        judges, half = self.state.judges, real.shape[1] // 2
        start = int(torch.randint(real.shape[1] - half + 1, (), generator=generator))
        real, fake = real[:, start : start + half], fake[:, start : start + half]
        with self._autocast():
            true = judges(real)
            loss = discriminator_loss(true, judges(fake.detach()))
        _descend(loss, judges, self.state.judges_optimizer)
        self._note("discriminator", loss)
        judges.requires_grad_(False)
        with self._autocast():
            made = judges(fake)
        judges.requires_grad_(True)
        return {"features": FEATURE_WEIGHT * feature_loss(true, made), "verdict": generator_loss(made)}

    def _predictor_losses(self, lines: Lines) -> dict[str, Tensor]:
        """Whole utterances: squared error of log(d + 1), of log pitch where voiced, and the voicing's cross entropy."""
        voice = self.state.voice
        spoken = lines.durations > 0
        log_durations = voice.dur_predictor(
            voice.dict(lines.units).detach() * spoken[:, :, None], spoken[:, :, None].float()
        )
        losses = {"duration": F.mse_loss(log_durations[spoken], torch.log(lines.durations[spoken] + 1.0))}
        if voice.pitch_predictor is not None:
            log_f0, voicing = voice.pitch_predictor(lines.frames, lines.inside[:, :, None].float()).unbind(2)
            voiced = lines.voiced & lines.inside
            losses["pitch"] = 5 * F.mse_loss(log_f0[voiced], lines.log_f0[voiced])
            losses["voicing"] = F.binary_cross_entropy_with_logits(
                voicing[lines.inside], lines.voiced[lines.inside].float()
            )
        return losses

    def _average(self) -> None:
        """Follow the weights: an exponential moving average, shorter in the first steps."""
        keep = min(EMA, (1 + sum(self.state.steps)) / (10 + sum(self.state.steps)))
        with torch.no_grad():
            for old, new in zip(self.state.average.parameters(), self.state.voice.parameters(), strict=True):
                old.lerp_(new, 1 - keep)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(
            self.settings.device.split(":")[0], torch.bfloat16, enabled=self.settings.precision == "bf16"
        )

    def _note(self, name: str, loss: Tensor) -> None:
        self.recent.setdefault(name, []).append(float(loss.detach()))

    def _log(self, phase: int) -> None:
        """Keep the mean losses of the last 50 steps."""
        means = {name: round(sum(losses) / len(losses), 4) for name, losses in self.recent.items()}
        seconds = round(self.state.seconds[phase], 1)
        self.state.history.append({"phase": phase, "step": self.state.steps[phase], "seconds": seconds, **means})
        log.info("%s step %d, %.0f s: %s", PHASES[phase], self.state.steps[phase], seconds, means)
        self.recent.clear()

    def publish(self) -> dict[str, Any]:
        """Write checkpoint, voice and training.json; return the latter's contents."""
        self.state.save(self.out / "checkpoint.pt")
        self.state.average.save_pretrained(self.out)
        told = {
            "settings": asdict(self.settings),
            "data": self.corpus.summary(),
            "steps": dict(zip(PHASES, self.state.steps, strict=True)),
            "seconds": dict(zip(PHASES, self.state.seconds, strict=True)),
            "losses": self.state.history,
        }
        (self.out / "training.json").write_text(json.dumps(told, indent=1) + "\n")
        return told


def _descend(loss: Tensor, module: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(module.parameters(), 5.0)
    optimizer.step()


def train(
    data: str | Path,
    out: str | Path,
    *,
    config: dict[str, Any],
    settings: Settings | None = None,
    lang: str | None = None,
) -> dict[str, Any]:
    """Train a voice on the rows of `data` (Parquet file or folder: utt_id, lang, units, durations, audio; only `lang`'s if given).

    Returns the contents of `out/training.json`. Resumes from `out/checkpoint.pt`; raises ValueError for one of another network, and
    for data without a usable row.
    """
    settings = settings or Settings()
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    corpus = Corpus.read(Path(data), config["code_hop_size"], config["sampling_rate"], settings.crop, lang)
    return Trainer(corpus, folder, config, settings).run()


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    print_any_text()
    parser = argparse.ArgumentParser(
        prog="python -m trainers.vocoder.train", description="Train a unit vocoder for one language."
    )
    parser.add_argument("--data", required=True, help="Parquet file or folder: utt_id, lang, units, durations, audio")
    parser.add_argument("--out", required=True, help="the voice's folder; a killed run goes on where it stopped")
    parser.add_argument("--lang", help="use only the rows of this language")
    parser.add_argument("--num-units", type=int, default=200, help="size of the codebook")
    for phase, minutes in zip(PHASES, (15.0, 20.0), strict=True):
        parser.add_argument(f"--minutes-{phase}", type=float, default=minutes, help="limit in minutes; 0: none")
        parser.add_argument(f"--steps-{phase}", type=int, default=0, help="limit in steps; 0: none")
    for name, default in (("batch", Settings.batch), ("crop", Settings.crop), ("seed", Settings.seed), ("threads", 1)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--precision", choices=get_args(Precision), default="auto", help="auto: bf16 where the machine has units for it"
    )
    args = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(args.threads)
    budgets = (
        Budget(args.steps_spectral, args.minutes_spectral),
        Budget(args.steps_adversarial, args.minutes_adversarial),
    )
    settings = Settings(*budgets, args.batch, args.crop, seed=args.seed, device=args.device, precision=args.precision)
    train(args.data, args.out, config=small_config(args.num_units), settings=settings, lang=args.lang)


if __name__ == "__main__":
    main()
