"""The toplines: the scores that perfect output would get from the same vocoder, recognizer and MOS model."""

from __future__ import annotations

from typing import Literal

from factory.metrics import bootstrap
from factory.recipe.recipe import Recipe
from factory.report.scores import estimate_interval, score_column
from factory.report.summary_types import LanguageToplines, Topline
from factory.storage.dataset import DatasetDir
from schemas.datasets import OK, Row

Speech = Literal["audio", "resynthesised"]


def score_toplines(dataset: DatasetDir, recipe: Recipe) -> dict[str, LanguageToplines]:
    """Score the recordings of the test set and their resynthesised units, by language.

    Args:
        dataset: a finished dataset of TOPLINE.
        recipe: the experiment.

    Returns:
        The toplines of each language that has rows. A kind of speech without transcripts is left out.
    """
    rows = dataset.rows(status=OK).to_pylist()
    toplines = {}
    for lang in recipe.languages:
        spoken = [row | {"tgt_lang": lang, "reference": row["reference"] or ""} for row in rows if row["lang"] == lang]
        if spoken:
            toplines[lang] = _score_language(spoken, recipe)
    return toplines


def _score_language(rows: list[Row], recipe: Recipe) -> LanguageToplines:
    toplines = LanguageToplines(utterances=len(rows))
    if recordings := [row for row in rows if row["audio_asr"] is not None]:
        toplines["audio"] = _score_speech("audio", recordings, recipe)
    if resynthesised := [row for row in rows if row["resynthesised_asr"] is not None]:
        toplines["resynthesised"] = _score_speech("resynthesised", resynthesised, recipe)
    return toplines


def _score_speech(speech: Speech, rows: list[Row], recipe: Recipe) -> Topline:
    """Return ASR-BLEU and WER of the rows that have a transcript to compare with, and MOS of the rated rows."""
    compared = [row | {"asr_text": row[f"{speech}_asr"]} for row in rows if row["reference"]]
    rated = [row[f"{speech}_mos"] for row in rows if row[f"{speech}_mos"] is not None]
    bleu = score_column("bleu", "asr_text", compared) if compared else None
    return {
        "asr_bleu": estimate_interval(bleu, recipe.evaluate.resamples) if bleu else None,
        "wer": estimate_interval(_word_errors(compared), bootstrap.RESAMPLES) if compared else None,
        "mos": estimate_interval(bootstrap.mean(rated), bootstrap.RESAMPLES) if rated else None,
    }


def _word_errors(rows: list[Row]) -> bootstrap.Sample:
    transcripts, references = ([row[key] for row in rows] for key in ("asr_text", "reference"))
    return bootstrap.corpus("wer", transcripts, references, rows[0]["lang"])
