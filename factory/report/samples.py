"""A few pairs as WAV files with their texts, to hear what a round's labels mean."""

from __future__ import annotations

import csv
import io

from factory.corpora.audio import encode
from factory.files import exists, filesystem, put
from factory.recipe import Recipe, locate
from factory.report.pairs import by_margin, joined
from factory.report.players import voices_of, waves_of
from factory.runs import Run
from schemas.datasets import OK

EACH = 3
"""Pairs of each direction."""


def speak_samples(run: Run, number: int, recipe: Recipe) -> None:
    """Write source, chosen and rejected of the pairs with the widest margins as WAV into the round's `samples`, and what they say in
    `texts.tsv`, which is written last.
    """
    fs, folder = filesystem(f"{run.place(number)}/samples")
    if exists(f"{run.place(number)}/samples/texts.tsv"):
        return
    kept = sorted(run.dataset(number, "pairs").rows(status=OK).to_pylist(), key=by_margin)
    widest = [row for lang in recipe.languages for row in [pair for pair in kept if pair["src_lang"] == lang][:EACH]]
    some = joined(widest, run.dataset(number, "scored"))
    for name, wave in waves_of(some, locate(recipe.corpus.mono), voices_of(recipe), back=False).items():
        put(fs, f"{folder}/{name}.wav", encode(wave, "WAV"))
    table = io.StringIO()
    texts = csv.writer(table, delimiter="\t", lineterminator="\n")
    texts.writerow(["pair_id", "metric", "margin", "chosen_text", "rejected_text"])
    for row in some:
        texts.writerow([row["pair_id"], row["metric"], f"{row['margin']:.3f}", row["chosen"]["text"], row["rejected"]["text"]])
    put(fs, f"{folder}/texts.tsv", table.getvalue().encode())
