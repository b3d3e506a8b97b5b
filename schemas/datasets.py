"""Arrow schemas of every dataset that a pass reads or writes.

One row is one utterance (or one pair made of it); candidates are a list inside their row, so nothing is ever joined by position.
Every row ends with a `status` (`ok`, `skipped` or `failed`) and, unless it is ok, a `reason`: a sentence that begins with a short
slug and a colon, so that reasons can be counted (`too_short: 0.02 s of audio, at least 0.10 s is needed`).
"""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict

import pyarrow as pa

Row = dict[str, Any]
"""One row of a dataset as Python values, by the names of its columns."""
Scores = dict[str, float | None]
"""The scores of a back-translation by metric, each on the metric's own scale; None: not scored."""


class Candidate(TypedDict):
    """One sampled translation and its back-translation, as CANDIDATE stores it."""

    text: str | None
    units: list[int] | None
    logprob: float | None
    finish: str
    back_translation: str | None
    back_translation_units: list[int] | None
    back_translation_finish: str | None
    scores: NotRequired[Scores]


OK, SKIPPED, FAILED = "ok", "skipped", "failed"
UNSPOKEN = "unspoken"
"""The finish of a candidate that is a text alone: others of its utterance come back better, and worse."""

_STATUS = [pa.field("status", pa.string(), nullable=False), pa.field("reason", pa.string())]
_UNITS = pa.list_(pa.int32())

UTTERANCE = pa.schema(
    [
        pa.field("utt_id", pa.string(), nullable=False),
        pa.field("lang", pa.string(), nullable=False),
        pa.field("audio", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        pa.field("text", pa.string()),
        pa.field("reference", pa.string()),
        pa.field("speaker", pa.string()),
        pa.field("split", pa.string()),
    ]
)
"""One recorded sentence; `reference` is its translation where one is known (for measuring only: no pair is ever made with it);
`audio` holds an encoded file (FLAC, WAV, Opus, ...) or a path to one, as in Hugging Face's Audio feature."""

UNITS = pa.schema(
    [
        pa.field("utt_id", pa.string(), nullable=False),
        pa.field("lang", pa.string(), nullable=False),
        pa.field("text", pa.string()),
        pa.field("reference", pa.string()),
        pa.field("speaker", pa.string()),
        pa.field("split", pa.string()),
        pa.field("units", _UNITS),
        pa.field("durations", _UNITS),
        pa.field("num_samples", pa.int64()),
        *_STATUS,
    ]
)
"""An utterance as deduplicated cluster ids (`units`) with their run lengths in frames (`durations`); `num_samples` is at 16 kHz."""

METRIC_NAMES = ("bleu", "chrf", "meteor", "wer", "mcd")
SCORES = pa.struct([(name, pa.float64()) for name in METRIC_NAMES])
"""Scores of a way back against where it started; a metric that was not asked for is null."""

CANDIDATE = pa.struct(
    [
        ("text", pa.string()),
        ("units", _UNITS),
        ("logprob", pa.float64()),
        ("finish", pa.string()),
        ("back_translation", pa.string()),
        ("back_translation_units", _UNITS),
        ("back_translation_finish", pa.string()),
        ("scores", SCORES),
    ]
)
"""One sampled translation and its way back. `finish` and `back_translation_finish` are `ok`, or the reason why the output is no translation; a `finish`
may be UNSPOKEN too."""

SCORED = pa.schema(
    [
        pa.field("utt_id", pa.string(), nullable=False),
        pa.field("src_lang", pa.string(), nullable=False),
        pa.field("tgt_lang", pa.string(), nullable=False),
        pa.field("text", pa.string()),
        pa.field("reference", pa.string()),
        pa.field("units", _UNITS),
        pa.field("durations", _UNITS),
        pa.field("candidates", pa.list_(CANDIDATE)),
        *_STATUS,
    ]
)
"""A source utterance with its candidates, each translated back and scored; `text` is the source's transcript."""

PAIR = pa.schema(
    [
        pa.field("pair_id", pa.string(), nullable=False),
        pa.field("utt_id", pa.string(), nullable=False),
        pa.field("src_lang", pa.string(), nullable=False),
        pa.field("tgt_lang", pa.string(), nullable=False),
        pa.field("prompt", pa.string()),
        pa.field("chosen", pa.string()),
        pa.field("rejected", pa.string()),
        pa.field("chosen_text", pa.string()),
        pa.field("rejected_text", pa.string()),
        pa.field("chosen_scores", SCORES),
        pa.field("rejected_scores", SCORES),
        pa.field("metric", pa.string()),
        pa.field("margin", pa.float64()),
        *_STATUS,
    ]
)
"""A preference pair as TRL reads it (`prompt`, `chosen`, `rejected`), or the reason why an utterance gave none."""

PAIRED = pa.schema(
    [
        pa.field("pair_id", pa.string(), nullable=False),
        pa.field("src_lang", pa.string(), nullable=False),
        pa.field("tgt_lang", pa.string(), nullable=False),
        pa.field("src_text", pa.string()),
        pa.field("src_units", _UNITS),
        pa.field("tgt_text", pa.string()),
        pa.field("tgt_units", _UNITS),
    ]
)
"""A source utterance and its spoken translation: what supervised training (round 0) learns from. Without units it is parallel text."""

SEQUENCE = pa.schema(
    [
        pa.field("sequence_id", pa.string(), nullable=False),
        pa.field("task", pa.string()),
        pa.field("prompt", pa.string()),
        pa.field("completion", pa.string()),
    ]
)
"""One training sequence of round 0; `task` is the variant that it was written for, `sequence_id` the pair's id behind it."""

EVALUATED = pa.schema(
    [
        pa.field("utt_id", pa.string(), nullable=False),
        pa.field("src_lang", pa.string(), nullable=False),
        pa.field("tgt_lang", pa.string(), nullable=False),
        pa.field("reference", pa.string()),
        pa.field("text", pa.string()),
        pa.field("units", _UNITS),
        pa.field("finish", pa.string()),
        pa.field("asr_text", pa.string()),
        pa.field("mos", pa.float64()),
        pa.field("source_text", pa.string()),
        pa.field("back_translation", pa.string()),
        pa.field("cascade_text", pa.string()),
        pa.field("cascade_mos", pa.float64()),
        *_STATUS,
    ]
)
"""A greedy translation of a test utterance, and what the recognizer heard of it where it was spoken (null elsewhere).

`back_translation` is its way back (empty where it should be and is not; heard, and only where spoken, if the policy writes no text), to be
compared with `source_text`; `cascade_*` tells of a voice that spoke the policy's text instead of its units."""

TOPLINE = pa.schema(
    [
        pa.field("utt_id", pa.string(), nullable=False),
        pa.field("lang", pa.string(), nullable=False),
        pa.field("reference", pa.string()),
        pa.field("audio_asr", pa.string()),
        pa.field("audio_mos", pa.float64()),
        pa.field("resynthesised_asr", pa.string()),
        pa.field("resynthesised_mos", pa.float64()),
        *_STATUS,
    ]
)
"""What perfect output would get: the recording, and its units spoken again, through the same recognizer."""
