"""ASR transcripts of resynthesised candidates, for an audit by ASR-BLEU."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq

from factory.actors.recognition import load_recognizer
from factory.audit.labels import Transcripts, read_rows_with_reference
from factory.passes.weights import actor_recognizer, actor_vocoders
from factory.planning.places import Round
from factory.recipe.directions import Direction
from factory.recipe.recipe import Recipe
from factory.storage.dataset import DatasetDir
from factory.storage.files import exists, filesystem, put_table
from schemas.datasets import OK, Row

TRANSCRIPT = pa.schema([("utt_id", pa.string()), ("candidate", pa.int32()), ("asr_text", pa.string())])
"""The transcript of a candidate: the id of its row in the dataset of SCORED, and its index in that row."""
_NAMES = pa.schema([("utt_id", pa.string()), ("tgt_lang", pa.string())])
_FINGERPRINT = b"roundtrip.scored"


def read_transcripts(scored: DatasetDir, folder: str) -> Transcripts:
    """Return the transcripts in `folder`; empty if there are none, or if they are not of the dataset `scored`."""
    uri = f"{folder}/transcripts.parquet"
    if not exists(uri):
        return {}
    fs, path = filesystem(uri)
    table = pq.read_table(path, filesystem=fs)
    if (table.schema.metadata or {}).get(_FINGERPRINT, b"").decode() != scored.manifest().fingerprint:
        return {}
    utterances = scored.rows(["utt_id", "tgt_lang"])
    names = dict(zip(scored.list_ids(utterances), utterances.to_pylist(), strict=True))
    named = [(names[row["utt_id"]], row) for row in table.to_pylist()]
    return {(one["utt_id"], one["tgt_lang"], row["candidate"]): row["asr_text"] for one, row in named}


def write_transcripts(scored: DatasetDir, folder: str, transcripts: Transcripts) -> None:
    """Write transcripts of candidates as one file, all or nothing.

    Args:
        scored: the dataset of SCORED with the candidates.
        folder: the URI of the folder.
        transcripts: all transcripts; those of an earlier file are replaced.
    """
    ordered = sorted(transcripts.items())
    named = pa.Table.from_pylist([{"utt_id": utt_id, "tgt_lang": lang} for (utt_id, lang, _), _ in ordered], _NAMES)
    columns = [scored.list_ids(named), [key[-1] for key, _ in ordered], [text for _, text in ordered]]
    table = pa.table(columns, schema=TRANSCRIPT)
    fs, path = filesystem(f"{folder}/transcripts.parquet")
    put_table(fs, path, table.replace_schema_metadata({_FINGERPRINT: scored.manifest().fingerprint}))


def transcribe_candidates(round_: Round, folder: str, utterances: int) -> Transcripts:
    """Resynthesise and transcribe candidates, add the transcripts to those in `folder`, and return all.

    It takes about half a second of one CPU core per candidate. Utterances that have transcripts are left out.

    Args:
        round_: a round with candidates.
        folder: the URI of the folder that keeps the transcripts.
        utterances: number of utterances per direction; only utterances with a reference count.
    """
    transcripts = read_transcripts(round_.scored, folder)
    done = {key[:-1] for key in transcripts}
    known = read_rows_with_reference(round_.scored)
    for direction in round_.recipe.used_directions:
        rows = [row for row in known if Direction.of_row(row) == direction][:utterances]
        new = [row for row in rows if (row["utt_id"], row["tgt_lang"]) not in done]
        transcripts |= _transcribe(new, direction.target, round_.recipe)
    write_transcripts(round_.scored, folder, transcripts)
    return transcripts


def _transcribe(rows: list[Row], lang: str, recipe: Recipe) -> Transcripts:
    from factory.models.voice import Voice

    speech = {
        (row["utt_id"], lang, index): candidate["units"]
        for row in rows
        for index, candidate in enumerate(row["candidates"])
        if candidate["finish"] == OK and candidate["units"]
    }
    if not speech:
        return {}
    waves = Voice(actor_vocoders(recipe)[lang]).speak(list(speech.values()))
    texts = load_recognizer(actor_recognizer(recipe), threads=1).transcribe(waves, lang)
    return dict(zip(speech, texts, strict=True))
