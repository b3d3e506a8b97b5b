"""The judges of evaluate: they speak translations, transcribe the speech and rate how natural it sounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, NamedTuple

import numpy as np
import pyarrow as pa

from factory.actors.base import RowActor
from factory.actors.encoder import Encoder
from factory.actors.evaluated import JUDGED, count_seconds, read_evaluated
from factory.actors.greedy import RECORDING, SPOKEN
from factory.actors.recognition import load_recognizer
from factory.actors.speech_measures import SpeechMeasures
from factory.models.recognizer import Transcript
from factory.models.tts import Speakers
from factory.recipe.sections import EncoderConfig, RecognizerConfig
from schemas.audio import SAMPLE_RATE
from schemas.datasets import TOPLINE, Row


class _Verdict(NamedTuple):
    """The transcript of a sound, its predicted mean opinion score (1..5), its language if asked for, and its wave."""

    text: str | None = None
    mos: float | None = None
    lang: str | None = None
    wave: np.ndarray | None = None

    @property
    def seconds(self) -> float:
        """The length of the sound; 0 without one."""
        return 0.0 if self.wave is None else len(self.wave) / SAMPLE_RATE


class _Listener:
    """One vocoder per language, the recognizer and the MOS model in one process."""

    def __init__(self, vocoders: Mapping[str, str], recognizer: RecognizerConfig, threads: int) -> None:
        from factory.models.mos import Mos
        from factory.models.voice import Voice

        self.voices = {lang: Voice(checkpoint, threads) for lang, checkpoint in vocoders.items()}
        self.recognizer = load_recognizer(recognizer, threads)
        self.mos = Mos(threads)

    def rate(self, waves: list[np.ndarray], lang: str, detects: bool = False) -> list[_Verdict]:
        """Transcribe and rate each wave (samples,) at 16 kHz; with `detects`, detect the language of its speech."""
        transcripts = (
            self.recognizer.transcribe_and_detect(waves, lang)
            if detects
            else map(Transcript, self.recognizer.transcribe(waves, lang))
        )
        return [
            _Verdict(transcript.text, mos, transcript.lang, wave)
            for transcript, mos, wave in zip(transcripts, self.mos.rate(waves), waves, strict=True)
        ]

    def rate_units(self, units: list[list[int]], lang: str, detects: bool = False) -> list[_Verdict]:
        """Speak each list of units with predicted durations; judge the speech (`rate`)."""
        return self.rate(self.voices[lang].speak(units), lang, detects)


class Judge(RowActor):
    """Reads the only candidate of each row, and judges its speech where the row is `spoken`.

    Rows in: TRANSLATED; rows out: JUDGED.
    """

    schema: ClassVar[pa.Schema] = JUDGED

    def __init__(
        self,
        vocoders: Mapping[str, str],
        recognizer: RecognizerConfig,
        *,
        writes_text: bool,
        translates_texts_back: bool,
        cascade: Mapping[str, str],
        measures: Sequence[str],
        threads: int,
    ) -> None:
        """Load the models.

        Args:
            vocoders: the vocoder of each language, a folder or another name of weights.
            recognizer: the recognizer.
            writes_text: back-translations have a text; if not, their speech is transcribed.
            translates_texts_back: a row that is not spoken has a back-translation too.
            cascade: the text-to-speech voice of each language that speaks the policy's text as a baseline; {}: no
                baseline.
            measures: the names of `evaluate.speech_measures`.
            threads: threads of the models, in the whole process.
        """
        self.listener = _Listener(vocoders, recognizer, threads)
        self.writes_text, self.translates_texts_back = writes_text, translates_texts_back
        self.speakers = Speakers(dict(cascade), threads) if cascade else None
        self.measures = SpeechMeasures(measures, threads) if measures else None

    def process(self, rows: list[Row]) -> list[Row]:
        """Return rows of EVALUATED; a translation without units counts as silence, with an empty transcript."""
        evaluated = [
            read_evaluated(row, self.writes_text and (row[SPOKEN] or self.translates_texts_back)) for row in rows
        ]
        spoken = [row for row in evaluated if row[SPOKEN]]
        for row, verdict in self._judge_units(spoken, "units", "tgt_lang", detects=True):
            row["asr_text"], row["mos"] = verdict.text or "", verdict.mos
            row["spoken_lang"], row["speech_s"] = verdict.lang, verdict.seconds
            row["source_s"] = count_seconds(row["durations"])
            if self.measures:
                row |= self.measures.measure(verdict.wave, row[RECORDING])
        if not self.writes_text:
            for row, verdict in self._judge_units(spoken, "back_translation_units", "src_lang"):
                row["back_translation"] = verdict.text or ""
        if self.speakers:
            self._judge_cascade([row for row in spoken if row["text"]], self.speakers)
        return evaluated

    def _judge_units(
        self, rows: Sequence[Row], units: str, language: str, detects: bool = False
    ) -> list[tuple[Row, _Verdict]]:
        """Return each row with the verdict on its units; `units` and `language` are names of columns."""
        pairs = [(row, _Verdict()) for row in rows if not row[units]]
        for lang in sorted({row[language] for row in rows}):
            voiced = [row for row in rows if row[units] and row[language] == lang]
            verdicts = self.listener.rate_units([row[units] for row in voiced], lang, detects)
            pairs += zip(voiced, verdicts, strict=True)
        return pairs

    def _judge_cascade(self, rows: Sequence[Row], speakers: Speakers) -> None:
        for lang in sorted({row["tgt_lang"] for row in rows} & speakers.languages):
            in_lang = [row for row in rows if row["tgt_lang"] == lang]
            waves = speakers.speak([row["text"] for row in in_lang], lang)
            for row, verdict in zip(in_lang, self.listener.rate(waves, lang), strict=True):
                row["cascade_text"], row["cascade_mos"] = verdict.text, verdict.mos


class ToplineJudge(RowActor):
    """Judges test recordings, and their resynthesis from units: the scores of a perfect translation.

    Rows in: UTTERANCE (or UNITS without an `encoder`: then only the resynthesised speech is judged); rows out: TOPLINE.
    """

    schema: ClassVar[pa.Schema] = TOPLINE

    def __init__(
        self,
        vocoders: Mapping[str, str],
        recognizer: RecognizerConfig,
        encoder: EncoderConfig | None,
        langs: Sequence[str],
        threads: int,
    ) -> None:
        """Load the models.

        Args:
            vocoders: the vocoder of each language, a folder or another name of weights.
            recognizer: the recognizer.
            encoder: what makes the units of recordings; None: the rows have units and no recording.
            langs: the languages of the recipe.
            threads: threads of the models, in the whole process.
        """
        self.encoder = Encoder(encoder, langs, threads) if encoder else None
        self.listener = _Listener(vocoders, recognizer, threads)

    def process(self, rows: list[Row]) -> list[Row]:
        """Return rows of TOPLINE in the order of the rows; `reference` is the transcript of the recording."""
        rows = self.encoder.process(rows) if self.encoder else rows
        judged = {
            row["utt_id"]: row for lang in sorted({row["lang"] for row in rows}) for row in self._judge(rows, lang)
        }
        return [judged[row["utt_id"]] for row in rows]

    def _judge(self, rows: Sequence[Row], lang: str) -> list[Row]:
        in_lang = [row for row in rows if row["lang"] == lang]
        originals = self._judge_recordings(in_lang, lang)
        resynthesised = self.listener.rate_units([row["units"] for row in in_lang], lang)
        return [
            row
            | {"reference": row["text"], "audio_asr": original.text, "audio_mos": original.mos}
            | {"resynthesised_asr": again.text, "resynthesised_mos": again.mos}
            for row, original, again in zip(in_lang, originals, resynthesised, strict=True)
        ]

    def _judge_recordings(self, rows: Sequence[Row], lang: str) -> list[_Verdict]:
        from factory.corpora.audio import read

        if self.encoder is None:
            return [_Verdict()] * len(rows)
        return self.listener.rate([read(row["audio"]) for row in rows], lang)
