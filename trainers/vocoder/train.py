"""Trains a unit vocoder for one language, on one CPU core or a GPU.

    python -m trainers.vocoder.train --data units.parquet --out vocoder-fr --num-units 200 \\
        --minutes-spectral 15 --minutes-adversarial 20

`out/checkpoint.pt` is replaced every few minutes, and a killed training resumes from it. `out/` always is a voice that
`CodeHiFiGAN.from_pretrained` reads, with the moving average of the weights; `training.json` says how it was made. Units
that were not deduplicated (all durations are 1) give a voice that predicts no durations.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import torch

from factory.arguments import print_any_text, run_command
from factory.recipe.training import Precision
from schemas.audio import SAMPLE_RATE
from trainers.vocoder.data import Corpus
from trainers.vocoder.state import PHASES, Budget, NetworkConfig, TrainingConfig, small_config
from trainers.vocoder.trainer import Summary, Trainer

PROG = "python -m trainers.vocoder.train"
DEFAULTS = TrainingConfig()


def train_vocoder(
    data: Path, out: Path, *, network: NetworkConfig, config: TrainingConfig = DEFAULTS, lang: str | None = None
) -> Summary:
    """Train a voice; resume from `out/checkpoint.pt` if it exists.

    Args:
        data: a Parquet file or folder with the columns utt_id, lang, units, durations and audio.
        out: the folder of the voice.
        network: the config.json of the vocoder; its sampling_rate must be SAMPLE_RATE.
        config: the settings.
        lang: use only the rows of this language; None uses all rows.

    Returns:
        The content of `out/training.json`.

    Raises:
        TrainingError: the checkpoint belongs to another network, or the data cannot be used.
    """
    if network["sampling_rate"] != SAMPLE_RATE:
        raise ValueError(f"audio has {SAMPLE_RATE} samples per second, the vocoder {network['sampling_rate']}")
    out.mkdir(parents=True, exist_ok=True)
    corpus = Corpus.load(data, network["code_hop_size"], config.crop, lang)
    if not corpus.is_deduplicated:
        network = {**network, "dur_predictor_params": {}}
    return Trainer(corpus, out, network, config).run()


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=PROG, description="Train a unit vocoder for one language.")
    add = parser.add_argument
    columns = "Parquet file or folder: utt_id, lang, units, durations, audio"
    add("--data", type=Path, required=True, help=columns)
    add("--out", type=Path, required=True, help="the folder of the voice; a killed training resumes from it")
    add("--lang", help="use only the rows of this language")
    add("--num-units", type=int, default=200, help="the size of the codebook")
    for phase in PHASES:
        minutes = getattr(DEFAULTS, phase).minutes
        add(f"--minutes-{phase}", type=float, default=minutes, help="limit in minutes; 0: none")
        add(f"--steps-{phase}", type=int, default=0, help="limit in steps; 0: none")
    for name in ("batch", "crop", "seed"):
        add(f"--{name}", type=int, default=getattr(DEFAULTS, name))
    add("--threads", type=int, default=1)
    add("--device", default=DEFAULTS.device)
    automatic = "auto: bf16 where the machine has units for it"
    add("--precision", choices=get_args(Precision), default=DEFAULTS.precision, help=automatic)
    return parser.parse_args(argv)


def _train(arguments: argparse.Namespace) -> int:
    torch.set_num_threads(arguments.threads)
    config = TrainingConfig(
        spectral=Budget(arguments.steps_spectral, arguments.minutes_spectral),
        adversarial=Budget(arguments.steps_adversarial, arguments.minutes_adversarial),
        batch=arguments.batch,
        crop=arguments.crop,
        seed=arguments.seed,
        device=arguments.device,
        precision=arguments.precision,
    )
    network = small_config(arguments.num_units)
    train_vocoder(arguments.data, arguments.out, network=network, config=config, lang=arguments.lang)
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Train from the command line; return 0, or 2 after an error that the user can fix."""
    print_any_text()
    arguments = _parse(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    return run_command(PROG, lambda: _train(arguments))


if __name__ == "__main__":
    sys.exit(main())
