"""Loads the recognizer that a recipe names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from factory.recipe.sections import RecognizerConfig

if TYPE_CHECKING:
    from factory.models.recognizer import Recognizer


def load_recognizer(config: RecognizerConfig, threads: int) -> Recognizer:
    """Load the recognizer of a recipe, with `threads` threads."""
    from factory.models.recognizer import Recognizer

    return Recognizer(model=config.model, compute_type=config.compute_type, beam_size=config.beam_size, threads=threads)
