"""Joins CoVoST 2 (Wang et al., 2020) with Common Voice 4: speech with its translation as text, for S2T test sets.

    python -m factory.corpora.covost --covost covost_v2.fr_en.tsv.tar.gz --common-voice cv-corpus-4/fr.tar.gz --out data

Several pairs of languages are given together, in the same order: `--covost FR_EN ES_EN --common-voice FR ES`.

CoVoST 2 holds only translations: `covost_v2.fr_en.tsv` with the columns `path`, `translation` and `split`. The clip
`clips/common_voice_fr_1.mp3` and its sentence (`validated.tsv`) come from Common Voice 4. Both are joined by file name.
A clip becomes one row of UTTERANCE, `common_voice_fr_1/fr-en`, with the translation as its reference. A split such as
`train_covost` holds clips that are in no split of Common Voice; it counts as `train`.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from factory.arguments import run_command
from factory.corpora.archive import Clips, count_failed, write_utterances
from factory.corpora.base import CorpusError
from factory.corpora.columns import Options
from factory.corpora.common_voice import find_ids
from factory.corpora.layouts import read_table_rows
from factory.corpora.tar import read_members
from factory.corpora.text import normalise_language
from factory.storage.files import filesystem, get
from schemas.datasets import Row

_TABLE = re.compile(r"(covost_v2\.([\w-]+?)_([\w-]+)\.tsv)(\.tar\.gz)?")


class Translations(NamedTuple):
    """The lines of a table of CoVoST 2 by clip, and its languages."""

    src: str
    tgt: str
    lines: dict[str, Row]


def read_translations(path: Path) -> Translations:
    """Read a table of CoVoST 2. Raises CorpusError if its name or its columns are those of another file."""
    match = _TABLE.fullmatch(path.name)
    if not match:
        raise CorpusError(f"{path} is no table of CoVoST 2: expected covost_v2.fr_en.tsv, or its .tar.gz")
    src, tgt = normalise_language(match[2]), normalise_language(match[3])
    rows = [line.row for line in read_table_rows(match[1], _read_table(path, match[1]), Options())]
    count_failed(rows)
    lines = {row["utt_id"]: row for row in rows if row["reference"] and row["split"] and not row.get("status")}
    if not lines:
        raise CorpusError(f"{path} has no line with a translation and a split: expected path, translation and split")
    return Translations(src, tgt, lines)


def _read_table(path: Path, name: str) -> bytes:
    """Return the content of a table, or of the member `name` of its archive."""
    if not path.is_file():
        raise CorpusError(f"there is no file {path}: expected covost_v2.fr_en.tsv, or its .tar.gz")
    if path.name == name:
        return get(*filesystem(str(path)))
    members = read_members(str(path), str(path), Counter())
    content = next((content for member, content in members if PurePosixPath(member).name == name), None)
    if content is None:
        raise CorpusError(f"{path} holds no {name}: give the archive as you downloaded it")
    return content


def read_utterances(translations: Translations, common_voice: Clips) -> Iterator[Row]:
    """Yield a row for each clip that has a sentence and a translation, in the order of Common Voice.

    Raises CorpusError if the clips have another language, or no file name matches.
    """
    src, tgt, lines = translations
    rows = common_voice.read_lines()
    count_failed(rows)
    found = find_ids(rows, src, common_voice.path) & lines.keys()
    if not found:
        problem = f"no file name of covost_v2.{src}_{tgt}.tsv occurs in {common_voice.path}"
        raise CorpusError(f"{problem}: CoVoST 2 needs Common Voice version 4 of its source language")
    print(f"left out, no clip in {common_voice.path}: {len(lines) - len(found)} of {len(lines)}", flush=True)
    for row in common_voice.read_rows():
        if row["utt_id"] in found and row["text"] and row["audio"] and not row.get("status"):
            line = lines[row["utt_id"]]
            names = {"utt_id": f"{row['utt_id']}/{src}-{tgt}", "lang": src}
            yield row | names | {"reference": line["reference"], "split": line["split"].removesuffix("_covost")}


def main(argv: list[str] | None = None) -> int:
    """Convert the tables; return 0, or 2 after printing one sentence on stderr."""
    parser = argparse.ArgumentParser(
        prog="python -m factory.corpora.covost", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument(
        "--covost", type=Path, required=True, nargs="+", help="covost_v2.fr_en.tsv.tar.gz, or the table in it"
    )
    parser.add_argument(
        "--common-voice",
        type=Path,
        required=True,
        nargs="+",
        help="Common Voice 4 of the source language of each table: fr.tar.gz, or a folder",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to write train, dev and test into")
    return run_command("covost", lambda: _convert(parser.parse_args(argv)))


def _convert(arguments: argparse.Namespace) -> int:
    tables, voices = arguments.covost, arguments.common_voice
    if len(tables) != len(voices) or len(set(tables)) < len(tables):
        raise CorpusError(
            "--covost and --common-voice must have one value for each pair of languages, in the same order; got "
            f"{' '.join(map(str, tables))} and {len(voices)} of Common Voice"
        )
    pairs = [
        (read_translations(table), Clips(voice, ("validated.tsv",)))
        for table, voice in zip(tables, voices, strict=True)
    ]
    print(write_utterances(chain.from_iterable(read_utterances(*pair) for pair in pairs), arguments.out))
    return 0


if __name__ == "__main__":
    sys.exit(main())
