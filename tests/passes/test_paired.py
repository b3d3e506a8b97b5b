"""Both sides of paired speech become one pair per direction."""

from __future__ import annotations

import pyarrow as pa
import pytest

from factory.passes.paired import join_sides
from schemas.datasets import UNITS
from schemas.errors import RoundtripError


def test_units_of_two_sides_become_a_pair_in_each_direction() -> None:
    names = [("b", "fr"), ("a", "en"), ("a", "fr"), ("b", "en"), ("c", "fr")]
    rows = [
        {"utt_id": f"{name}/{lang}", "lang": lang, "text": f"{name} in {lang}", "units": [index, 1], "status": "ok"}
        for index, (name, lang) in enumerate(names)
    ]
    table = pa.Table.from_pylist(rows, schema=UNITS)
    [first, second] = join_sides(table, "fr", "en").to_pylist()
    assert (first["pair_id"], first["src_text"], first["tgt_text"]) == ("a/fr-en", "a in fr", "a in en")
    assert (second["src_units"], second["tgt_units"]) == ([0, 1], [3, 1])
    assert [row["src_lang"] for row in join_sides(table, "en", "fr").to_pylist()] == ["en", "en"]
    with pytest.raises(RoundtripError, match="no utterance has a partner: .*NAME/fr and NAME/de"):
        join_sides(table, "fr", "de")
