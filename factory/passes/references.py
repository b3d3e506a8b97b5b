"""references: the translation of an utterance into the language of a direction, where one is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from factory.recipe.directions import Direction
from factory.recipe.recipe import Recipe


def find_partner(utt_id: str, direction: Direction, recipe: Recipe) -> str | None:
    """Return the id of the same sentence in the target language: `NAME/en` for `NAME/fr`.

    None for an id of another form. With two languages it is None too: there the column `reference` says it all.
    """
    name, slash, lang = utt_id.rpartition("/")
    has_partner = slash and lang == direction.source and len(recipe.languages) > 2
    return f"{name}/{direction.target}" if has_partner else None


def with_own_references(rows: pa.Table, directions: Sequence[Direction], recipe: Recipe) -> pa.Table:
    """Return utterances with null as reference where it is in another language than that of the row's direction.

    Args:
        rows: utterances with the columns `utt_id` and `reference`.
        directions: the direction of each row.
        recipe: the experiment.
    """
    pairs = zip(rows["utt_id"].to_pylist(), directions, strict=True)
    owned = [recipe.used_directions.owns_reference(*pair) for pair in pairs]
    return _replace(rows, pc.if_else(pa.array(owned, pa.bool_()), rows["reference"], pa.scalar(None, pa.string())))


def with_references(rows: pa.Table, direction: Direction, texts: Mapping[str, str], recipe: Recipe) -> pa.Table:
    """Return utterances of one direction with their reference: their own, or the text of their partner.

    Args:
        rows: utterances in the source language, with the columns `utt_id` and `reference`.
        direction: the direction that they are translated in.
        texts: the texts of utterances by id, among them the partners (`find_partner`).
        recipe: the experiment.
    """
    partners = [find_partner(utt_id, direction, recipe) or "" for utt_id in rows["utt_id"].to_pylist()]
    known = pa.array([texts.get(partner) for partner in partners], pa.string())
    own = with_own_references(rows, [direction] * rows.num_rows, recipe)
    return _replace(own, pc.coalesce(own["reference"], known))


def _replace(rows: pa.Table, references: pa.Array) -> pa.Table:
    return rows.set_column(rows.schema.get_field_index("reference"), "reference", references)
