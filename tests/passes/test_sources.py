"""What pairs are made of: monolingual utterances, the paired corpus, or both; others every round, or the same."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from factory.corpora.opening import open_corpus
from factory.passes.paired import write_utterances
from factory.passes.produce import utterances_of
from factory.recipe.loading import load
from factory.recipe.recipe import Recipe
from factory.storage.dataset import DatasetDir
from schemas.datasets import PAIRED, UNITS

RECIPE = "recipes/phrasebook.yaml"


def units(place: Path, prefix: str, count: int) -> DatasetDir:
    rows = [
        {"utt_id": f"{prefix}-{lang}-{n}", "lang": lang, "units": [1], "status": "ok"}
        for lang in ("fr", "en")
        for n in range(count)
    ]
    out = DatasetDir(str(place), UNITS)
    out.start({"stage": "toy", "inputs": {}})
    out.append(pa.Table.from_pylist(rows, schema=UNITS))
    out.publish()
    return out


def asked(limit: str, fresh: bool = True) -> Recipe:
    return load(RECIPE, [f"corpus.limit={limit}", f"rounds.fresh={str(fresh).lower()}"])


def test_rounds_take_other_utterances_or_the_same(tmp_path: Path) -> None:
    mono = [units(tmp_path / "mono", "m", 6)]
    first, second = (set(utterances_of(mono, number, asked("3")).to_pylist()) for number in (1, 2))
    assert len(first) == len(second) == 6 and not first & second
    assert set(utterances_of(mono, 2, asked("3", fresh=False)).to_pylist()) == first


def test_two_sources_share_the_limit(tmp_path: Path) -> None:
    both = [units(tmp_path / "mono", "m", 6), units(tmp_path / "paired", "p", 6)]
    ids = utterances_of(both, 1, asked("4")).to_pylist()
    assert {
        (prefix, lang): sum(utt.startswith(f"{prefix}-{lang}") for utt in ids)
        for prefix in "mp"
        for lang in ("fr", "en")
    } == {
        ("m", "fr"): 2,
        ("m", "en"): 2,
        ("p", "fr"): 2,
        ("p", "en"): 2,
    }
    assert len(utterances_of(both, 1, asked("null"))) == 24


def test_an_id_in_two_sources_is_refused(tmp_path: Path) -> None:
    twice = [units(tmp_path / "mono", "m", 3), units(tmp_path / "paired", "m", 3)]
    with pytest.raises(ValueError, match=r"6 ids occur in two sources of pairs \(m-en-0\)"):
        utterances_of(twice, 1, asked("null"))


def test_paired_rows_become_utterances_whose_reference_is_their_translation(tmp_path: Path) -> None:
    sides = {"src_lang": "fr", "src_text": "bonjour", "tgt_lang": "en", "tgt_text": "hello", "tgt_units": [3]}
    pq.write_table(
        pa.Table.from_pylist([{"pair_id": "a", "src_units": [1, 2], **sides}], schema=PAIRED), tmp_path / "p.parquet"
    )
    out = DatasetDir(str(tmp_path / "units"), UNITS)
    write_utterances(str(tmp_path / "p.parquet"), "paired", out)
    [row] = out.rows().to_pylist()
    assert (
        open_corpus(str(tmp_path / "p.parquet")).holds_units
        and open_corpus(str(tmp_path / "p.parquet")).load_recordings(["a"]) == {}
    )
    expected = {
        "utt_id": "a",
        "lang": "fr",
        "text": "bonjour",
        "reference": "hello",
        "units": [1, 2],
        "split": "paired",
        "status": "ok",
    }
    assert {key: row[key] for key in expected} == expected
