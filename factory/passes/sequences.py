"""sequences: paired speech, written as the training sequences of round 0 (PROST-LLM, section 2)."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

import pyarrow as pa

from factory.passes.errors import PassError
from factory.passes.paired import check_frame_rate, is_in
from factory.passes.unit_words import cover_units, spread_words
from factory.recipe.directions import Direction
from factory.recipe.recipe import Recipe
from factory.storage.dataset import DatasetDir
from schemas.datasets import SEQUENCE, Row
from schemas.fingerprint import json_digest
from schemas.sequences import Variant, completion, prompt, text_prompt

SIDES = ("src", "tgt")
_READ_TEXTS: dict[str, tuple[str, ...]] = {
    Variant.VANILLA: (),
    Variant.ASR: ("src",),
    Variant.TTS: ("src",),
    Variant.S2T: ("tgt",),
    Variant.COM: ("tgt",),
    Variant.COT: SIDES,
    Variant.MT: SIDES,
}
"""The sides whose transcripts a task reads or writes."""
WordsBy = Literal["words", "uniform"]
"""How the words of speech are found: by their aligned times, or spread evenly over its units."""


def write_sequences(recipe: Recipe, out: DatasetDir) -> None:
    """Write the training sequences of round 0: every pair for the tasks of `policy.tasks`, with their shares.

    With `sft.interleave` a sequence has the words of its speech. Raises PassError if the corpora give no sequence, or
    no words for it.
    """
    rows = read_paired(recipe)
    if not out.start(recipe.content("sequences", {"units": json_digest(rows)})):
        return
    words_by = recipe.sft.interleave.units if recipe.sft.interleave else None
    if words_by == "words":
        check_words(rows, recipe)
    sequences = [sequence for row in rows for sequence in build_sequences(row, recipe.policy.tasks, words_by)]
    if not sequences:
        raise PassError(
            f"round 0 has no training sequence: corpus.paired ({recipe.corpus.paired}) and corpus.text hold "
            f"{len(rows)} rows, and no row serves a task of policy.tasks ({', '.join(recipe.policy.tasks)}); "
            "give paired speech, or raise the shares of the tasks"
        )
    _report_missing_texts(rows, recipe.policy.tasks)
    out.append(pa.Table.from_pylist(sequences, schema=SEQUENCE))
    out.publish()


def read_paired(recipe: Recipe) -> list[Row]:
    """Return the rows of `corpus.paired` and, if the recipe names parallel text, of `corpus.text`.

    Raises PassError if, with more than two languages, a direction that round 0 has to learn has no row.
    """
    uris = [recipe.corpus.paired, *([recipe.corpus.text] if recipe.corpus.text else [])]
    every = [row for uri in uris for row in DatasetDir(uri).rows().to_pylist()]
    rows = [row for row in every if is_in(row, recipe.taught_directions)]
    known = {Direction.of_row(row) for row in rows}
    missing = [direction for direction in recipe.taught_directions if direction not in known]
    if missing and len(recipe.languages) > 2:
        raise PassError(
            f"round 0 has no paired rows in {', '.join(missing)}, and it needs each direction and its opposite, to "
            f"translate and to translate back: add them to corpus.paired ({recipe.corpus.paired}), or leave both out "
            "of directions"
        )
    return rows


def check_words(rows: Iterable[Row], recipe: Recipe) -> None:
    """Raise PassError if rows of PAIRED have no words at all, or words that count other frames than the units."""
    sides = [(row["pair_id"], row.get(f"{side}_words"), row.get(f"{side}_durations")) for row in rows for side in SIDES]
    if not any(words and durations for _, words, durations in sides):
        raise PassError(
            f"sft.interleave.units: words needs to know when words are spoken, but no row of corpus.paired "
            f"({recipe.corpus.paired}) has src_words or tgt_words with durations: give recordings and a section "
            "aligner, or set sft.interleave.units: uniform"
        )
    check_frame_rate(sides)


def build_sequences(row: Row, tasks: Mapping[str, float], words_by: WordsBy | None = None) -> Iterator[Row]:
    """Yield the sequences of one pair; parallel text serves the task mt only, and some tasks need transcripts.

    Args:
        row: a row of PAIRED.
        tasks: share (0..1) of the pairs that each task gets. The pair's id alone decides which pairs those are.
        words_by: where the words of the speech are (`sft.interleave.units`); None: sequences have no words.
    """
    for task, share in tasks.items():
        if _serves(row, task) and is_taken(task, row["pair_id"], share):
            yield build_sequence(Variant(task), row, words_by)


def is_taken(task: str, name: str, share: float) -> bool:
    """Return True if a task takes a pair or utterance, so that it gets a `share` (0..1) of all; its id decides."""
    return zlib.crc32(f"{task} {name}".encode()) / 2**32 < share


def _serves(row: Row, task: str) -> bool:
    """Return True if a row of PAIRED has what a task needs: its speech, and the transcripts that it reads or writes."""
    return (task == Variant.MT or row["src_units"] is not None) and not _lacks_text(row, task)


def _lacks_text(row: Row, task: str) -> bool:
    """Return True if a row of PAIRED has no transcript of a side that a task reads or writes."""
    return not all(row[f"{side}_text"] for side in _READ_TEXTS[task])


def _report_missing_texts(rows: Iterable[Row], tasks: Iterable[str]) -> None:
    """Print for how many rows with speech each task is left out, because they have no transcript."""
    counts = Counter(task for row in rows for task in tasks if row["src_units"] and _lacks_text(row, task))
    if counts:
        listed = ", ".join(f"{task} {count:,}" for task, count in counts.items())
        print(f"  sequences: left out, no transcript: {listed}", flush=True)


def build_sequence(task: Variant, row: Row, words_by: WordsBy | None = None) -> Row:
    """Return the row of SEQUENCE of one pair and task; asr and tts are about the source alone."""
    side = "src" if task in (Variant.ASR, Variant.TTS) else "tgt"
    src_lang, tgt_lang = row["src_lang"], row[f"{side}_lang"]
    if task.reads_text:
        question = text_prompt(src_lang, tgt_lang, row["src_text"], task)
    else:
        question = prompt(task, src_lang, tgt_lang, row["src_units"])
    text, units = row[f"{side}_text"], row[f"{side}_units"]
    return {
        "sequence_id": f"{task}-{row['pair_id']}",
        "task": str(task),
        "prompt": question,
        "completion": completion(task, text, units, source_text=row["src_text"]),
        "prompt_words": None if task.reads_text else _find_words(row, "src", words_by),
        "completion_words": _find_words(row, side, words_by) if task.has_units else None,
    }


def _find_words(row: Row, side: str, words_by: WordsBy | None) -> list[Row] | None:
    """Return the words (UNIT_WORD) of the speech of one side of a pair; None where they are not known."""
    if words_by == "uniform":
        return spread_words(row[f"{side}_text"] or "", len(row[f"{side}_units"])) or None
    words, durations = row.get(f"{side}_words"), row.get(f"{side}_durations")
    return cover_units(words, durations) if words_by and words and durations else None
