"""Joins CVSS (Jia et al., 2022) with Common Voice 4: paired speech, and test sets in both directions.

    python -m factory.corpora.cvss --cvss cvss_c_fr_en_v1.0.tar.gz --common-voice cv-corpus-4/fr.tar.gz --out data

Several source languages are given together, in the same order: `--cvss FR ES --common-voice FR ES --src fr es`.

CVSS holds only the English side: `train/common_voice_fr_1.mp3.wav`, and `train.tsv` without a header, with lines
`common_voice_fr_1.mp3<TAB>translation` (the same for `dev` and `test`, and for CVSS-C and CVSS-T). The source clip
`clips/common_voice_fr_1.mp3` and its sentence (`validated.tsv`) come from Common Voice 4. Both are joined by file name.
A pair becomes two rows of UTTERANCE, `common_voice_fr_1/fr` and `.../en`, each with the text of the other as its
reference. A pair without a sentence is left out and counted. A pair with one missing clip becomes one row, which round
0 leaves out.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from factory.arguments import run_command
from factory.corpora.archive import Clips, count_failed, write_utterances
from factory.corpora.base import CorpusError
from factory.corpora.common_voice import find_ids
from factory.corpora.text import normalise_language
from schemas.datasets import Row

TABLES = ("train.tsv", "dev.tsv", "test.tsv")
TARGET = "en"
_CLIP = re.compile(r"common_voice_([\w-]+)_\d+")


class Pair(NamedTuple):
    """The texts of a pair, its split, and the speaker of the source."""

    split: str
    translation: str
    sentence: str
    speaker: str | None


def join_texts(cvss: Clips, common_voice: Clips, src: str) -> tuple[dict[str, Pair], Counter[str]]:
    """Join the tables of both archives by file name.

    Args:
        cvss: the translations.
        common_voice: the sources.
        src: the source language.

    Returns:
        The pairs by clip name, and per split how many lines of CVSS have no sentence.

    Raises:
        CorpusError: a table is missing, an archive has another source language, or no file name matches.
    """
    translated, lines = cvss.read_lines(), common_voice.read_lines()
    _check_source(translated, src, cvss.path)
    ids = find_ids(lines, src, common_voice.path)
    sentences = {row["utt_id"]: row for row in lines if row["utt_id"] in ids and not row.get("status")}
    count_failed([*translated, *lines])
    pairs, left_out = {}, Counter[str]()
    for row in translated:
        source = sentences.get(row["utt_id"])
        if source and source["text"] and row["text"]:
            pairs[row["utt_id"]] = Pair(row["split"], row["text"], source["text"], source["speaker"])
        else:
            left_out[row["split"]] += 1
    if not pairs:
        problem = f"no file name of {cvss.path} occurs in {common_voice.path}"
        raise CorpusError(f"{problem}: CVSS needs Common Voice version 4 of the same language")
    return pairs, left_out


def _check_source(rows: list[Row], src: str, path: Path) -> None:
    """Raise CorpusError if the names of the clips show another source language."""
    langs = Counter(match[1] for row in rows if (match := _CLIP.fullmatch(row["utt_id"])))
    if langs and not langs[src]:
        found = langs.most_common(1)[0][0]
        raise CorpusError(f"the clips of {path} are in {found}, but --src is {src}: give --src {found}")


def read_utterances(cvss: Clips, common_voice: Clips, src: str) -> Iterator[Row]:
    """Yield the two rows of every pair: first all source clips, then all translations, in the order of the archives."""
    pairs, left_out = join_texts(cvss, common_voice, src)
    if left_out:
        print(f"left out, no sentence in {common_voice.path}: {dict(left_out)}", flush=True)
    for row in common_voice.read_rows():
        if (pair := pairs.get(row["utt_id"])) and row["audio"] and not row.get("status"):
            yield _make_row(row, src, pair, pair.sentence, pair.translation) | {"speaker": pair.speaker}
    for row in cvss.read_rows():
        if (pair := pairs.get(row["utt_id"])) and row["audio"] and not row.get("status"):
            yield _make_row(row, TARGET, pair, pair.translation, pair.sentence)


def _make_row(row: Row, lang: str, pair: Pair, text: str, reference: str) -> Row:
    utterance = {"utt_id": f"{row['utt_id']}/{lang}", "lang": lang, "audio": row["audio"]}
    return utterance | {"text": text, "reference": reference, "split": pair.split}


def main(argv: list[str] | None = None) -> int:
    """Convert both archives; return 0, or 2 after printing one sentence on stderr."""
    parser = argparse.ArgumentParser(prog="python -m factory.corpora.cvss", description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--cvss", type=Path, required=True, nargs="+", help="cvss_c_fr_en_v1.0.tar.gz (or cvss_t_...), or a folder"
    )
    parser.add_argument(
        "--common-voice",
        type=Path,
        required=True,
        nargs="+",
        help="Common Voice 4 of each source language: fr.tar.gz, or a folder",
    )
    parser.add_argument(
        "--src",
        type=normalise_language,
        nargs="+",
        default=["fr"],
        help="ISO 639 code of each source language (default: fr)",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to write train, dev and test into")
    return run_command("cvss", lambda: _convert(parser.parse_args(argv)))


def _convert(arguments: argparse.Namespace) -> int:
    numbers = [len(arguments.cvss), len(arguments.common_voice), len(arguments.src)]
    if len(set(numbers)) > 1 or len(set(arguments.src)) < len(arguments.src):
        raise CorpusError(
            "--cvss, --common-voice and --src must have one value for each language, in the same order; got "
            f"{numbers[0]}, {numbers[1]} and {' '.join(arguments.src)}"
        )
    archives = zip(arguments.cvss, arguments.common_voice, arguments.src, strict=True)
    languages = [(Clips(cvss, TABLES), Clips(voices, ("validated.tsv",)), src) for cvss, voices, src in archives]
    rows = chain.from_iterable(read_utterances(*language) for language in languages)
    print(write_utterances(rows, arguments.out))
    return 0


if __name__ == "__main__":
    sys.exit(main())
