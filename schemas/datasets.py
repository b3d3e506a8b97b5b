"""Arrow schemas of every dataset that a pass reads or writes, and the Python types of their rows.

One row is one utterance, or one pair made from it. Candidates are a list inside their row, so nothing is joined by
position. Languages are ISO 639-1 codes. Every pass ends a row with two columns:

- `status`: `ok`, `skipped` or `failed`.
- `reason`: null for an ok row; else a slug, to count reasons, and a sentence (`too_short: 0.02 s of audio`).
"""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict

import pyarrow as pa

Row = dict[str, Any]
"""One row of a dataset: column -> Python value."""
Scores = dict[str, float | None]
"""Metric -> score of a candidate, on the scale of the metric; None: not scored."""


class Candidate(TypedDict):
    """One sampled translation and its back-translation: the Python type of CANDIDATE."""

    text: str | None
    units: list[int] | None
    logprob: float | None
    finish: str
    back_translation: str | None
    back_translation_units: list[int] | None
    back_translation_finish: str | None
    scores: NotRequired[Scores]
    source_text: NotRequired[str | None]


OK, SKIPPED, FAILED = "ok", "skipped", "failed"
UNSPOKEN = "unspoken"
"""The `finish` of a candidate with a text and no units: other texts of its utterance have better and worse scores."""

_STATUS = [pa.field("status", pa.string(), nullable=False), pa.field("reason", pa.string())]
_UNITS = pa.list_(pa.int32())
_DIRECTION = [pa.field(name, pa.string(), nullable=False) for name in ("src_lang", "tgt_lang")]
_ABOUT = [pa.field(name, pa.string()) for name in ("text", "reference", "speaker", "split")]
WORD = pa.struct([("text", pa.string()), ("start", pa.int32()), ("end", pa.int32())])
"""A word of a transcript and where it is spoken, in frames of 20 ms.

- `text`: the word, with the punctuation that is written at it.
- `start`, `end`: its first frame, and the frame after its last one.
"""

UTTERANCE = pa.schema(
    [
        pa.field("utt_id", pa.string(), nullable=False),
        pa.field("lang", pa.string(), nullable=False),
        pa.field("audio", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        *_ABOUT,
    ]
)
"""One recorded sentence.

- `utt_id`: id of the utterance, the same on every machine.
- `lang`: its language.
- `audio`: `bytes` of an encoded file (FLAC, WAV, Opus, ...) or the `path` of one, as in Hugging Face's Audio feature.
- `text`: its transcript.
- `reference`: its human translation where one is known. It serves measurement alone: no pair is made with it.
- `speaker`: id of the speaker.
- `split`: name of its part of the corpus, such as `train` or `test`.
"""

UNITS = pa.schema(
    [
        pa.field("utt_id", pa.string(), nullable=False),
        pa.field("lang", pa.string(), nullable=False),
        *_ABOUT,
        pa.field("units", _UNITS),
        pa.field("durations", _UNITS),
        pa.field("num_samples", pa.int64()),
        *_STATUS,
    ]
)
"""An utterance as units.

- `utt_id`, `lang`, `text`, `reference`, `speaker`, `split`: as in UTTERANCE.
- `units`: cluster ids (0 .. codebook size - 1) of the encoder's frames, without adjacent repeats.
- `durations`: length of each unit, in frames of 20 ms.
- `num_samples`: length of the audio, in samples at 16 kHz.
"""

ALIGNED = pa.schema(
    [
        pa.field("utt_id", pa.string(), nullable=False),
        pa.field("lang", pa.string(), nullable=False),
        pa.field("text", pa.string()),
        pa.field("words", pa.list_(WORD)),
        *_STATUS,
    ]
)
"""An utterance with the words of its transcript aligned to its frames.

- `utt_id`, `lang`, `text`: as in UTTERANCE.
- `words`: see WORD, in the order of the text; null where the row is not ok.
"""

METRIC_NAMES = ("bleu", "chrf", "meteor", "wer", "mcd", "reconstruction", "chrfpp")
"""The metrics, in the order of SCORES."""
SCORES = pa.struct([(name, pa.float64()) for name in METRIC_NAMES])
"""Scores of a candidate, most of them of its back-translation against the source; null: not scored.

- `bleu`, `chrf`, `meteor`, `chrfpp` (chrF++): 0..1, higher is better.
- `wer`: word errors per word of the reference, 0..1 (at most 1), lower is better.
- `mcd`: mel cepstral distance, 0 or more, without a unit, lower is better.
- `reconstruction`: mean log-probability (nats) of the source text's tokens given the candidate, 0 is the best.
"""

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
        ("source_text", pa.string()),
    ]
)
"""One sampled translation and its back-translation.

- `text`: translation as text; null where the policy wrote none.
- `units`: translation as cluster ids; null where the policy wrote none.
- `logprob`: sum of the natural log-probabilities of its tokens under the policy (nats).
- `finish`: `ok`, UNSPOKEN, or the reason why the output is no translation.
- `back_translation`, `back_translation_units`: the back-translation as text and as cluster ids.
- `back_translation_finish`: `ok`, or the reason why the output is no back-translation; null where there is none.
- `scores`: see SCORES.
- `source_text`: the source's text as a chain of thought wrote it; null in other variants.
"""

SCORED = pa.schema(
    [
        pa.field("utt_id", pa.string(), nullable=False),
        *_DIRECTION,
        pa.field("text", pa.string()),
        pa.field("reference", pa.string()),
        pa.field("units", _UNITS),
        pa.field("durations", _UNITS),
        pa.field("candidates", pa.list_(CANDIDATE)),
        *_STATUS,
    ]
)
"""A source utterance with its candidates, each translated back and scored. It has a row for each target language.

- `utt_id`, `reference`: as in UTTERANCE.
- `src_lang`, `tgt_lang`: language of the source and of the translation.
- `text`: transcript of the source.
- `units`, `durations`: the source as cluster ids, and their lengths in frames of 20 ms.
- `candidates`: see CANDIDATE.
"""

PAIR = pa.schema(
    [
        pa.field("pair_id", pa.string(), nullable=False),
        pa.field("utt_id", pa.string(), nullable=False),
        *_DIRECTION,
        *(pa.field(name, pa.string()) for name in ("prompt", "chosen", "rejected", "chosen_text", "rejected_text")),
        pa.field("chosen_scores", SCORES),
        pa.field("rejected_scores", SCORES),
        pa.field("chosen_back_translation_finish", pa.string()),
        pa.field("rejected_back_translation_finish", pa.string()),
        pa.field("metric", pa.string()),
        pa.field("margin", pa.float64()),
        *_STATUS,
    ]
)
"""A preference pair, or the reason why an utterance has none.

- `pair_id`: `UTT_ID-TGT_LANG`.
- `utt_id`, `src_lang`, `tgt_lang`: as in SCORED.
- `prompt`, `chosen`, `rejected`: texts of the policy's tokens (`schemas.sequences`), named as TRL names them.
- `chosen_text`, `rejected_text`: the translations as plain text; null where the policy writes none.
- `chosen_scores`, `rejected_scores`: see SCORES.
- `chosen_back_translation_finish`, `rejected_back_translation_finish`: as in CANDIDATE; absent from older files.
- `metric`: the metric that ranked the candidates.
- `margin`: absolute difference of the two scores in `metric`, on its scale.
"""

PAIRED = pa.schema(
    [
        pa.field("pair_id", pa.string(), nullable=False),
        *_DIRECTION,
        pa.field("src_text", pa.string()),
        pa.field("src_units", _UNITS),
        pa.field("tgt_text", pa.string()),
        pa.field("tgt_units", _UNITS),
        pa.field("src_durations", _UNITS),
        pa.field("tgt_durations", _UNITS),
        pa.field("src_words", pa.list_(WORD)),
        pa.field("tgt_words", pa.list_(WORD)),
    ]
)
"""A source utterance and its spoken translation: the training data of round 0.

- `pair_id`: id of the pair, the same on every machine.
- `src_lang`, `tgt_lang`: the two languages.
- `src_text`, `tgt_text`: the two transcripts.
- `src_units`, `tgt_units`: the two sides as cluster ids; null in parallel text.
- `src_durations`, `tgt_durations`: lengths of these units, in frames of 20 ms; null where they are not known.
- `src_words`, `tgt_words`: the words of the transcripts (WORD); null without an aligner, or where it skipped the side.

Files of version 0.1 end with `tgt_units`; their other columns count as null.
"""

UNIT_WORD = pa.struct([("text", pa.string()), ("units", pa.int32())])
"""A word of a speech segment.

- `text`: the word, with the punctuation that is written at it.
- `units`: how many of the segment's units it has, pauses included.
"""

SEQUENCE = pa.schema(
    [
        pa.field("sequence_id", pa.string(), nullable=False),
        pa.field("task", pa.string()),
        pa.field("prompt", pa.string()),
        pa.field("completion", pa.string()),
        pa.field("prompt_words", pa.list_(UNIT_WORD)),
        pa.field("completion_words", pa.list_(UNIT_WORD)),
    ]
)
"""One training sequence of round 0.

- `sequence_id`: `TASK-PAIR_ID`.
- `task`: the variant (`schemas.sequences.Variant`) of the prompt.
- `prompt`, `completion`: texts of the policy's tokens (`schemas.sequences`).
- `prompt_words`, `completion_words`: the words (UNIT_WORD) of their speech segment, which together have all its units;
  null without speech, where the words are not known, and if the recipe does not interleave (`sft.interleave`).

Files that end with `completion` have no words.
"""

EVALUATED = pa.schema(
    [
        pa.field("utt_id", pa.string(), nullable=False),
        *_DIRECTION,
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
        pa.field("spoken_lang", pa.string()),
        pa.field("source_s", pa.float64()),
        pa.field("speech_s", pa.float64()),
        *(pa.field(name, pa.float64()) for name in ("dnsmos", "speaker_similarity")),
        pa.field("unmeasured", pa.list_(pa.string())),
        *_STATUS,
    ]
)
"""A greedy translation of a test utterance, with the recognizer's transcript where it was synthesised.

- `utt_id`, `src_lang`, `tgt_lang`, `reference`: as in SCORED.
- `text`, `units`, `finish`: the translation, as in CANDIDATE.
- `asr_text`: transcript of the synthesised translation; empty where there are no units, null where nothing was spoken.
- `mos`: predicted naturalness of the synthesised translation, as a mean opinion score (1..5).
- `source_text`: transcript of the source, the reference of `back_translation`.
- `back_translation`: the back-translation as text, empty where the policy wrote none. Where the policy writes no text
  it is the recognizer's transcript, and null where it was not synthesised.
- `cascade_text`, `cascade_mos`: transcript and MOS (1..5) of a baseline, text-to-speech of the policy's text.
- `spoken_lang`: language of the synthesised translation, by the recognizer; null if nothing is said.
- `source_s`, `speech_s`: seconds of the source's units and of the synthesised translation (0 without units).
- `dnsmos`, `speaker_similarity`: DNSMOS (1..5) of the synthesised translation; cosine (0..1) of its voice and its
  source's. Null if not asked for (`evaluate.speech_measures`), else with a reason in `unmeasured` (`dnsmos: silent`).

Older files end without the last three, or six; they count as null.
"""

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
"""The scores that perfect output would get: a recording and its resynthesised units, through the same recognizer.

- `utt_id`, `lang`: as in UTTERANCE.
- `reference`: transcript of the recording, the reference of the other two.
- `audio_asr`, `audio_mos`, `resynthesised_asr`, `resynthesised_mos`: transcript and MOS (1..5) of the recording, and of
  its units, resynthesised.
"""
