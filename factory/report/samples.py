"""Sample pairs of a round as WAV files with their texts, to listen to what its labels mean."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from factory.corpora.audio import encode
from factory.planning.places import Round
from factory.recipe.directions import Direction
from factory.report.pairs import ShownPair, join_scored, margin_key
from factory.report.players import find_recordings, load_vocoders, make_waves
from factory.storage.files import exists, filesystem, put
from factory.storage.names import file_name
from schemas.datasets import OK

PAIRS_PER_DIRECTION = 3
SIDES = ("source", "chosen", "rejected")


def has_samples(round_: Round) -> bool:
    """Return True if the round has all its samples: `texts.tsv` is written last."""
    return exists(f"{round_.uri}/samples/texts.tsv")


def write_samples(round_: Round) -> None:
    """Write source, chosen and rejected of the pairs with the widest margins into `samples`, as `NAME.<side>.wav`.

    NAME is the `file_name` of the pair's id. `texts.tsv` (a table with quotes, as `csv.excel_tab` reads it) has the
    name, the id and the texts of both sides.
    """
    fs, folder = filesystem(f"{round_.uri}/samples")
    recipe = round_.recipe
    rows = sorted(round_.pairs.rows(status=OK).to_pylist(), key=margin_key)
    widest = [
        row
        for direction in recipe.used_directions
        for row in [row for row in rows if Direction.of_row(row) == direction][:PAIRS_PER_DIRECTION]
    ]
    pairs = join_scored(widest, round_.scored)
    recordings = find_recordings(recipe.corpus.mono, [pair["utt_id"] for pair in pairs])
    waves = make_waves(pairs, recordings, load_vocoders(recipe), with_back_translations=False)
    for pair in pairs:
        for side in SIDES:
            if (wave := waves.get(f"{pair['pair_id']}.{side}")) is not None:
                put(fs, f"{folder}/{file_name(pair['pair_id'])}.{side}.wav", encode(wave, "WAV"))
    put(fs, f"{folder}/texts.tsv", _texts(pairs).encode())


def _texts(pairs: Sequence[ShownPair]) -> str:
    table = io.StringIO()
    texts = csv.writer(table, csv.excel_tab)
    texts.writerow(["name", "pair_id", "metric", "margin", "chosen_text", "rejected_text"])
    for pair in pairs:
        head = [file_name(pair["pair_id"]), pair["pair_id"], pair["metric"], f"{pair['margin']:.3f}"]
        texts.writerow([*head, pair["chosen"]["text"], pair["rejected"]["text"]])
    return table.getvalue()
