"""The sounds of a report: recordings and spoken units as Opus, inside the page."""

from __future__ import annotations

import base64
import sys
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import numpy as np

from factory.corpora.audio import encode
from factory.corpora.opening import open_corpus
from factory.passes.weights import actor_vocoders
from factory.recipe.recipe import Recipe
from factory.runtime.redact import redact
from schemas.datasets import Row

if TYPE_CHECKING:
    from factory.models.voice import Voice


def recordings_or_none(corpus: str, ids: Collection[str]) -> dict[str, np.ndarray]:
    """Return the recordings (16 kHz) of these utterances; none, with a sentence on stderr, where the corpus cannot be
    read.
    """
    try:
        return open_corpus(corpus).recordings(ids) if ids else {}
    except (OSError, ValueError, RuntimeError) as error:  # what a user can fix: the corpus was moved, its store fails
        note = f"the recordings in {corpus} cannot be read, so their sources are resynthesised from units: {error}"
        print(redact(note), file=sys.stderr, flush=True)
        return {}


def waves_of(
    rows: Sequence[Row], recorded: dict[str, np.ndarray], voices: dict[str, Voice], back: bool = True
) -> dict[str, np.ndarray]:
    """Return the waves of pairs (`shown_pairs`) by `<pair_id>.<source|chosen|rejected|chosen_back|rejected_back>`.

    Args:
        rows: the pairs.
        recorded: recordings (16 kHz) by utt_id; a source without one is resynthesised from its units.
        voices: the vocoder of each language; a language without one stays silent.
        back: whether the back-translations are spoken too.
    """
    waves = {f"{row['pair_id']}.source": recorded[row["utt_id"]] for row in rows if row["utt_id"] in recorded}
    wanted: dict[str, list[tuple[str, list[int]]]] = {}
    for row in rows:
        for name, (lang, units) in _units(row, back).items():
            key = f"{row['pair_id']}.{name}"
            if units and key not in waves and lang in voices:
                wanted.setdefault(lang, []).append((key, units))
    for lang, lines in wanted.items():
        waves |= zip([key for key, _ in lines], voices[lang].speak([units for _, units in lines]), strict=True)
    return waves


def voices_of(recipe: Recipe) -> dict[str, Voice]:
    """Load the vocoder of each language."""
    from factory.models.voice import Voice

    return {lang: Voice(checkpoint) for lang, checkpoint in actor_vocoders(recipe).items()}


def _units(row: Row, back: bool) -> dict[str, tuple[str, list[int] | None]]:
    src, tgt = row["src_lang"], row["tgt_lang"]
    ahead = {
        "source": (src, row["source"]["units"]),
        **{side: (tgt, row[side]["units"]) for side in ("chosen", "rejected")},
    }
    return ahead | (
        {f"{side}_back": (src, row[side]["back_translation_units"]) for side in ("chosen", "rejected")} if back else {}
    )


def embedded(waves: dict[str, np.ndarray]) -> dict[str, str]:
    """Return each wave as a data URI of Opus, 3 kB a second."""
    return {key: "data:audio/ogg;base64," + base64.b64encode(encode(wave)).decode() for key, wave in waves.items()}
