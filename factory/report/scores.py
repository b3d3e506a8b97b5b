"""The corpus scores of an evaluation, with bootstrap intervals: the policy of the round against the one before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Literal

from factory.actors.evaluated import count_seconds
from factory.metrics import bootstrap, normalise
from factory.models.recognizer import protocol
from factory.passes.filters import repetition_share
from factory.recipe.directions import Direction
from factory.recipe.paths import portable_paths
from factory.recipe.recipe import Recipe
from factory.report.spoken import SHARES, sample_share
from factory.report.summary_types import BeforeAfter, EvaluationScores, Interval, Score, ShareName
from factory.report.tripwire import find_collapse, find_reward_hacking
from factory.storage.dataset import DatasetDir
from schemas.datasets import OK, Row

TextMetric = Literal["bleu", "chrf"]
Column = Literal["text", "asr_text", "cascade_text", "back_translation"]


def read_evaluation(evaluation: DatasetDir, tested: Mapping[tuple[str, str], Row], recipe: Recipe) -> list[Row]:
    """Return the rows of an evaluation, with an empty translation for each row that is not `ok`.

    A lost translation counts as an empty text, and as silence where it would have been resynthesised. So two policies
    are always compared on the same utterances.

    Args:
        evaluation: a dataset of EVALUATED.
        tested: the test utterances by id and target language, with `text` (the transcript), `durations`, and `spoken`
            (True if the translation is resynthesised).
        recipe: the experiment.
    """
    rows = evaluation.rows().to_pylist()
    return [
        row if row["status"] == OK else row | _empty_translation(row, tested[row["utt_id"], row["tgt_lang"]], recipe)
        for row in rows
    ]


def _empty_translation(row: Row, utterance: Row, recipe: Recipe) -> Row:
    """Return the columns of a lost row; its speech has 0 seconds, unless the evaluation is older than that column."""
    transcript = "" if utterance["spoken"] else None
    silence = {"speech_s": 0.0, "source_s": count_seconds(utterance["durations"]), "spoken_lang": None}
    return (silence if utterance["spoken"] and "speech_s" in row else {}) | {
        "text": "",
        "units": None,
        "finish": None,
        "asr_text": transcript,
        "mos": None,
        "dnsmos": None,
        "speaker_similarity": None,
        "unmeasured": None,
        "source_text": utterance["text"],
        "back_translation": "" if recipe.writes_text and recipe.translator.back_translate == "text" else transcript,
        "cascade_text": transcript if recipe.evaluate.cascade else None,
    }


def score_evaluation(after: list[Row], before: list[Row] | None, recipe: Recipe) -> EvaluationScores:
    """Score every direction before and after a round, on the same utterances.

    Args:
        after: rows of EVALUATED (`read_evaluation`) by the policy of the round.
        before: those of the policy before; None for round 0.
        recipe: the experiment.
    """
    scores = EvaluationScores(
        s2t_bleu={},
        s2t_chrf={},
        asr_bleu={},
        cascade_bleu={},
        round_trip={},
        slc_02={},
        slc_04={},
        spoken_language={},
        mos={},
        well_formed={},
        distinct={},
        repetition={},
        tripwire=[],
    )
    for direction in recipe.used_directions:
        sides = _Sides(_select(after, direction), None if before is None else _select(before, direction), recipe)
        scores["s2t_bleu"][direction] = sides.score("bleu", "text")
        scores["s2t_chrf"][direction] = sides.score("chrf", "text")
        scores["asr_bleu"][direction] = sides.score("bleu", "asr_text")
        scores["cascade_bleu"][direction] = sides.score("bleu", "cascade_text")
        scores["round_trip"][direction] = sides.score("bleu", "back_translation")
        for name in SHARES:
            scores[name][direction] = sides.share(name)
        scores["mos"][direction] = sides.compare(partial(_mean, "mos"))
        for measure in recipe.evaluate.speech_measures:
            scores.setdefault(measure, {})[direction] = sides.compare(partial(_mean, measure))
            scores.setdefault("unmeasured_speech", {})[direction] = _count_unmeasured(sides.after)
        scores["well_formed"][direction] = sides.compare(_share_well_formed)
        scores["distinct"][direction] = sides.compare(_share_distinct)
        scores["repetition"][direction] = sides.compare(_mean_repetition)
    scores["tripwire"] = [*find_reward_hacking(scores), *find_collapse(scores)]
    return scores


def _select(rows: list[Row], direction: str) -> list[Row]:
    chosen = [row for row in rows if Direction.of_row(row) == direction]
    return sorted(chosen, key=lambda row: str(row["utt_id"]))


def asr_protocol(recipe: Recipe, lang: str) -> str:
    """Return what an ASR-BLEU in a language depends on, by the recipe's recognizer."""
    recognizer = portable_paths(recipe).recognizer
    return protocol(
        model=recognizer.model, compute_type=recognizer.compute_type, beam_size=recognizer.beam_size, lang=lang
    )


class _Sides:
    """The evaluated rows of one direction, after a round and before it."""

    def __init__(self, after: list[Row], before: list[Row] | None, recipe: Recipe) -> None:
        self.after, self.before, self.recipe = after, before, recipe

    def score(self, metric: TextMetric, column: Column) -> Score | None:
        """Return a corpus score with intervals; None if a side has nothing to score."""
        after = _scorable(column, self.after, self.recipe)
        before = None if self.before is None else _scorable(column, self.before, self.recipe)
        if not after or before == []:
            return None
        sample = score_column(metric, column, after)
        signature = sample.signature + self._asr_signature(column, after[0])
        baseline = None if before is None else score_column(metric, column, before)
        return self._compare(replace(sample, signature=signature), baseline)

    def share(self, name: ShareName) -> Score | None:
        """Return a share of the spoken rows (0..100) with intervals; None if it was not measured after the round.

        Evaluations of older versions were not measured, so that the first later round has no share before it.
        """
        if not self.after:
            return None
        signature = f"lid:argmax|{asr_protocol(self.recipe, self.after[0]['tgt_lang'])}"
        signature = signature if name == "spoken_language" else f"slc:0.{name[-1]}"
        sample = sample_share(name, self.after, signature)
        if sample is None:
            return None
        return self._compare(sample, sample_share(name, self.before or [], signature))

    def _compare(self, sample: bootstrap.Sample, baseline: bootstrap.Sample | None) -> Score:
        """Return a score with its interval and, where there is a baseline, the difference to it."""
        resamples = self.recipe.evaluate.resamples
        score = Score(
            signature=sample.signature,
            utterances=len(sample.statistics),
            before=None,
            after=0.0,
            ci=[],
        )
        if baseline is None:
            estimate = bootstrap.estimate(sample, resamples)
            score.update({"after": rounded(estimate.point), "ci": _bounds(estimate)})
            return score
        compared = bootstrap.compare(sample, baseline, resamples)
        score.update({"before": rounded(compared.baseline.point), "after": rounded(compared.system.point)})
        score.update({"ci": _bounds(compared.system), "difference": rounded(compared.difference.point)})
        score.update({"difference_ci": _bounds(compared.difference), "p": rounded(compared.p, 4)})
        return score

    def _asr_signature(self, column: Column, row: Row) -> str:
        """Return the recognizer's protocol for a column of transcripts, nothing for text that the policy wrote."""
        if column == "text" or (column == "back_translation" and self.recipe.writes_text):
            return ""
        return f"|{asr_protocol(self.recipe, _lang(column, row))}"

    def compare(self, measure: Callable[[list[Row]], float | None]) -> BeforeAfter:
        """Return a measure of the rows of both sides; None for a side without rows."""
        return {"before": measure(self.before or []), "after": measure(self.after)}


def _scorable(column: Column, rows: list[Row], recipe: Recipe) -> list[Row]:
    """Return the rows that have something to score.

    A policy that writes no text has no S2T score. A back-translation needs the transcript of its source.
    """
    if column == "text":
        return rows if recipe.writes_text else []
    return [row for row in rows if row.get(column) is not None and (column != "back_translation" or row["source_text"])]


def _lang(column: Column, row: Row) -> str:
    return str(row["src_lang" if column == "back_translation" else "tgt_lang"])


def score_column(metric: TextMetric, column: Column, rows: list[Row]) -> bootstrap.Sample:
    """Return the statistics of a corpus score; output that cannot be parsed counts as an empty text.

    Args:
        metric: the metric of the corpus.
        column: what is scored: against `source_text` for a back-translation, else against `reference`. Both sides are
            normalised, unless the column is the policy's own text.
        rows: rows of EVALUATED, all of one direction.
    """
    lang = _lang(column, rows[0])
    texts = [row[column] or "" for row in rows]
    references = [row["source_text" if column == "back_translation" else "reference"] or "" for row in rows]
    if column != "text":
        texts, references = ([normalise.text(text, lang) for text in side] for side in (texts, references))
    return bootstrap.corpus(metric, texts, references, lang)


def _mean(column: str, rows: list[Row]) -> float | None:
    """Return the mean of a measure of the spoken rows; None if no row has a value."""
    rated = [row[column] for row in rows if row.get(column) is not None]
    return rounded(sum(rated) / len(rated)) if rated else None


def _count_unmeasured(rows: list[Row]) -> dict[str, int]:
    """Return how many spoken rows have no value of a measure, by measure and reason, the most frequent first."""
    return dict(Counter(reason for row in rows for reason in row.get("unmeasured") or ()).most_common())


def _share_well_formed(rows: list[Row]) -> float | None:
    """Return the share (0..1) of spoken rows whose output could be parsed: the others have no whole output."""
    spoken = [row for row in rows if row["asr_text"] is not None]
    return rounded(sum(row["finish"] == OK for row in spoken) / len(spoken), 4) if spoken else None


def _share_distinct(rows: list[Row]) -> float | None:
    """Return the number of different translations per row: texts, or units where the policy writes none."""
    outputs = {row["text"] if row["text"] is not None else tuple(row["units"] or ()) for row in rows}
    return rounded(len(outputs) / len(rows), 4) if rows else None


def _mean_repetition(rows: list[Row]) -> float | None:
    shares = [repetition_share(row["units"]) for row in rows if row["units"]]
    return rounded(sum(shares) / len(shares), 4) if shares else None


def estimate_interval(sample: bootstrap.Sample, resamples: int) -> Interval:
    """Return the score of a sample with its 95 % interval, rounded to three digits."""
    estimate = bootstrap.estimate(sample, resamples)
    return {"score": rounded(estimate.point, 3), "ci": _bounds(estimate, 3)}


def _bounds(estimate: bootstrap.Estimate, digits: int = 2) -> list[float]:
    return [rounded(estimate.low, digits), rounded(estimate.high, digits)]


def rounded(value: float, digits: int = 2) -> float:
    """Return a value as a rounded Python float."""
    return round(float(value), digits)
