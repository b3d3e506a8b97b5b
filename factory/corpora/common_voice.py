"""Common Voice as it is downloaded (an archive or its folder, with `clips/` and TSVs), written as untranslated speech.

    python -m factory.corpora.common_voice --archive cv-corpus-4/en.tar.gz --lang en --out data
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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


def utterances(archive: Path, lang: str, table: str = "validated") -> Iterator[Row]:
    """Yield a row of UTTERANCE for each clip that the TSV lists; the archive is read twice, for its TSVs stand behind its clips."""
    listed = sentences(archive, table)
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
    asked = parser.parse_args(argv)
    print(write_shards(utterances(asked.archive, asked.lang, asked.table), asked.out))


if __name__ == "__main__":
    main()
