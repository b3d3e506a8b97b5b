"""train: which pairs a training gets, where its inputs are, and what to change if there is no pair."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from factory.passes.errors import PassError
from factory.passes.train import choose_training_pairs, train_next, training_folder, write_parquet
from factory.recipe.loading import load
from factory.recipe.recipe import Recipe
from factory.storage.dataset import DatasetDir
from schemas.datasets import PAIR, Row

RECIPE = load("recipes/phrasebook.yaml")
SPEECH = ["translator.back_translate=speech", "translator.unit_temperature=null", "scorer.score_text=asr"]
BY_ASR = load("recipes/phrasebook.yaml", SPEECH)


def test_the_inputs_of_a_training_are_next_to_its_policy_and_are_deleted_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(2):  # a killed training leaves the folder behind, and the next one takes it over
        with pytest.raises(KeyboardInterrupt), training_folder("runs/one/round-1/policy") as folder:
            path = Path(write_parquet(pa.table({"prompt": ["a"]}), f"{folder}/pairs.parquet"))
            assert path.is_absolute() and path.is_relative_to(tmp_path / "runs/one/round-1")
            assert pq.read_table(path).to_pylist() == [{"prompt": "a"}]
            raise KeyboardInterrupt
        assert not path.exists()


def make_pairs(*numbers: int) -> list[Row]:
    """Return a pair of each language with each number."""
    return [
        {
            "pair_id": f"{lang}-{number}",
            "src_lang": lang,
            "tgt_lang": "en" if lang == "fr" else "fr",
            "prompt": "p",
            "chosen": "c",
            "rejected": "r",
            "margin": 0.5,
            "status": "ok",
        }
        for lang in ("fr", "en")
        for number in numbers
    ]


def test_the_pairs_of_a_training_are_shuffled_by_the_seed_alone() -> None:
    rows = make_pairs(*range(20))
    chosen = choose_training_pairs(rows, RECIPE)
    assert chosen == choose_training_pairs(rows[::-1], RECIPE), "the order of the files does not matter"
    assert chosen != choose_training_pairs(rows, load("recipes/phrasebook.yaml", ["seed=8"]))
    ids = [row["pair_id"] for row in chosen]
    assert sorted(ids) == sorted(row["pair_id"] for row in rows) and ids != sorted(ids)
    assert chosen[0].keys() == {"pair_id", "prompt", "chosen", "rejected", "margin"}
    assert {row["chosen"] for row in chosen} == {"c"} and {row["rejected"] for row in chosen} == {"r"}


def test_a_pair_of_continuous_speech_names_its_utterance() -> None:
    rows = [row | {"utt_id": f"u-{row['pair_id']}"} for row in make_pairs(1)]
    [first, _] = choose_training_pairs(rows, load("recipes/phrasebook_part.yaml"))
    assert first["utt_id"] == f"u-{first['pair_id']}"


def test_a_recipe_limits_the_pairs_of_each_direction() -> None:
    rows = make_pairs(*range(20))
    ids = [row["pair_id"] for row in choose_training_pairs(rows, load("recipes/phrasebook.yaml", ["select.pairs=3"]))]
    assert sorted(utt_id[:2] for utt_id in ids) == ["en"] * 3 + ["fr"] * 3
    assert {int(utt_id[3:]) for utt_id in ids} != {0, 1, 2}, "they are drawn"
    german = [row | {"pair_id": f"de-{row['pair_id']}", "tgt_lang": "de"} for row in rows if row["src_lang"] == "fr"]
    three = ["languages=[fr, en, de]", "vocoder.de=any", "directions=[fr-en, fr-de]", "select.pairs=3"]
    ids = [row["pair_id"] for row in choose_training_pairs(rows + german, load("recipes/phrasebook.yaml", three))]
    assert sorted(utt_id[:2] for utt_id in ids) == ["de"] * 3 + ["fr"] * 3


@pytest.mark.parametrize(
    ("reasons", "recipe", "words"),
    [
        (
            ["below_delta: a", "below_delta: b", "malformed"],
            RECIPE,
            r"below_delta 2, malformed 1; lower select.delta \(now 0.1\), or give more utterances, or a policy that",
        ),
        (
            ["unscored", "unscored", "duplicate"],
            RECIPE,
            "unscored 2, duplicate 1; the utterances have no text to compare with: .*scorer.score_text=asr",
        ),
        (["unscored"], BY_ASR, "; give more utterances, or a policy that has learned more$"),
        (["tie"], RECIPE, "; give more utterances, or another select.metric$"),
        (
            ["duplicate", "one_candidate", "below_delta"],
            RECIPE,
            r"raise translator.temperature \(now 0.7\) or translator.n \(now 16\), or raise translator.n \(now 16\)$",
        ),
        (["copy", "wrong_language"], RECIPE, "; give more utterances, or a policy that has learned more$"),
    ],
)
def test_the_advice_fits_the_reasons_why_there_is_no_pair(
    reasons: list[str], recipe: Recipe, words: str, tmp_path: Path
) -> None:
    pairs = DatasetDir(str(tmp_path / "pairs"), PAIR)
    pairs.start({"stage": "toy"})
    rows = [
        {"pair_id": f"{index}", "utt_id": f"{index}", "src_lang": "fr", "tgt_lang": "en"}
        | {"status": "skipped", "reason": reason}
        for index, reason in enumerate(reasons)
    ]
    pairs.append(pa.Table.from_pylist(rows, schema=PAIR))
    pairs.publish()
    with pytest.raises(PassError, match=f"^{tmp_path}/pairs holds no pair to train on, by reason: .*{words}"):
        train_next(pairs, "no/policy", recipe, str(tmp_path / "policy"))
