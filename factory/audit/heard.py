"""The ears of the audit: what the recognizer understands of candidates that the vocoder speaks, for ASR-BLEU against the reference."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq

from factory.actors.recognition import load_recognizer
from factory.audit.labels import referenced
from factory.passes.weights import actor_recognizer, actor_vocoders
from factory.recipe.recipe import Recipe
from factory.storage.dataset import DatasetDir
from factory.storage.files import exists, filesystem, put_table
from schemas.datasets import OK, Row

Heard = dict[tuple[str, int], str]
HEARD = pa.schema([("utt_id", pa.string()), ("place", pa.int32()), ("asr_text", pa.string())])
_ORIGIN = b"roundtrip.scored"


def kept(scored: DatasetDir, place: str) -> Heard:
    """Return what was heard of these candidates before; nothing where that was another dataset."""
    uri = f"{place}/heard.parquet"
    if not exists(uri):
        return {}
    fs, path = filesystem(uri)
    table = pq.read_table(path, filesystem=fs)
    if (table.schema.metadata or {}).get(_ORIGIN, b"").decode() != scored.manifest().fingerprint:
        return {}
    return {(row["utt_id"], row["place"]): row["asr_text"] for row in table.to_pylist()}


def hear(scored: DatasetDir, recipe: Recipe, place: str, utterances: int) -> Heard:
    """Speak and transcribe the candidates of `utterances` utterances of each direction that have a reference; keep it in `place`.

    About half a second of one core a candidate. What was heard before is not heard again.
    """
    found = kept(scored, place)
    known = {utt_id for utt_id, _ in found}
    for lang in recipe.languages:
        rows = [row for row in referenced(scored) if row["tgt_lang"] == lang][:utterances]
        found |= _hear([row for row in rows if row["utt_id"] not in known], lang, recipe)
    table = pa.Table.from_pylist(
        [{"utt_id": u, "place": p, "asr_text": t} for (u, p), t in sorted(found.items())], schema=HEARD
    )
    fs, path = filesystem(place)
    put_table(fs, f"{path}/heard.parquet", table.replace_schema_metadata({_ORIGIN: scored.manifest().fingerprint}))
    return found


def _hear(rows: list[Row], lang: str, recipe: Recipe) -> Heard:
    from factory.models.voice import Voice

    spoken = [
        (row["utt_id"], p, c["units"])
        for row in rows
        for p, c in enumerate(row["candidates"])
        if c["finish"] == OK and c["units"]
    ]
    if not spoken:
        return {}
    waves = Voice(actor_vocoders(recipe)[lang]).speak([units for *_, units in spoken])
    texts = load_recognizer(actor_recognizer(recipe), threads=1).transcribe(waves, lang)
    return {(utt_id, place): text for (utt_id, place, _), text in zip(spoken, texts, strict=True)}
