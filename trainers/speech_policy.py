"""Makes the untrained policy that hears continuous speech: a speech encoder, a new adapter and a language model."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from factory.models.speech_encoders import load_speech_encoder
from factory.models.speech_lm import SpeechLM
from factory.recipe.part import PartConfig
from factory.recipe.sections import EncoderConfig
from trainers.part_loop import check_patterns
from trainers.policy import extend_policy


def create_speech_policy(
    base: str | Path, out: Path, *, encoder: EncoderConfig, part: PartConfig, langs: Sequence[str], seed: int = 0
) -> Path:
    """Write the folder of an untrained SpeechLM and return it.

    Args:
        base: the language model, a folder or a name on the hub; its tokenizer gets the tags that it lacks.
        out: the folder.
        encoder: the kind, name and layer of the encoder.
        part: the shape of the adapter.
        langs: ISO 639 codes of the languages.
        seed: of the adapter's weights.

    Raises:
        WeightsError: a part cannot be found or used.
        TrainingError: a stage of `part` names weights that do not exist.
    """
    speech_encoder = load_speech_encoder(encoder.kind, encoder.model, encoder.layer)
    with tempfile.TemporaryDirectory() as folder:
        llm = extend_policy(base, Path(folder), num_units=0, langs=langs)
        shape = {"layers": part.layers, "stride": part.stride}
        model = SpeechLM.create(speech_encoder, encoder.kind, llm, **shape, seed=seed)
    for stage in part.stages:
        check_patterns(model, stage)
    model.save_pretrained(out)
    return out
