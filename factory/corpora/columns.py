"""The columns of other people's rows, mapped to those of UTTERANCE: ours, NeMo's, Common Voice's, FLEURS', VoxPopuli's.

A column that is named by an option wins; else the first of these names that a row has.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from factory.corpora.base import CorpusError, failed_row
from factory.corpora.text import clean_text, language, storable
from schemas.datasets import Row

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
    return next((row[name] for name in NAMES[column] if not _is_empty(row.get(name))), None)


def _is_empty(value: object) -> bool:
    """Whether a cell holds nothing: NaN is what tables of numbers have in empty cells, and differs from itself."""
    return value is None or value == "" or value != value


def utterance(row: Mapping[str, object], options: Options, lang: str = "") -> Row:
    """Return the columns of UTTERANCE that a row has, but its audio, as texts.

    `lang` is the language where nothing else names one. A row is failed where a column holds neither text nor number.
    """
    found = {column: find(row, column) for column in ("utt_id", "lang", "text", "reference", "speaker", "split")}
    if options.text:
        found["text"] = None if _is_empty(row.get(options.text)) else row[options.text]
    odd = {column: value for column, value in found.items() if value is not None and not _is_name(value)}
    found |= dict.fromkeys(odd)
    named = found["lang"] if isinstance(found["lang"], str) else None
    told: Row = {"utt_id": _name(found["utt_id"]), "lang": language(named or options.lang or lang)}
    told |= {column: clean_text(found[column]) for column in ("text", "reference")}
    told |= {column: _name(found[column]) for column in ("speaker", "split")}
    kinds = ", ".join(f"{column} is a {type(value).__name__}" for column, value in odd.items())
    return failed_row(told, f"not_text: {kinds}, and a text is expected") if odd else told


def _is_name(value: object) -> bool:
    return isinstance(value, (str, int, float)) and not isinstance(value, bool)


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
