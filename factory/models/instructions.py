"""What an audio LLM is asked to do, in words; exports for the toolkits of audio LLMs ask the same."""

from __future__ import annotations

_ANSWER = "Answer with the translation only."


def ask_for_speech(src_lang: str, tgt_lang: str) -> str:
    """Return the instruction that stands behind a recording, for languages by their ISO 639-1 codes."""
    return f"Translate the {name_language(src_lang)} speech into {name_language(tgt_lang)}. {_ANSWER}"


def ask_for_text(src_lang: str, tgt_lang: str, text: str) -> str:
    """Return the instruction to translate a text, with the text below it."""
    return f"Translate the {name_language(src_lang)} text into {name_language(tgt_lang)}. {_ANSWER}\n\n{text}"


def name_language(code: str) -> str:
    """Return the English name of a language; a code that has none (`has_name`) stays a code."""
    return _names()[code].title() if has_name(code) else code


def has_name(code: str) -> bool:
    """Return True if an instruction can name the language of a code: the languages are Whisper's."""
    return code in _names()


def _names() -> dict[str, str]:
    from transformers.models.whisper.tokenization_whisper import LANGUAGES

    return LANGUAGES
