"""A few pairs as WAV files with their texts, to hear what a round's labels mean."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from factory.corpora.audio import encode
from factory.planning.places import Run
from factory.recipe.paths import locate
from factory.recipe.recipe import Recipe
from factory.report.pairs import by_margin, joined
from factory.report.players import recordings_or_none, voices_of, waves_of
from factory.storage.files import exists, filesystem, put
from factory.storage.names import file_name
from schemas.datasets import OK, Row

EACH = 3
"""Pairs of each direction."""
SIDES = ("source", "chosen", "rejected")


def has_samples(run: Run, number: int) -> bool:
    """Whether the round has its samples: `texts.tsv` is written last."""
    return exists(f"{run.place(number)}/samples/texts.tsv")


def speak_samples(run: Run, number: int, recipe: Recipe) -> None:
    """Write source, chosen and rejected of the pairs with the widest margins into the round's `samples`, as
    `NAME.<side>.wav`.

    NAME is the `file_name` of the pair's id. `texts.tsv` (a table with quotes, as `csv.excel_tab` reads it) has it
    beside the id itself and what both sides say.
    """
    fs, folder = filesystem(f"{run.place(number)}/samples")
    kept = sorted(run.dataset(number, "pairs").rows(status=OK).to_pylist(), key=by_margin)
    widest = [row for lang in recipe.languages for row in [pair for pair in kept if pair["src_lang"] == lang][:EACH]]
    shown = joined(widest, run.dataset(number, "scored"))
    recorded = recordings_or_none(locate(recipe.corpus.mono), [row["utt_id"] for row in shown])
    waves = waves_of(shown, recorded, voices_of(recipe), back=False)
    for row in shown:
        for side in SIDES:
            if (wave := waves.get(f"{row['pair_id']}.{side}")) is not None:
                put(fs, f"{folder}/{file_name(row['pair_id'])}.{side}.wav", encode(wave, "WAV"))
    put(fs, f"{folder}/texts.tsv", _texts(shown).encode())


def _texts(shown: Sequence[Row]) -> str:
    table = io.StringIO()
    texts = csv.writer(table, csv.excel_tab)
    texts.writerow(["name", "pair_id", "metric", "margin", "chosen_text", "rejected_text"])
    for row in shown:
        head = [file_name(row["pair_id"]), row["pair_id"], row["metric"], f"{row['margin']:.3f}"]
        texts.writerow([*head, row["chosen"]["text"], row["rejected"]["text"]])
    return table.getvalue()
