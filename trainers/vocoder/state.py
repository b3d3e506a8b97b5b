"""The settings of a vocoder's training, and the content of its checkpoint."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from factory.models.unit_hifigan import CodeHiFiGAN
from factory.recipe.training import Precision
from schemas.audio import SAMPLE_RATE
from trainers.errors import TrainingError
from trainers.vocoder.discriminators import Discriminators

PHASES = ("spectral", "adversarial")
BETAS = (0.8, 0.99)
"""Of AdamW, as in HiFi-GAN."""
NetworkConfig = Mapping[str, Any]
"""The content of a vocoder's config.json."""


def small_config(num_units: int) -> NetworkConfig:
    """Return the config.json of a voice that one CPU core trains in half an hour; real-time factor about 0.02."""
    return {
        "num_embeddings": num_units,
        "embedding_dim": 128,
        "upsample_rates": [1, 5],
        "upsample_kernel_sizes": [3, 11],
        "upsample_initial_channel": 512,
        "resblock_kernel_sizes": [[3], [3, 7]],
        "resblock_dilation_sizes": [[1, 3, 5]] * 2,
        "filter_n_fft": 256,
        "filter_hop": 64,
        "dur_predictor_params": {
            "encoder_embed_dim": 128,
            "var_pred_hidden_dim": 128,
            "var_pred_kernel_size": 3,
            "var_pred_dropout": 0.5,
        },
        "pitch_predictor_params": {"dim": 128},
        "carry_durations": True,
        "code_hop_size": 320,
        "sampling_rate": SAMPLE_RATE,
    }


@dataclass(frozen=True)
class Budget:
    """The length of a phase: it ends at the first limit. 0 is no limit; a phase without limits is left out."""

    steps: int = 0
    minutes: float = 0.0

    def share_used(self, steps: int, seconds: float) -> float:
        """Return the share (0..1) of the budget that these steps and seconds have used."""
        parts = [steps / self.steps if self.steps else 0.0, seconds / 60 / self.minutes if self.minutes else 0.0]
        return min(max(parts), 1.0) if self.steps or self.minutes else 1.0


@dataclass(frozen=True)
class TrainingConfig:
    """What shapes a vocoder besides its data and its network."""

    spectral: Budget = field(default_factory=lambda: Budget(minutes=15))
    """The phase with spectral losses alone."""
    adversarial: Budget = field(default_factory=lambda: Budget(minutes=20))
    """The phase with discriminators."""
    batch: int = 8
    """Crops per step."""
    crop: int = 48
    """Frames of a crop."""
    lr: float = 1e-3
    """The highest learning rate of the generator in the spectral phase."""
    adversarial_lr: float = 4e-4
    """The same in the adversarial phase."""
    discriminator_lr: float = 1e-3
    """The highest learning rate of the discriminators."""
    seed: int = 1
    device: str = "cpu"
    precision: Precision = "auto"
    """Of the products in the networks; auto is bf16 where the machine has units for it, else fp32."""
    checkpoint_minutes: float = 2.0


@dataclass
class State:
    """The content of a checkpoint."""

    generator: CodeHiFiGAN
    average: CodeHiFiGAN
    """The moving average of the generator, which is published."""
    discriminators: Discriminators
    optimizer: torch.optim.Optimizer
    discriminator_optimizer: torch.optim.Optimizer
    phase: int = 0
    steps: list[int] = field(default_factory=lambda: [0, 0])
    """Per phase."""
    seconds: list[float] = field(default_factory=lambda: [0.0, 0.0])
    """Per phase."""
    history: list[dict[str, float]] = field(default_factory=list)

    _MODULES = ("generator", "average", "discriminators", "optimizer", "discriminator_optimizer")
    _NUMBERS = ("phase", "steps", "seconds", "history")

    @classmethod
    def create(cls, network: NetworkConfig, config: TrainingConfig) -> State:
        """Return the state before the first step, with random weights of the seed."""
        torch.manual_seed(config.seed)
        generator, discriminators = CodeHiFiGAN(network).to(config.device), Discriminators().to(config.device)
        first, second = (torch.optim.AdamW(part.parameters(), config.lr, BETAS) for part in (generator, discriminators))
        return cls(generator, copy.deepcopy(generator).eval(), discriminators, first, second)

    def save(self, path: Path) -> None:
        """Replace a checkpoint; a kill in the middle leaves the previous one."""
        part = path.with_suffix(".part")
        modules = {name: getattr(self, name).state_dict() for name in self._MODULES}
        numbers = {name: getattr(self, name) for name in self._NUMBERS}
        torch.save(modules | numbers | {"config": self.generator.raw_config}, part)
        os.replace(part, path)

    def load(self, path: Path) -> None:
        """Load a checkpoint; raises TrainingError for the checkpoint of another network or version."""
        state = torch.load(path, map_location="cpu", weights_only=True)
        complete = {*self._MODULES, *self._NUMBERS} <= set(state)
        if not complete or state["config"] != self.generator.raw_config:
            raise TrainingError(
                f"{path} is a checkpoint of another config.json or another version: give another --out, or delete it"
            )
        for name in self._MODULES:
            getattr(self, name).load_state_dict(state[name])
        for name in self._NUMBERS:
            setattr(self, name, state[name])
