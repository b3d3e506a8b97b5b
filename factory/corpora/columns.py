"""Maps the columns of public corpora to the columns of UTTERANCE.

The known names are those of Roundtrip, NeMo, Common Voice, FLEURS and VoxPopuli. A column that an option names wins;
otherwise the first known name that has a value in the row.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from factory.corpora.base import CorpusError, mark_failed
from factory.corpora.text import clean_text, escape_surrogates, normalise_language
from schemas.datasets import Row

COLUMN_NAMES: dict[str, tuple[str, ...]] = {
    "utt_id": ("utt_id", "audio_id", "id_"),
    "lang": ("lang", "locale", "language"),
    "text": ("text", "sentence", "transcription", "transcript", "normalized_text", "raw_text"),
    "reference": ("reference", "translation"),
    "speaker": ("speaker", "client_id", "speaker_id"),
    "split": ("split",),
    "path": ("path", "audio_filepath", "file_name", "file"),
}
"""The names that each column of UTTERANCE may have in a corpus, in order of preference."""


@dataclass(frozen=True)
class Options:
    """The options after the `?` of a corpus."""

    lang: str = ""
    """Language of rows that name none."""
    text: str | None = None
    """Column of the transcripts; None: the first known name."""
    config: str | None = None
    """Configuration of a Hugging Face dataset."""
    split: str | None = None
    """Split of a Hugging Face dataset; None: `train`."""


def find_value(row: Mapping[str, object], column: str) -> object:
    """Return the value of a column of UTTERANCE under any of its known names; None if there is none."""
    return next((row[name] for name in COLUMN_NAMES[column] if not _is_empty(row.get(name))), None)


def _is_empty(value: object) -> bool:
    """Return whether a cell is empty: NaN, the empty cell of numeric tables, is not equal to itself."""
    return value is None or value == "" or value != value


def to_utterance(row: Mapping[str, object], options: Options, lang: str = "") -> Row:
    """Return the columns of UTTERANCE that a row has, as text; the audio is left out.

    Args:
        row: cells by column name.
        options: the options of the corpus.
        lang: the language if neither the row nor the options name one.

    Returns:
        The row; it is failed if a column holds neither text nor a number.
    """
    values = {column: find_value(row, column) for column in ("utt_id", "lang", "text", "reference", "speaker", "split")}
    if options.text:
        values["text"] = None if _is_empty(row.get(options.text)) else row[options.text]
    wrong = {column: value for column, value in values.items() if value is not None and not _is_text_or_number(value)}
    values |= dict.fromkeys(wrong)
    own_lang = values["lang"] if isinstance(values["lang"], str) else None
    utterance: Row = {
        "utt_id": _to_text(values["utt_id"]),
        "lang": normalise_language(own_lang or options.lang or lang),
        "text": clean_text(values["text"]),
        "reference": clean_text(values["reference"]),
        "speaker": _to_text(values["speaker"]),
        "split": _to_text(values["split"]),
    }
    types = ", ".join(f"{column} is a {type(value).__name__}" for column, value in wrong.items())
    return mark_failed(utterance, f"not_text: {types}; expected text") if wrong else utterance


def _is_text_or_number(value: object) -> bool:
    return isinstance(value, (str, int, float)) and not isinstance(value, bool)


def _to_text(value: object) -> str | None:
    """Return a text or number as text; 7 and 7.0 are both "7"."""
    if value is None:
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return escape_surrogates(str(value))


def check_text_option(columns: Collection[str], options: Options, source: str) -> None:
    """Raise CorpusError if the option `text` names a column that `source` does not have."""
    if options.text and options.text not in columns:
        raise CorpusError(
            f"{source} has no column {options.text} (option text={options.text}); it has {', '.join(columns)}"
        )
