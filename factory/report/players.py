"""The sounds of a report: recordings and resynthesised units, as Opus inside the page."""

from __future__ import annotations

import base64
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from factory.corpora.audio import encode
from factory.corpora.opening import open_corpus
from factory.passes.weights import actor_vocoders
from factory.recipe.recipe import Recipe
from factory.report.pairs import SIDES, ShownPair
from factory.runtime.redact import redact
from schemas.errors import RoundtripError

if TYPE_CHECKING:
    from factory.models.voice import Voice


def find_recordings(corpus: str, ids: Collection[str]) -> dict[str, np.ndarray]:
    """Return the recordings (16 kHz) of utterances by id.

    If the corpus cannot be read (it was moved, or its store fails), none is returned and stderr has a sentence about
    it.

    Args:
        corpus: the URI of the corpus.
        ids: utterance ids.
    """
    try:
        return open_corpus(corpus).load_recordings(ids) if ids else {}
    except (RoundtripError, OSError) as error:
        note = f"the recordings in {corpus} cannot be read, so their sources are resynthesised from units: {error}"
        print(redact(note), file=sys.stderr, flush=True)
        return {}


def load_vocoders(recipe: Recipe) -> dict[str, Voice]:
    """Load the vocoder of each language of a recipe."""
    from factory.models.voice import Voice

    return {lang: Voice(checkpoint) for lang, checkpoint in actor_vocoders(recipe).items()}


def make_waves(
    pairs: Sequence[ShownPair],
    recordings: Mapping[str, np.ndarray],
    vocoders: Mapping[str, Voice],
    with_back_translations: bool = True,
) -> dict[str, np.ndarray]:
    """Return the waves (16 kHz) of pairs by `PAIR_ID.<source|chosen|rejected|chosen_back|rejected_back>`.

    Args:
        pairs: the pairs; only their ids, languages and units are read.
        recordings: recordings by utterance id; a source without a recording is resynthesised from its units.
        vocoders: the vocoder of each language; a language without one stays silent.
        with_back_translations: True to resynthesise the back-translations too.
    """
    waves = {f"{pair['pair_id']}.source": recordings[pair["utt_id"]] for pair in pairs if pair["utt_id"] in recordings}
    lines: dict[str, dict[str, list[int]]] = {lang: {} for lang in vocoders}
    for pair in pairs:
        for name, lang, units in _units(pair, with_back_translations):
            key = f"{pair['pair_id']}.{name}"
            if units and key not in waves and lang in lines:
                lines[lang][key] = units
    for lang, units_by_key in lines.items():
        if units_by_key:
            waves |= zip(units_by_key, vocoders[lang].speak(list(units_by_key.values())), strict=True)
    return waves


def _units(pair: ShownPair, with_back_translations: bool) -> Iterator[tuple[str, str, list[int] | None]]:
    """Yield the name, the language and the units of each sound of a pair."""
    source, target = pair["src_lang"], pair["tgt_lang"]
    yield "source", source, pair["source"]["units"]
    for side in SIDES:
        yield side, target, pair[side]["units"]
        if with_back_translations:
            yield f"{side}_back", source, pair[side]["back_translation_units"]


def embed_waves(waves: Mapping[str, np.ndarray]) -> dict[str, str]:
    """Return each wave as a data URI with Opus, about 3 kB per second."""
    return {key: "data:audio/ogg;base64," + base64.b64encode(encode(wave)).decode() for key, wave in waves.items()}
