"""spoken: recordings with their transcripts and translations, as the training sequences of continuous speech."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, cast

import pyarrow as pa
import pyarrow.compute as pc

from factory.corpora.corpus import Speech
from factory.passes.errors import PassError
from factory.passes.execute import map_actor, run_plan
from factory.passes.progress import Clock
from factory.passes.references import with_references
from factory.passes.sequences import build_sequences, is_taken
from factory.passes.tokenize import list_speech
from factory.passes.weights import compute_digests, list_voices
from factory.recipe.recipe import Recipe
from factory.storage.dataset import DatasetDir
from factory.storage.reasons import count_reasons
from schemas.datasets import OK, Row
from schemas.fingerprint import json_digest
from schemas.sequences import Variant, completion, prompt, text_prompt
from schemas.spoken import SPOKEN_SEQUENCE

if TYPE_CHECKING:
    import ray.data

BATCH = 256
"""Utterances at once."""


def write_spoken_sequences(recipe: Recipe, speech: DatasetDir, out: DatasetDir, clock: Clock) -> None:
    """Write the training sequences of round 0: every utterance for the tasks of `policy.tasks`, with their shares.

    `corpus.paired` holds utterances with a text (asr), and with a reference, or a partner `NAME/LANG`, where one is
    known (s2t, mt). If it holds units, the vocoders speak them. `corpus.text` is for mt.

    Args:
        recipe: the experiment.
        speech: the dataset of CORPUS_ROW to write where units are spoken.
        out: the dataset of SPOKEN_SEQUENCE to write.
        clock: measures and shows progress.

    Raises:
        PassError: the corpora give no sequence of a task.
    """
    found = list_speech(recipe.corpus.paired)
    if found is None:
        speak(recipe, speech, clock)
    text = read_texts(recipe)
    corpus = found.digest if found else speech.manifest().fingerprint
    if not out.start(recipe.content("spoken_sequences", {"corpus": corpus, "text": json_digest(text)})):
        return
    counts: dict[str, int] = dict.fromkeys(recipe.policy.tasks, 0)
    left_out = Counter[str]()
    for rows in _batch(_make_sequences(found.rows if found else speech.dataset(), found, text, recipe, left_out)):
        out.append(pa.Table.from_pylist(rows, schema=SPOKEN_SEQUENCE))
        for row in rows:
            counts[row["task"]] += 1
    lost = f"; left out: {', '.join(f'{reason} {count:,}' for reason, count in left_out.items())}" if left_out else ""
    if empty := [task for task, count in counts.items() if not count and recipe.policy.tasks[task]]:
        raise PassError(
            f"round 0 has no training sequence of {', '.join(empty)}: asr needs a text, s2t a reference or a partner "
            f"NAME/LANG in corpus.paired ({recipe.corpus.paired}), and mt parallel text (corpus.text); give them, or "
            f"leave these tasks out of policy.tasks{lost}"
        )
    out.publish()
    print(f"  sequences: {', '.join(f'{task} {count:,}' for task, count in counts.items())}{lost}", flush=True)


def speak(recipe: Recipe, out: DatasetDir, clock: Clock) -> None:
    """Speak the sources of paired units that a task of `policy.tasks` uses, as utterances (CORPUS_ROW).

    Args:
        recipe: the experiment.
        out: the dataset to write.
        clock: measures and shows progress.

    Raises:
        PassError: a language has no vocoder.
    """
    import ray.data

    from factory.actors.speaker import Speaker

    rows = [row for row in DatasetDir(recipe.corpus.paired).rows().to_pylist() if _is_used(row, recipe)]
    if silent := sorted({row["src_lang"] for row in rows} - set(recipe.vocoder)):
        raise PassError(
            f"corpus.paired ({recipe.corpus.paired}) holds units, and there is no vocoder that speaks those in "
            f"{', '.join(silent)}: give vocoder.{silent[0]}, or recordings as corpus.paired"
        )
    weights = compute_digests({f"vocoder.{lang}": path for lang, path in recipe.vocoder.items()})
    if not out.start({"stage": "speak", "inputs": weights | {"units": json_digest(rows)}}):
        return
    named = [row | {"utt_id": row["pair_id"], "lang": row["src_lang"]} for row in rows]
    unheard = {"src_units": None}  # of a row that only tasks of text take
    named = [row if _is_used(row, recipe, hears=True) else row | unheard for row in named]
    pool = recipe.resources.vocoder
    actor = partial(Speaker, list_voices(recipe), pool.threads)
    plan = map_actor(out.unfinished(ray.data.from_arrow(pa.Table.from_pylist(named))), actor, pool)
    run_plan(plan, out, [row["pair_id"] for row in rows], clock, "speak", recipe.resources, ["vocoder"])


def _is_used(row: Row, recipe: Recipe, hears: bool = False) -> bool:
    """Return True if a task (one that `hears` speech) takes a row of PAIRED with units."""
    tasks = recipe.policy.tasks.items()
    taken = (is_taken(task, row["pair_id"], share) for task, share in tasks if not (hears and Variant(task).reads_text))
    return bool(row["src_units"]) and row["src_lang"] in recipe.languages and any(taken)


def read_texts(recipe: Recipe) -> list[Row]:
    """Return the sequences of `corpus.text` (SEQUENCE) for the task mt."""
    share = recipe.policy.tasks.get(Variant.MT)
    if not (recipe.corpus.text and share):
        return []
    rows = DatasetDir(recipe.corpus.text).rows().to_pylist()
    known = (row for row in rows if {row["src_lang"], row["tgt_lang"]} <= set(recipe.languages))
    return [sequence for row in known for sequence in build_sequences(row, {Variant.MT: share})]


def _make_sequences(
    rows: ray.data.Dataset, speech: Speech | None, text: Iterable[Row], recipe: Recipe, left_out: Counter[str]
) -> Iterator[Row]:
    """Yield all sequences, and count in `left_out` the utterances that are not ok, by reason."""
    texts: dict[str, str] = {}
    if speech is not None and len(recipe.languages) > 2:  # references are the texts of partners
        for table in rows.select_columns(["utt_id", "text"]).iter_batches(batch_format="pyarrow", batch_size=None):
            texts |= {row["utt_id"]: row["text"] for row in pa.table(table).to_pylist()}
    for batch in rows.iter_batches(batch_format="pyarrow", batch_size=BATCH):
        table = cast(pa.Table, batch)
        left_out.update(count_reasons(table.filter(pc.not_equal(table["status"], OK))))
        yield from build_spoken(table, recipe, texts)
    yield from ({key: row.get(key) for key in SPOKEN_SEQUENCE.names} for row in text)


def build_spoken(table: pa.Table, recipe: Recipe, texts: Mapping[str, str]) -> Iterator[Row]:
    """Yield the sequences (SPOKEN_SEQUENCE) of utterances: asr of each, s2t and mt in each direction with a reference.

    Args:
        table: rows of CORPUS_ROW; those that are not ok give none.
        recipe: the experiment.
        texts: the texts of utterances by id, among them those of partners.
    """
    usable = table.filter(pc.and_(pc.equal(table["status"], OK), pc.greater(pc.utf8_length(table["text"]), 0)))
    for row in usable.to_pylist():
        if row["lang"] in recipe.languages:
            yield from _take(Variant.ASR, row, row["lang"], row["text"], recipe)
    for direction in recipe.taught_directions:
        own = usable.filter(pc.equal(usable["lang"], direction.source))
        for row in with_references(own, direction, texts, recipe).to_pylist():
            for task in (Variant.S2T, Variant.MT) if row["reference"] else ():
                yield from _take(task, row, direction.target, row["reference"], recipe)


def _take(task: Variant, row: Row, tgt_lang: str, answer: str, recipe: Recipe) -> Iterator[Row]:
    """Yield the sequence of an utterance for a task, if the task takes it."""
    if not is_taken(task, row["utt_id"], recipe.policy.tasks.get(task, 0.0)):
        return
    lang, reads_text = row["lang"], task.reads_text
    name = row["utt_id"] if task is Variant.ASR else f"{row['utt_id']}-{tgt_lang}"
    yield {
        "sequence_id": f"{task}-{name}",
        "task": str(task),
        "prompt": text_prompt(lang, tgt_lang, row["text"]) if reads_text else prompt(task, lang, tgt_lang, ()),
        "completion": completion(task, answer),
        "audio": None if reads_text else row["audio"],
    }


def _batch(rows: Iterable[Row]) -> Iterator[Sequence[Row]]:
    left = iter(rows)
    while batch := list(islice(left, BATCH)):
        yield batch
