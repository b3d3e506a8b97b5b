"""What a vocoder's training is told, and what its checkpoint holds."""

from __future__ import annotations

import copy
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from factory.models.unit_hifigan import CodeHiFiGAN
from factory.recipe.training import Precision
from trainers.vocoder.discriminators import Discriminators

PHASES = ("spectral", "adversarial")
BETAS = (0.8, 0.99)


def small_config(num_units: int) -> dict[str, Any]:
    """Return the config.json of the voice that a CPU core trains in half an hour: RTF about 0.02 on one thread."""
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
        "sampling_rate": 16_000,
    }


@dataclass(frozen=True)
class Budget:
    """How long a phase lasts: `steps`, and at most `minutes` (0: that limit is not set)."""

    steps: int = 0
    minutes: float = 0.0

    def spent(self, steps: int, seconds: float) -> float:
        """Return the part of the budget that is used up, 0..1; a budget without limits is used up at once."""
        parts = [steps / self.steps if self.steps else 0.0, seconds / 60 / self.minutes if self.minutes else 0.0]
        return min(max(parts), 1.0) if self.steps or self.minutes else 1.0


@dataclass(frozen=True)
class Settings:
    """What shapes a training besides its data and the network."""

    spectral: Budget = field(default_factory=lambda: Budget(minutes=15))
    adversarial: Budget = field(default_factory=lambda: Budget(minutes=20))
    batch: int = 8
    crop: int = 48
    lr: float = 1e-3
    adversarial_lr: float = 4e-4
    judges_lr: float = 1e-3
    seed: int = 1
    device: str = "cpu"
    precision: Precision = "auto"  # of the networks' products; auto: bf16 where the machine has units for it, else fp32
    checkpoint_minutes: float = 2.0


@dataclass
class State:
    """All that a checkpoint holds."""

    voice: CodeHiFiGAN
    average: CodeHiFiGAN
    judges: Discriminators
    optimizer: torch.optim.Optimizer
    judges_optimizer: torch.optim.Optimizer
    phase: int = 0
    steps: list[int] = field(default_factory=lambda: [0, 0])
    seconds: list[float] = field(default_factory=lambda: [0.0, 0.0])
    history: list[dict[str, float]] = field(default_factory=list)

    _MODULES = ("voice", "average", "judges", "optimizer", "judges_optimizer")
    _NUMBERS = ("phase", "steps", "seconds", "history")

    @classmethod
    def fresh(cls, config: dict[str, Any], settings: Settings) -> State:
        """Return random weights of the seed."""
        torch.manual_seed(settings.seed)
        voice, judges = CodeHiFiGAN(config).to(settings.device), Discriminators().to(settings.device)
        optimizer, other = (torch.optim.AdamW(part.parameters(), settings.lr, BETAS) for part in (voice, judges))
        return cls(voice, copy.deepcopy(voice).eval(), judges, optimizer, other)

    def save(self, path: Path) -> None:
        """Replace the checkpoint; a kill meanwhile leaves the old one."""
        part = path.with_suffix(".part")
        state = {name: getattr(self, name).state_dict() for name in self._MODULES}
        torch.save(
            state | {name: getattr(self, name) for name in self._NUMBERS} | {"config": self.voice.raw_config}, part
        )
        os.replace(part, path)

    def load(self, path: Path) -> None:
        """Go on from a checkpoint; raises ValueError when it is of another network."""
        state = torch.load(path, map_location="cpu", weights_only=True)
        if state["config"] != self.voice.raw_config:
            raise ValueError(f"{path} is a checkpoint of another config.json: give another --out, or delete it")
        for name in self._MODULES:
            getattr(self, name).load_state_dict(state[name])
        for name in self._NUMBERS:
            setattr(self, name, state[name])
