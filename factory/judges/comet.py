# /// script
# dependencies = ["unbabel-comet==2.2.7", "setuptools<81"]
# ///
"""COMET and COMETKiwi by Unbabel's package, with a model of the Hub or of a folder. setuptools 81 lacks pkg_resources.

A model that needs a reference (COMET) says so by its class; one that needs none (COMETKiwi) gets none.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

import torch
from comet import download_model, load_from_checkpoint

NEEDS_REFERENCE = "no_reference: this COMET model needs one; --compare back_translation or reference has one"


def load(model: str) -> Callable[[list[dict[str, Any]]], Iterable[float | str]]:
    """Load a model; return the function that scores rows with `source`, `candidate` and `reference`."""
    checkpoint = os.path.join(model, "checkpoints", "model.ckpt")
    comet = load_from_checkpoint(checkpoint if os.path.isfile(checkpoint) else download_model(model))
    needs_reference = comet.requires_references()

    def score(rows: list[dict[str, Any]]) -> Iterable[float | str]:
        """Yield a score for each row, or the reason why it has none."""
        usable = [row for row in rows if row["reference"] or not needs_reference]
        samples = [{"src": row["source"], "mt": row["candidate"], "ref": row["reference"]} for row in usable]
        for sample in samples if not needs_reference else ():
            del sample["ref"]
        gpus = min(1, torch.cuda.device_count())
        scores = iter(comet.predict(samples, batch_size=16, gpus=gpus, progress_bar=False).scores if samples else ())
        return [next(scores) if row["reference"] or not needs_reference else NEEDS_REFERENCE for row in rows]

    return score
