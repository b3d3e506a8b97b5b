"""Joins languages of FLEURS (Conneau et al., 2022): the same sentences in each, for every direction between them.

    python -m factory.corpora.fleurs --fleurs fr_fr.tar.gz en_us.tar.gz es_419.tar.gz --out data/fleurs

A folder or archive of FLEURS holds one language: `fr_fr/train.tsv` (and dev, test) without a header, with the number of
the sentence first, and the recordings `fr_fr/audio/train/1234.wav`. A sentence has the same number in all languages and
up to three recordings in each. Its first recording becomes a row of UTTERANCE, `fleurs_NUMBER/fr`. With three or more
languages a round finds the reference of `NAME/fr` in `NAME/en`; with two, each row has the text of the other side.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from factory.arguments import run_command
from factory.corpora.archive import Clips, count_failed, write_utterances
from factory.corpora.base import CorpusError
from factory.corpora.layouts import SENTENCE
from schemas.datasets import Row

TABLES = ("train.tsv", "dev.tsv", "test.tsv")


class Language(NamedTuple):
    """FLEURS in one language: its clips, its code, and the text of each sentence by its number."""

    clips: Clips
    lang: str
    texts: dict[str, str]


def read_language(path: Path) -> Language:
    """Read the tables of a language. Raises CorpusError if they are not those of FLEURS."""
    clips = Clips(path, TABLES)
    rows = clips.read_lines()
    count_failed(rows)
    texts = {row[SENTENCE]: row["text"] for row in reversed(rows) if row.get(SENTENCE) and row["text"]}
    langs = {row["lang"] for row in rows if row.get(SENTENCE)}
    if not texts or len(langs) != 1 or "" in langs:
        raise CorpusError(
            f"{path} is not one language of FLEURS (languages of its lines: {sorted(langs)}): expected fr_fr.tar.gz, "
            "or the folder fr_fr with train.tsv, dev.tsv and test.tsv"
        )
    return Language(clips, langs.pop(), texts)


def read_utterances(languages: Sequence[Language]) -> Iterator[Row]:
    """Yield a row of UTTERANCE for each sentence and language, in the order of the archives."""
    for clips, lang, _ in languages:
        others = [other.texts for other in languages if other.lang != lang]
        seen: set[str] = set()
        for row in clips.read_rows():
            number = row.get(SENTENCE)
            if number and row["audio"] and not row.get("status") and number not in seen:
                seen.add(number)
                reference = others[0].get(number) if len(others) == 1 else None
                yield row | {"utt_id": f"fleurs_{number}/{lang}", "reference": reference}


def main(argv: list[str] | None = None) -> int:
    """Convert the archives; return 0, or 2 after printing one sentence on stderr."""
    parser = argparse.ArgumentParser(
        prog="python -m factory.corpora.fleurs", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument(
        "--fleurs", type=Path, required=True, nargs="+", help="FLEURS in each language: fr_fr.tar.gz, or a folder fr_fr"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to write train, dev and test into")
    return run_command("fleurs", lambda: _convert(parser.parse_args(argv)))


def _convert(arguments: argparse.Namespace) -> int:
    languages = [read_language(path) for path in arguments.fleurs]
    langs = [language.lang for language in languages]
    if len(set(langs)) < max(2, len(langs)):
        raise CorpusError(f"--fleurs must name two or more languages, each once; got {', '.join(langs)}")
    print(write_utterances(read_utterances(languages), arguments.out))
    return 0


if __name__ == "__main__":
    sys.exit(main())
