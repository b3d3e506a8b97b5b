"""samples: a few pairs as WAV files with their texts, to hear what a round's labels mean."""

from __future__ import annotations

import csv
import io
from typing import Any

from factory.files import exists, filesystem, put
from factory.passes.produce import voices
from factory.recipe import Recipe
from factory.store import DatasetDir
from schemas.sequences import Variant, parse

Row = dict[str, Any]
EACH = 3
"""Pairs of each direction."""


def speak_samples(pairs: DatasetDir, recipe: Recipe, folder: str) -> None:
    """Write source, chosen and rejected of the pairs with the widest margins as WAV into `folder`, and what they say in `texts.tsv`."""
    import ray

    if exists(f"{folder}/texts.tsv"):
        return
    kept = sorted(pairs.rows(status="ok").to_pylist(), key=lambda row: (-row["margin"], row["pair_id"]))
    some = [row for lang in recipe.languages for row in [pair for pair in kept if pair["src_lang"] == lang][:EACH]]
    speak = ray.remote(num_cpus=1)(_speak)
    ray.get(speak.remote(some, voices(recipe), recipe.policy.variant, folder))


def _speak(rows: list[Row], vocoders: dict[str, str], variant: Variant, folder: str) -> None:
    """Run in a worker, so that the models' memory is free again afterwards."""
    from factory.actors.vocoder import Voice
    from factory.audio import encode

    speakers = {lang: Voice(checkpoint) for lang, checkpoint in vocoders.items()}
    fs, path = filesystem(folder)
    table = io.StringIO()
    texts = csv.writer(table, delimiter="\t", lineterminator="\n")
    texts.writerow(["pair_id", "metric", "margin", "chosen_text", "rejected_text"])
    for row in rows:
        for name, (lang, units) in _sounds(row, variant).items():
            put(fs, f"{path}/{row['pair_id']}.{name}.wav", encode(speakers[lang].speak([units])[0], "WAV"))
        texts.writerow([row["pair_id"], row["metric"], f"{row['margin']:.3f}", row["chosen_text"], row["rejected_text"]])
    put(fs, f"{path}/texts.tsv", table.getvalue().encode())


def _sounds(row: Row, variant: Variant) -> dict[str, tuple[str, list[int]]]:
    """Read the units back out of the pair's strings, each with its language."""
    source = parse(Variant.VANILLA, row["prompt"].partition(f"<|{row['tgt_lang']}|>")[2]).units
    sides = {name: parse(variant, row[name]).units for name in ("chosen", "rejected")}
    found = {"source": (row["src_lang"], source)} | {name: (row["tgt_lang"], units) for name, units in sides.items()}
    return {name: (lang, units) for name, (lang, units) in found.items() if units}
