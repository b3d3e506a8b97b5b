"""Common Voice as it is downloaded (an archive or its folder, with `clips/` and TSVs), written as untranslated speech.

    python -m factory.corpora.common_voice --archive cv-corpus-19/fr.tar.gz --lang fr --exclude data/cvss_c --out data

Paired corpora are made of its clips: `--exclude` leaves out what another corpus holds, so that no round translates what round 0 has learned
or the test asks.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.dataset as pads

from factory.corpora.archive import members, named, tables, write_shards
from factory.corpus import CorpusError

Row = dict[str, Any]
AUDIO = (".mp3", ".wav")


def sentences(archive: Path, table: str = "validated") -> dict[str, Row]:
    """Return the rows of a TSV (`validated`, `train` ...) by the name of their clip, without its suffix; raises CorpusError without it."""
    found = tables(archive)
    if f"{table}.tsv" not in found:
        raise CorpusError(f"{archive} has no {table}.tsv; it has {', '.join(sorted(found)) or 'no TSV at all'}: is it Common Voice?")
    return {Path(row["path"]).stem: row for row in named(found[f"{table}.tsv"])}


def without(listed: dict[str, Row], corpus: Path, lang: str) -> dict[str, Row]:
    """Leave out the clips whose name, or whose sentence, an utterance in this language has in a corpus (Parquet files of UTTERANCE)."""
    found = pads.dataset(corpus, format="parquet").to_table(["utt_id", "text"], filter=pc.field("lang") == lang)
    names = {utt_id.partition("/")[0] for utt_id in found["utt_id"].to_pylist()}
    texts = set(found["text"].to_pylist())
    return {name: row for name, row in listed.items() if name not in names and row["sentence"] not in texts}


def utterances(archive: Path, lang: str, listed: dict[str, Row]) -> Iterator[Row]:
    """Yield a row of UTTERANCE for each clip that is `listed`; the archive is read twice, for its TSVs stand behind its clips."""
    for name, content in members(archive, AUDIO):
        if row := listed.get(Path(name).stem):
            yield {
                "utt_id": Path(name).stem,
                "lang": lang,
                "audio": {"bytes": content, "path": Path(name).name},
                "text": row["sentence"],
                "speaker": row.get("client_id"),
                "split": "mono",
            }


def main(argv: list[str] | None = None) -> None:
    """Write an archive as Parquet."""
    parser = argparse.ArgumentParser(prog="python -m factory.corpora.common_voice", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--archive", type=Path, required=True, help="the .tar.gz, or the folder with clips/ and the TSVs")
    parser.add_argument("--lang", required=True, help="ISO 639 code of its language")
    parser.add_argument("--table", default="validated", help="which TSV (default: %(default)s)")
    parser.add_argument("--out", type=Path, required=True, help="folder to write mono/*.parquet into")
    parser.add_argument("--exclude", type=Path, metavar="FOLDER", help="a corpus whose clips and sentences are left out, such as cvss_c")
    asked = parser.parse_args(argv)
    every = sentences(asked.archive, asked.table)
    listed = without(every, asked.exclude, asked.lang) if asked.exclude else every
    print(write_shards(utterances(asked.archive, asked.lang, listed), asked.out) | {"left out": len(every) - len(listed)})


if __name__ == "__main__":
    main()
