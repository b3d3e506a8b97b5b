"""paired: speech with its spoken translation, as units for round 0 and as utterances that pairs can be made of."""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc

from factory.corpora.corpus import Speech
from factory.passes.align import align
from factory.passes.errors import PassError
from factory.passes.progress import Clock
from factory.passes.tokenize import tokenize
from factory.recipe.directions import Direction, Directions
from factory.recipe.recipe import Recipe
from factory.storage.dataset import DatasetDir
from schemas.datasets import OK, PAIRED, UNITS, WORD, Row
from schemas.fingerprint import json_digest


def pair_units(
    corpus: str, speech: Speech, recipe: Recipe, units: DatasetDir, words: DatasetDir, out: DatasetDir, clock: Clock
) -> None:
    """Write paired speech as rows of PAIRED, one per pair and direction that round 0 learns.

    The two sides of a pair are the utterances `NAME/LANG`. A pair without units on both sides is left out and counted.

    Args:
        corpus: the corpus as the recipe names it.
        speech: its utterances, as `list_speech` returns them.
        recipe: the experiment.
        units: the dataset of UNITS to write first.
        words: the dataset of ALIGNED to write next, if the recipe has an aligner.
        out: the dataset of PAIRED to write.
        clock: measures and shows progress.

    Raises:
        PassError: in a direction no utterance has a partner, or words end behind their units.
    """
    tokenize(corpus, speech, recipe, units, clock)
    inputs = {"units": units.manifest().fingerprint}
    if recipe.aligner is not None:
        align(corpus, speech, recipe, words, clock)
        inputs["words"] = words.manifest().fingerprint
    named = {} if recipe.directions is None else {"directions": recipe.taught_directions}
    if not out.start({"stage": "pair_units", **named, "inputs": inputs}):
        return
    table = add_words(units.rows(status=OK), words.rows(status=OK) if recipe.aligner is not None else None)
    for direction in recipe.taught_directions:
        try:
            out.append(join_sides(table, direction.source, direction.target))
        except PassError as error:
            if len(recipe.languages) == 2:
                raise
            raise PassError(f"{error}; or leave {direction} and {direction.reverse} out of directions") from None
    manifest = out.publish()
    print(f"  {manifest.rows:,} rows of paired units from {units.manifest().rows:,} utterances of {corpus}", flush=True)


def add_words(units: pa.Table, aligned: pa.Table | None) -> pa.Table:
    """Return rows of UNITS with a column `words`: those of the aligned rows with the same id, else null.

    Args:
        units: rows of UNITS.
        aligned: rows of ALIGNED; None: no words.

    Raises:
        PassError: the words of an utterance end more than one frame behind its last unit.
    """
    known: dict[str, list[Row]] = {}
    if aligned is not None:
        known = dict(zip(aligned["utt_id"].to_pylist(), aligned["words"].to_pylist(), strict=True))
    ids = units["utt_id"].to_pylist()
    words = [known.get(utt_id) for utt_id in ids]
    check_frame_rate(zip(ids, words, units["durations"].to_pylist(), strict=True))
    return units.append_column("words", pa.array(words, pa.list_(WORD)))


def check_frame_rate(sides: Iterable[tuple[str, list[Row] | None, list[int] | None]]) -> None:
    """Raise PassError if words (WORD) end more than one frame behind the last unit: they count other frames.

    Args:
        sides: id, words, and durations of the units; a side without words or durations is left out.
    """
    known, late = 0, []
    for name, words, durations in sides:
        if not words or durations is None:
            continue
        known += 1
        if words[-1]["end"] > sum(durations) + 1:
            late.append(f"{name} has {sum(durations)} frames of units and a word that ends at frame {words[-1]['end']}")
    if late:
        raise PassError(
            f"the words of {len(late):,} of {known:,} utterances end behind their last unit: {late[0]}. Words and "
            "units need the same 50 frames per second: use an encoder with 50 Hz, or leave aligner out of the recipe"
        )


def join_sides(table: pa.Table, src_lang: str, tgt_lang: str) -> pa.Table:
    """Return rows of PAIRED, sorted by name, for the utterances in one language with a partner in the other.

    Args:
        table: rows of UNITS, with the column `words` of `add_words`.
        src_lang: language of the sources.
        tgt_lang: language of the partners.

    Raises:
        PassError: no utterance has a partner.
    """
    sources, targets = (_index_by_name(table, lang) for lang in (src_lang, tgt_lang))
    names = sorted(sources.keys() & targets.keys())
    if not names:
        example = f"an id is {table['utt_id'][0].as_py()}" if table.num_rows else "no utterance could be tokenized"
        raise PassError(
            f"no utterance has a partner: call the two sides of a pair NAME/{src_lang} and NAME/{tgt_lang}; {example}"
        )
    source, target = (table.take(pa.array([side[name] for name in names], pa.int64())) for side in (sources, targets))
    columns = {
        "pair_id": pa.array([f"{name}/{src_lang}-{tgt_lang}" for name in names], pa.string()),
        "src_lang": source["lang"],
        "tgt_lang": target["lang"],
        "src_text": source["text"],
        "src_units": source["units"],
        "tgt_text": target["text"],
        "tgt_units": target["units"],
        "src_durations": source["durations"],
        "tgt_durations": target["durations"],
        "src_words": source["words"],
        "tgt_words": target["words"],
    }
    return pa.table(columns, schema=PAIRED)


def _index_by_name(table: pa.Table, lang: str) -> dict[str, int]:
    """Return the row index of each utterance `NAME/LANG` of a language by NAME."""
    in_lang, suffix = pc.equal(table["lang"], lang).to_pylist(), f"/{lang}"
    return {
        utt_id.removesuffix(suffix): index
        for index, utt_id in enumerate(table["utt_id"].to_pylist())
        if in_lang[index] and utt_id.endswith(suffix)
    }


def write_utterances(corpus: str, split: str, recipe: Recipe, out: DatasetDir) -> None:
    """Write the PAIRED rows of `corpus` in the directions of a recipe as rows of UNITS of this split.

    The id of an utterance is that of its pair, its reference is its translation. Where its language is translated into
    several ones, the id ends with the direction, as `NAME/fr-en`.
    """
    every = DatasetDir(corpus).rows().to_pylist()
    rows = [row for row in every if row["src_lang"] not in recipe.languages or is_in(row, recipe.used_directions)]
    if out.start({"stage": f"{split}_units", "inputs": {split: json_digest(rows)}}):
        utterances = [_to_utterance(row, split, recipe) for row in rows if row["src_units"]]
        out.append(pa.Table.from_pylist(utterances, schema=UNITS))
        out.publish()


def is_in(row: Row, directions: Directions) -> bool:
    """Return True if a row of PAIRED is in one of the directions."""
    return Direction.of_row(row) in directions


def _to_utterance(row: Row, split: str, recipe: Recipe) -> Row:
    pair_id, direction = row["pair_id"], Direction.of_row(row)
    owns = recipe.used_directions.owns_reference(pair_id, direction)
    return {
        "utt_id": pair_id if owns else f"{pair_id}/{direction}",
        "lang": row["src_lang"],
        "text": row["src_text"],
        "reference": row["tgt_text"],
        "units": row["src_units"],
        "durations": row.get("src_durations"),
        "split": split,
        "status": OK,
    }
