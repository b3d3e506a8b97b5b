"""Common Voice as it is downloaded (an archive or its folder), written as untranslated speech in Parquet.

    python -m factory.corpora.common_voice --archive cv-corpus-19/fr.tar.gz --lang fr --exclude data/cvss_c --out data

A recipe can name the archive itself (`corpus.mono`); as Parquet it is read much faster, and clips can be left out:
paired corpora are made of Common Voice's clips, and `--exclude` leaves out what another corpus holds, so that no round
translates what round 0 has learned or the test asks.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads

from factory.arguments import run_command
from factory.corpora.archive import Clips, count_faults, write_shards
from factory.corpora.base import CorpusError
from factory.corpora.text import language
from schemas.datasets import Row


def of_language(rows: Sequence[Row], lang: str, place: Path) -> set[str]:
    """Return the ids of the rows in a language, by the table's own locale or the name of its folder.

    A single table without a locale is taken to be in `lang`. Raises CorpusError where the tables are in other
    languages.
    """
    langs = Counter(row["lang"] for row in rows)
    if set(langs) <= {""}:
        return {row["utt_id"] for row in rows}
    if not langs[lang]:
        there = ", ".join(f"{name or 'no language'} {count:,}" for name, count in langs.most_common(5))
        raise CorpusError(f"the clips of {place} are not in {lang} (clips by locale: {there}); give their own language")
    return {row["utt_id"] for row in rows if row["lang"] == lang}


def held_by(corpus: Path, lang: str) -> tuple[set[str], set[str | None]]:
    """Return the names and the texts of the utterances in this language that a corpus has (Parquet files of UTTERANCE).

    Raises CorpusError where it is none.
    """
    try:
        held = pads.dataset(corpus, format="parquet").to_table(["utt_id", "text"], filter=pc.field("lang") == lang)
    except (pa.ArrowException, OSError) as error:
        told = f"--exclude {corpus} is no folder of Parquet alone with the columns utt_id, lang and text"
        found = str(error).partition("\n")[0]
        raise CorpusError(f"{told} ({found}): give what --out of this command, or of cvss, wrote") from error
    return {utt_id.partition("/")[0] for utt_id in held["utt_id"].to_pylist()}, set(held["text"].to_pylist())


def utterances(clips: Clips, lang: str, exclude: Path | None, lost: Counter[str]) -> Iterator[Row]:
    """Yield a row of UTTERANCE for each clip in `lang` that `exclude` does not hold.

    Count the others in `lost`, by reason.
    """
    lines = clips.lines()
    named = of_language(lines, lang, clips.place)
    names, texts = held_by(exclude, lang) if exclude else (set(), set())
    lost += count_faults(row for row in lines if row["utt_id"] in named)
    for row in clips.rows():
        if row.get("status") or row["utt_id"] not in named:
            continue
        if row["utt_id"] in names or row["text"] in texts:
            lost["excluded"] += 1
        elif row["audio"] is None:
            lost["clip not there"] += 1
        else:
            yield row | {"lang": lang, "split": "mono"}


def main(argv: list[str] | None = None) -> int:
    """Write an archive as Parquet; returns 0, or 2 with one sentence on stderr."""
    parser = argparse.ArgumentParser(
        prog="python -m factory.corpora.common_voice", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument(
        "--archive", type=Path, required=True, help="the .tar.gz, or the folder with clips/ and the TSVs"
    )
    parser.add_argument("--lang", type=language, required=True, help="ISO 639 code of its language")
    parser.add_argument("--table", default="validated", help="which TSV (default: %(default)s)")
    parser.add_argument("--out", type=Path, required=True, help="folder to write mono/*.parquet into")
    parser.add_argument(
        "--exclude", type=Path, metavar="FOLDER", help="a corpus whose clips and sentences are left out, such as cvss_c"
    )
    return run_command("common_voice", lambda: _convert(parser.parse_args(argv)))


def _convert(asked: argparse.Namespace) -> int:
    lost: Counter[str] = Counter()
    clips = Clips(asked.archive, (f"{asked.table}.tsv",))
    written = write_shards(utterances(clips, asked.lang, asked.exclude, lost), asked.out)
    print(written | {f"left out, {reason}": count for reason, count in lost.items()})
    return 0


if __name__ == "__main__":
    sys.exit(main())
