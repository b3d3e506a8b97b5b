"""Writes a Common Voice download (archive or folder) as untranslated speech in Parquet.

    python -m factory.corpora.common_voice --archive cv-corpus-19/fr.tar.gz --lang fr --exclude data/cvss_c --out data

A recipe can also name the archive itself (`corpus.mono`), but Parquet is read much faster, and clips can be left out.
Corpora of paired speech reuse clips of Common Voice: `--exclude` leaves out the clips of another corpus, so that no
round translates what round 0 has learned or what the test set holds.
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
from factory.corpora.archive import Clips, count_failed, write_utterances
from factory.corpora.base import CorpusError
from factory.corpora.text import normalise_language
from schemas.datasets import Row


def find_ids(rows: Sequence[Row], lang: str, source: Path) -> set[str]:
    """Return the ids of the rows in a language, by the locale of the table or the name of its folder.

    Rows of a table without a locale count as rows in `lang`. Raises CorpusError if `source`, the archive of the rows,
    has other languages only.
    """
    langs = Counter(row["lang"] for row in rows)
    if set(langs) <= {""}:
        return {row["utt_id"] for row in rows}
    if not langs[lang]:
        counts = ", ".join(f"{name or 'no language'} {count:,}" for name, count in langs.most_common(5))
        raise CorpusError(f"the clips of {source} are not in {lang} (clips by locale: {counts}); change the language")
    return {row["utt_id"] for row in rows if row["lang"] == lang}


def read_excluded(corpus: Path, lang: str) -> tuple[set[str], set[str | None]]:
    """Return the clip names and the texts of a corpus (Parquet of UTTERANCE) in one language.

    Raises CorpusError if it is not such a corpus.
    """
    columns = ["utt_id", "text"]
    try:
        table = pads.dataset(corpus, format="parquet").to_table(columns, filter=pc.field("lang") == lang)
    except (pa.ArrowException, OSError) as error:
        problem = f"--exclude {corpus} is not a folder of Parquet files with the columns utt_id, lang and text"
        message = str(error).partition("\n")[0]
        raise CorpusError(f"{problem} ({message}): give the --out folder of this command, or of cvss") from error
    return {utt_id.partition("/")[0] for utt_id in table["utt_id"].to_pylist()}, set(table["text"].to_pylist())


def read_utterances(clips: Clips, lang: str, exclude: Path | None, left_out: Counter[str]) -> Iterator[Row]:
    """Yield a row of UTTERANCE for each clip.

    Args:
        clips: the archive.
        lang: the language of the clips.
        exclude: a corpus whose clips and sentences are left out.
        left_out: counts the other clips, by reason.
    """
    lines = clips.read_lines()
    ids = find_ids(lines, lang, clips.path)
    names, texts = read_excluded(exclude, lang) if exclude else (set(), set())
    left_out += count_failed(row for row in lines if row["utt_id"] in ids)
    for row in clips.read_rows():
        if row.get("status") or row["utt_id"] not in ids:
            continue
        if row["utt_id"] in names or row["text"] in texts:
            left_out["excluded"] += 1
        elif row["audio"] is None:
            left_out["missing clip"] += 1
        else:
            yield row | {"lang": lang, "split": "mono"}


def main(argv: list[str] | None = None) -> int:
    """Convert an archive; return 0, or 2 after printing one sentence on stderr."""
    parser = argparse.ArgumentParser(
        prog="python -m factory.corpora.common_voice", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--archive", type=Path, required=True, help=".tar.gz, or a folder with clips/ and the TSVs")
    parser.add_argument("--lang", type=normalise_language, required=True, help="ISO 639 code of the language")
    parser.add_argument("--table", default="validated", help="name of the TSV (default: %(default)s)")
    parser.add_argument("--out", type=Path, required=True, help="folder to write mono/*.parquet into")
    parser.add_argument(
        "--exclude", type=Path, metavar="FOLDER", help="corpus whose clips and sentences are left out, such as cvss_c"
    )
    return run_command("common_voice", lambda: _convert(parser.parse_args(argv)))


def _convert(arguments: argparse.Namespace) -> int:
    left_out: Counter[str] = Counter()
    clips = Clips(arguments.archive, (f"{arguments.table}.tsv",))
    rows = read_utterances(clips, arguments.lang, arguments.exclude, left_out)
    written = write_utterances(rows, arguments.out)
    print(written | {f"left out, {reason}": count for reason, count in left_out.items()})
    return 0


if __name__ == "__main__":
    sys.exit(main())
