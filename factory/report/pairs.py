"""The pairs that a report shows: which ones, with their texts, what differs between them, and their scores."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher

from factory.audit.labels import sampled
from factory.recipe.recipe import Recipe
from factory.storage.dataset import DatasetDir
from schemas.datasets import OK, Row
from schemas.sequences import parse, task

SPOKEN = 24
"""Most pairs with players: five sounds each, about 10 kB a sound."""


def shown_pairs(pairs: DatasetDir, scored: DatasetDir, limit: int) -> list[Row]:
    """Return at most `limit` pairs (`joined`), the widest margins first; a sample by hash where there are more."""
    return joined(sorted(sampled(pairs.rows(status=OK), limit), key=by_margin), scored)


def by_margin(row: Row) -> tuple[float, str]:
    """Sort rows of PAIR, the widest margin first."""
    return -row["margin"], row["pair_id"]


def joined(rows: Sequence[Row], scored: DatasetDir) -> list[Row]:
    """Return rows of PAIR with their texts and units, joined with `scored` by utt_id."""
    table = scored.rows(status=OK, ids=[row["utt_id"] for row in rows])
    sources = {(row["utt_id"], row["tgt_lang"]): row for row in table.to_pylist()}
    return [told for row in rows if (told := _pair(row, sources.get((row["utt_id"], row["tgt_lang"])))) is not None]


def _pair(row: Row, source: Row | None) -> Row | None:
    if source is None:
        return None
    told = {key: row[key] for key in ("pair_id", "utt_id", "src_lang", "tgt_lang", "metric", "margin")}
    told |= {"source": {"text": source["text"], "units": source["units"], "reference": source["reference"]}}
    return told | {side: _side(row, side, source["candidates"]) for side in ("chosen", "rejected")}


def _side(row: Row, side: str, candidates: Sequence[Row]) -> Row:
    """Find the candidate that a side of the pair was made of, by its text and scores."""
    text, scores = row[f"{side}_text"], row[f"{side}_scores"]
    return next((c for c in candidates if c["text"] == text and c["scores"] == scores), _parsed(row, side))


def _parsed(row: Row, side: str) -> Row:
    """Read a side back out of its string; the way back is not in there."""
    read = parse(task(row["prompt"]), row[side])
    return {
        "text": read.text,
        "units": read.units,
        "back_translation": None,
        "back_translation_units": None,
        "scores": row[f"{side}_scores"],
    }


def to_speak(rows: Sequence[Row], limit: int = SPOKEN) -> list[Row]:
    """Choose the pairs with players: of each direction a third with the widest margins, a third nearest δ, the rest spread between."""
    directions = sorted({(row["src_lang"], row["tgt_lang"]) for row in rows})
    each = limit // max(1, len(directions))
    chosen: list[Row] = []
    for direction in directions:
        some = [row for row in rows if (row["src_lang"], row["tgt_lang"]) == direction]  # widest first
        ends = [*some[: each // 3], *some[-(each // 3) :]] if len(some) > each else some
        middle = [row for row in some if row not in ends]
        between = middle[:: max(1, len(middle) // max(1, each - len(ends)))][: each - len(ends)]
        chosen += [*ends, *between]
    return chosen


def marked(text: str | None, other: str | None) -> list[tuple[str, bool]]:
    """Split a text into runs of words, each with whether the other text lacks it there."""
    words, others = (text or "").split(), (other or "").split()
    runs = []
    for kind, start, end, _, _ in SequenceMatcher(None, words, others, autojunk=False).get_opcodes():
        if end > start:
            runs.append((" ".join(words[start:end]), kind != "equal"))
    return runs


def table_row(row: Row, recipe: Recipe, sounds: dict[str, str]) -> Row:
    """Return what the page's table needs of a pair: no units, texts as marked runs, the key of each sound that there is."""
    keys = {
        name: f"{row['pair_id']}.{name}" for name in ("source", "chosen", "rejected", "chosen_back", "rejected_back")
    }
    sides = {}
    for side, other in (("chosen", "rejected"), ("rejected", "chosen")):
        sides[side] = {
            "text": marked(row[side]["text"], row[other]["text"]),
            "back": marked(row[side]["back_translation"], row["source"]["text"]),
            "scores": [_rounded(row[side]["scores"].get(metric)) for metric in recipe.scorer.metrics],
        }
    head = {
        "id": row["pair_id"],
        "direction": f"{row['src_lang']}-{row['tgt_lang']}",
        "margin": round(row["margin"], 4),
    }
    told = head | {"source": row["source"]["text"], "reference": row["source"]["reference"], **sides}
    return told | {"sounds": {name: key for name, key in keys.items() if key in sounds}}


def _rounded(score: float | None) -> float | None:
    return None if score is None else round(score, 3)
