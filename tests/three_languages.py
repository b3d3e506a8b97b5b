"""A small world of three languages for whole rounds: two go into English, and English goes into both.

The third language is French under another name: its speech is that of the French corpus, and its token has the
embedding of French. So the shipped policy translates it, and no training comes before the round.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq

from schemas.datasets import Row
from schemas.sequences import tag

ROOT = Path(__file__).resolve().parent.parent
DIRECTIONS = ["fr-en", "en-fr", "en-de", "de-en"]
SETTINGS = {
    "languages": "[fr, en, de]",
    "directions": "[de-en, fr-en, en-fr, en-de]",
    "vocoder.de": "assets/phrasebook/vocoder-fr",
    "select.filters.max_wrong_language": "1.0",  # French under another name is no German
}
"""Keys of the recipe."""


def read_shipped(name: str, lang: str, start: int = 0, stop: int | None = None) -> list[Row]:
    """Return utterances of a shipped corpus."""
    rows: list[Row] = pq.read_table(ROOT / f"assets/phrasebook/{name}/{lang}.parquet").to_pylist()
    return rows[start:stop]


def make_mono() -> list[Row]:
    """Return four untranslated utterances of each language; each has one reference."""
    german = [row | {"utt_id": f"de-{row['utt_id']}", "lang": "de"} for row in read_shipped("mono", "fr", 4, 8)]
    return [*read_shipped("mono", "fr", 0, 4), *read_shipped("mono", "en", 0, 4), *german]


def make_test() -> list[Row]:
    """Return three sentences in three languages, `NAME/LANG` without references."""
    english = {row["text"]: row for row in read_shipped("test", "en")}
    return [
        side | {"utt_id": f"{row['utt_id']}/{lang}", "lang": lang, "reference": None}
        for row in read_shipped("test", "fr", 0, 3)
        for lang, side in (("fr", row), ("en", english[row["reference"]]), ("de", row))
    ]


def write_policy(out: Path) -> str:
    """Write the shipped policy with a token for German that has the embedding of French."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from trainers.policy import extend_policy

    extend_policy(ROOT / "assets/phrasebook/policy", out, num_units=100, langs=["fr", "en", "de"])
    tokenizer, model = AutoTokenizer.from_pretrained(out), AutoModelForCausalLM.from_pretrained(out)
    french, german = tokenizer.convert_tokens_to_ids([tag("fr"), tag("de")])
    with torch.no_grad():
        for module in (model.get_input_embeddings(), model.get_output_embeddings()):
            module.weight[german] = module.weight[french]
    model.save_pretrained(out)
    return str(out)
