"""CVSS (Jia et al., 2022) joined with Common Voice 4 by file name: paired speech, and test sets in both directions.

    python -m factory.corpora.cvss --cvss cvss_c_fr_en_v1.0.tar.gz --common-voice cv-corpus-4/fr.tar.gz --out data/cvss_c

CVSS holds the English side alone: `train/common_voice_fr_1.mp3.wav` and `train.tsv` with
`common_voice_fr_1.mp3<TAB>translation`, no header (the same for `dev` and `test`, and for CVSS-C and CVSS-T). The
source clip `clips/common_voice_fr_1.mp3` and its sentence (`validated.tsv`) come from Common Voice, version 4. A pair
becomes two rows of UTTERANCE, `common_voice_fr_1/fr` and `…/en`, each with the other's text as its reference. A pair
without a sentence is left out and counted; where a clip is missing the other side stands alone, and round 0 leaves it
out.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from factory.arguments import run_command
from factory.corpora.archive import Clips, count_faults, write_shards
from factory.corpora.base import CorpusError
from factory.corpora.common_voice import of_language
from factory.corpora.text import language
from schemas.datasets import Row

TABLES = ("train.tsv", "dev.tsv", "test.tsv")
TARGET = "en"
_CLIP = re.compile(r"common_voice_([\w-]+)_\d+")


class Pair(NamedTuple):
    """What the tables say of a pair: its split, its translation, and the source's sentence and speaker."""

    split: str
    translation: str
    sentence: str
    speaker: str | None


def pairs(cvss: Clips, common_voice: Clips, src: str) -> tuple[dict[str, Pair], Counter[str]]:
    """Return the pairs by the name of their clip, and by split how many lines of CVSS have no sentence.

    Raises CorpusError when CVSS has no tables, when either is of another source language, or when nothing fits
    together.
    """
    translated, lines = cvss.lines(), common_voice.lines()
    _check_source(translated, src, cvss.place)
    named = of_language(lines, src, common_voice.place)
    sentences = {row["utt_id"]: row for row in lines if row["utt_id"] in named and not row.get("status")}
    count_faults([*translated, *lines])
    joined, lost = {}, Counter[str]()
    for row in translated:
        source = sentences.get(row["utt_id"])
        if source and source["text"] and row["text"]:
            joined[row["utt_id"]] = Pair(row["split"], row["text"], source["text"], source["speaker"])
        else:
            lost[row["split"]] += 1
    if not joined:
        told = f"no file name of {cvss.place} occurs in {common_voice.place}"
        raise CorpusError(f"{told}: CVSS belongs to Common Voice version 4 of the same language")
    return joined, lost


def _check_source(rows: list[Row], src: str, place: Path) -> None:
    """Raise CorpusError where the clips' names tell another source language than `src`."""
    langs = Counter(found[1] for row in rows if (found := _CLIP.fullmatch(row["utt_id"])))
    if langs and not langs[src]:
        raise CorpusError(
            f"the clips of {place} are in {langs.most_common(1)[0][0]}, and --src is {src}; give their own language"
        )


def utterances(cvss: Clips, common_voice: Clips, src: str) -> Iterator[Row]:
    """Yield the two rows of every pair, as the archives give them: first the source clips, then the translations."""
    joined, lost = pairs(cvss, common_voice, src)
    if lost:
        print(f"left out for want of a sentence in {common_voice.place}: {dict(lost)}", flush=True)
    for row in common_voice.rows():
        if (pair := joined.get(row["utt_id"])) and row["audio"] and not row.get("status"):
            yield _row(row, src, pair, pair.sentence, pair.translation) | {"speaker": pair.speaker}
    for row in cvss.rows():
        if (pair := joined.get(row["utt_id"])) and row["audio"] and not row.get("status"):
            yield _row(row, TARGET, pair, pair.translation, pair.sentence)


def _row(row: Row, lang: str, pair: Pair, text: str, reference: str) -> Row:
    head = {"utt_id": f"{row['utt_id']}/{lang}", "lang": lang, "audio": row["audio"]}
    return head | {"text": text, "reference": reference, "split": pair.split}


def main(argv: list[str] | None = None) -> int:
    """Write both archives as Parquet, `train`, `dev` and `test` below --out.

    Returns 0, or 2 with one sentence on stderr.
    """
    parser = argparse.ArgumentParser(prog="python -m factory.corpora.cvss", description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--cvss", type=Path, required=True, help="cvss_c_fr_en_v1.0.tar.gz (or cvss_t_…), or its folder"
    )
    parser.add_argument(
        "--common-voice",
        type=Path,
        required=True,
        help="Common Voice 4 of the source language: fr.tar.gz, or its folder",
    )
    parser.add_argument(
        "--src", type=language, default="fr", help="ISO 639 code of the source language (default: %(default)s)"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to write into")
    return run_command("cvss", lambda: _convert(parser.parse_args(argv)))


def _convert(asked: argparse.Namespace) -> int:
    cvss, common_voice = Clips(asked.cvss, TABLES), Clips(asked.common_voice, ("validated.tsv",))
    print(write_shards(utterances(cvss, common_voice, asked.src), asked.out))
    return 0


if __name__ == "__main__":
    sys.exit(main())
