"""The columns of other people's rows, mapped to those of UTTERANCE: ours, NeMo's, Common Voice's, FLEURS', VoxPopuli's.

A column that is named by an option wins; else the first of these names that a row has.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from factory.corpora.base import CorpusError, Row
from factory.corpora.text import clean_text, language, storable

NAMES: dict[str, tuple[str, ...]] = {
    "utt_id": ("utt_id", "audio_id", "id_"),
    "lang": ("lang", "locale", "language"),
    "text": ("text", "sentence", "transcription", "transcript", "normalized_text", "raw_text"),
    "reference": ("reference", "translation"),
    "speaker": ("speaker", "client_id", "speaker_id"),
    "split": ("split",),
    "path": ("path", "audio_filepath", "file_name", "file"),
}
"""For each column of ours the names that it has elsewhere, in the order of preference."""


@dataclass(frozen=True)
class Options:
    """What stands behind the `?` of a corpus: `lang` of rows that name none, `text`, the column of transcripts.

    `config` and `split` are those of a Hugging Face dataset.
    """

    lang: str = ""
    text: str | None = None
    config: str | None = None
    split: str | None = None


def find(row: Mapping[str, object], column: str) -> object:
    """Return the value of one of our columns in somebody else's row; None where it has none, or empty ones alone."""
    values = (row.get(name) for name in NAMES[column])
    return next((value for value in values if value is not None and value != ""), None)


def utterance(row: Mapping[str, object], options: Options, lang: str = "") -> Row:
    """Return the columns of UTTERANCE that a row has, but its audio, as texts.

    `lang` is the language where nothing else names one.
    """
    text = row.get(options.text) if options.text else find(row, "text")
    named = find(row, "lang") if not isinstance(find(row, "lang"), (int, float)) else None
    told: Row = {"utt_id": _name(find(row, "utt_id")), "lang": language(named or options.lang or lang)}
    told |= {"text": clean_text(text), "reference": clean_text(find(row, "reference"))}
    return told | {column: _name(find(row, column)) for column in ("speaker", "split")}


def _name(value: object) -> str | None:
    """Return a name as text; numbers are cast (7 and 7.0 are "7")."""
    if value is None:
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return storable(str(value))


def check_option(columns: Collection[str], options: Options, where: str) -> None:
    """Raise CorpusError where the option `text` names a column that is not there."""
    if options.text and options.text not in columns:
        raise CorpusError(
            f"{where} has no column {options.text}, which text={options.text} names; it has {', '.join(columns)}"
        )
