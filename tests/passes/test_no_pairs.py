"""Training without a pair ends with advice that fits the reasons."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from factory.passes.train import train_next
from factory.recipe.loading import load
from factory.recipe.recipe import Recipe
from factory.storage.dataset import DatasetDir
from schemas.datasets import PAIR
from schemas.errors import RoundtripError
from tests.toy_run import ROOT


def by_asr() -> Recipe:
    """Return a recipe that compares transcripts of back-translations."""
    speech = ["translator.back_translate=speech", "translator.unit_temperature=null", "scorer.score_text=asr"]
    return load(ROOT / "recipes/phrasebook.yaml", speech)


@pytest.mark.parametrize(
    ("reasons", "recipe", "words"),
    [
        (
            ["unscored", "unscored", "duplicate"],
            load(ROOT / "recipes/phrasebook.yaml"),
            "reason: unscored 2, duplicate 1; the utterances have no text to compare with",
        ),
        (["below_delta"], load(ROOT / "recipes/phrasebook.yaml"), r"lower select.delta \(now 0.1\)$"),
        (
            ["duplicate", "one_candidate"],
            load(ROOT / "recipes/phrasebook.yaml"),
            r"raise translator.temperature \(now 0.7\) or translator.n \(now 16\), or raise translator.n",
        ),
        (["unscored"], by_asr(), "give more utterances, or a policy that has learned more"),
        (
            ["copy", "wrong_language"],
            load(ROOT / "recipes/phrasebook.yaml"),
            "; give more utterances, or a policy that has learned more$",
        ),
    ],
)
def test_the_advice_fits_the_reasons_why_there_is_no_pair(
    reasons: list[str], recipe: Recipe, words: str, tmp_path: Path
) -> None:
    pairs = DatasetDir(str(tmp_path / "pairs"), PAIR)
    pairs.start({"stage": "toy"})
    head = {"src_lang": "fr", "tgt_lang": "en", "status": "skipped"}
    rows = [
        head | {"utt_id": str(index), "pair_id": str(index), "reason": f"{reason}: so"}
        for index, reason in enumerate(reasons)
    ]
    pairs.append(pa.Table.from_pylist(rows, schema=PAIR))
    pairs.publish()
    with pytest.raises((ValueError, RoundtripError), match=words):
        train_next(pairs, "no policy", recipe, str(tmp_path / "policy"))
