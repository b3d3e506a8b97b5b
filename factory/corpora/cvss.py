"""CVSS (Jia et al., 2022) joined with Common Voice 4 by file name: paired speech, and test sets with references in both directions.

    python -m factory.corpora.cvss --cvss cvss_c_fr_en_v1.0.tar.gz --common-voice cv-corpus-4/fr.tar.gz --src fr --out data/cvss_c

CVSS holds the English side alone: `train/common_voice_fr_1.mp3.wav` and `train.tsv` with `common_voice_fr_1.mp3<TAB>translation`, no
header (the same for `dev` and `test`, and for CVSS-C and CVSS-T). The source clip `clips/common_voice_fr_1.mp3` and its sentence
(`validated.tsv`) come from Common Voice, version 4. A pair becomes two rows of UTTERANCE, `common_voice_fr_1/fr` and `…/en`, each with
the other's text as its reference. A pair without a sentence is left out and counted; where a clip is missing the other side stands alone,
and round 0 leaves it out.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from factory.corpora.archive import members, tables, write_shards
from factory.corpora.common_voice import AUDIO, sentences
from factory.corpus import CorpusError

Row = dict[str, Any]
SPLITS = ("train", "dev", "test")
TARGET = "en"


class Pair(NamedTuple):
    """What the tables say of a pair: its split, its translation, and the source's sentence and speaker."""

    split: str
    translation: str
    sentence: str
    speaker: str | None


def pairs(cvss: Path, common_voice: Path) -> tuple[dict[str, Pair], Counter[str]]:
    """Return the pairs by the name of their clip, and how many rows of each split of CVSS have no sentence in Common Voice.

    Raises CorpusError when CVSS has no tables, or when nothing fits together.
    """
    spoken, found = sentences(common_voice), tables(cvss)
    if not any(f"{split}.tsv" in found for split in SPLITS):
        raise CorpusError(f"{cvss} has none of train.tsv, dev.tsv, test.tsv: expected cvss_c_<lang>_en_v1.0.tar.gz or its folder")
    joined, lost = {}, Counter[str]()
    for split in SPLITS:
        for name, translation in (row[:2] for row in found.get(f"{split}.tsv", []) if len(row) >= 2):
            if source := spoken.get(Path(name).stem):
                joined[Path(name).stem] = Pair(split, translation, source["sentence"], source.get("client_id"))
            else:
                lost[split] += 1
    if not joined:
        raise CorpusError(f"no file name of {cvss} occurs in {common_voice}: CVSS belongs to Common Voice version 4 of the same language")
    return joined, lost


def utterances(cvss: Path, common_voice: Path, src: str) -> Iterator[Row]:
    """Yield the two rows of every pair, as the archives give them: first the source clips, then the translations."""
    joined, lost = pairs(cvss, common_voice)
    if lost:
        print(f"left out for want of a sentence in {common_voice}: {dict(lost)}", flush=True)
    for name, content in members(common_voice, AUDIO):
        if pair := joined.get(Path(name).stem):
            yield _row(Path(name), src, content, pair, pair.sentence, pair.translation) | {"speaker": pair.speaker}
    for name, content in members(cvss, (".wav",)):
        clip = Path(Path(name).stem)  # common_voice_fr_1.mp3 of common_voice_fr_1.mp3.wav
        if pair := joined.get(clip.stem):
            yield _row(clip, TARGET, content, pair, pair.translation, pair.sentence)


def _row(clip: Path, lang: str, content: bytes, pair: Pair, text: str, reference: str) -> Row:
    audio = {"bytes": content, "path": clip.name}
    return {"utt_id": f"{clip.stem}/{lang}", "lang": lang, "audio": audio, "text": text, "reference": reference, "split": pair.split}


def main(argv: list[str] | None = None) -> None:
    """Write both archives as Parquet: `train`, `dev` and `test` below --out."""
    parser = argparse.ArgumentParser(prog="python -m factory.corpora.cvss", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cvss", type=Path, required=True, help="cvss_c_fr_en_v1.0.tar.gz (or cvss_t_…), or its folder")
    parser.add_argument("--common-voice", type=Path, required=True, help="Common Voice 4 of the source language: fr.tar.gz, or its folder")
    parser.add_argument("--src", default="fr", help="ISO 639 code of the source language (default: %(default)s)")
    parser.add_argument("--out", type=Path, required=True, help="folder to write into")
    asked = parser.parse_args(argv)
    print(write_shards(utterances(asked.cvss, asked.common_voice, asked.src), asked.out))


if __name__ == "__main__":
    main()
