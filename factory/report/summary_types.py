"""The types of a round's summary, as `summary.json` holds it."""

from __future__ import annotations

from typing import Literal, NotRequired, TypedDict

from factory.audit.result import GapBin

ShareName = Literal["slc_02", "slc_04", "spoken_language"]
"""Shares (0..100) of the spoken translations (`factory.report.spoken`)."""
ScoreName = Literal["s2t_bleu", "s2t_chrf", "asr_bleu", "cascade_bleu", "round_trip", ShareName]
"""The corpus scores of an evaluation. `round_trip` compares back-translations with the source, the others compare
translations with a reference; `cascade_bleu` is ASR-BLEU of a baseline that speaks the policy's text."""
MeanName = Literal["mos", "dnsmos", "speaker_similarity", "well_formed", "distinct", "repetition"]
"""The means of an evaluation that need no reference."""


class Score(TypedDict):
    """A corpus score (0..100) of one direction, before and after a round. Intervals are `[low, high]` (95 %)."""

    signature: str
    utterances: int
    before: float | None
    """The score of the policy of the round before; None for round 0."""
    after: float
    ci: list[float]
    difference: NotRequired[float]
    """After minus before, on the same utterances; absent for round 0, as are its interval and p."""
    difference_ci: NotRequired[list[float]]
    p: NotRequired[float]


class BeforeAfter(TypedDict):
    """A mean of one direction, before and after a round; None if nothing was measured."""

    before: float | None
    after: float | None


class EvaluationScores(TypedDict):
    """The scores of an evaluation by direction (`fr-en`); None for a score that could not be measured."""

    s2t_bleu: dict[str, Score | None]
    s2t_chrf: dict[str, Score | None]
    asr_bleu: dict[str, Score | None]
    cascade_bleu: dict[str, Score | None]
    round_trip: dict[str, Score | None]
    slc_02: NotRequired[dict[str, Score | None]]
    """Share (0..100) of spoken translations whose duration is the source's, within 20 %; absent in older rounds."""
    slc_04: NotRequired[dict[str, Score | None]]
    """The same within 40 %."""
    spoken_language: NotRequired[dict[str, Score | None]]
    """Share (0..100) of spoken translations whose speech is in the target language; absent in older rounds."""
    mos: dict[str, BeforeAfter]
    """Mean DistilMOS (1..5) of the speech."""
    dnsmos: NotRequired[dict[str, BeforeAfter]]
    """Mean DNSMOS (1..5) of the speech; absent if the recipe does not ask for it, as are the next two."""
    speaker_similarity: NotRequired[dict[str, BeforeAfter]]
    """Mean similarity (0..1) of the voices of translation and source."""
    unmeasured_speech: NotRequired[dict[str, dict[str, int]]]
    """Spoken translations of the policy of the round that a measure has no value for, by measure and reason."""
    well_formed: dict[str, BeforeAfter]
    """Share (0..1) of outputs that could be parsed."""
    distinct: NotRequired[dict[str, BeforeAfter]]
    """Share (0..1) of translations that differ from all others; absent in rounds of before it was measured."""
    repetition: NotRequired[dict[str, BeforeAfter]]
    """Mean share (0..1) of unit trigrams that occurred before in the same speech; absent as above."""
    tripwire: list[str]
    """A sentence for each sign of reward hacking, or of output that collapses."""


class Interval(TypedDict):
    """A score and its 95 % interval `[low, high]`."""

    score: float
    ci: list[float]


class Topline(TypedDict):
    """The scores of perfect output: ASR-BLEU (0..100), WER (errors per word), DistilMOS (1..5). None: not measured."""

    asr_bleu: Interval | None
    wer: Interval | None
    mos: Interval | None


class LanguageToplines(TypedDict):
    """The toplines of one target language: its recordings (`audio`), and their units `resynthesised`."""

    utterances: int
    audio: NotRequired[Topline]
    resynthesised: NotRequired[Topline]


class Failure(TypedDict):
    """Rows of a dataset that are `skipped` or `failed`, by reason: how many, and the first ids."""

    status: str
    reason: str
    count: int
    ids: list[str]


class LabelBin(GapBin):
    """The accuracy of labels of one gap bin, with the metric and the judge."""

    metric: str
    judge: str


class MalformedPairs(TypedDict):
    """How many pairs have a malformed back-translation: on either side, of the chosen, of the rejected; `of` all."""

    pairs: int
    chosen: int
    rejected: int
    of: int


class Production(TypedDict, total=False):
    """The product of a preference round: rows by status, pairs by direction, accuracy of labels by judge.

    Round 0 makes no pairs, so it has none of these keys.
    """

    rows: dict[str, int]
    pairs: dict[str, int]
    malformed: MalformedPairs | None
    """Pairs whose score is that of a malformed back-translation; None if nothing was translated back."""
    label_accuracy: dict[str, list[LabelBin]]
    unmeasured: str | None
    """Why the accuracy could not be measured."""


class Summary(Production, EvaluationScores):
    """The summary of a round."""

    verdict: str
    """One sentence: what the round gained, or why nothing can be told, and what to do."""
    round: int
    recipe: str
    toplines: dict[str, LanguageToplines]
    untested: list[str]
    """Sentences about what the test set left unmeasured."""
    failures: dict[str, list[Failure]]
    wall_s: dict[str, float]
    """Seconds of each stage."""
    peak_rss_mb: int
