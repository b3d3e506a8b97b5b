"""select: which candidates make a pair, what is written of them, and why an utterance has no pair."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import ray

from factory.passes.progress import Clock
from factory.passes.select import count_pairs, make_pair, make_pairs, select_pairs
from factory.recipe.loading import load
from factory.recipe.recipe import Recipe
from factory.recipe.sections import SelectConfig
from factory.storage.dataset import DatasetDir
from factory.storage.manifest import FingerprintMismatch
from schemas.datasets import PAIR, SCORED, Candidate, Row, Scores
from schemas.sequences import Variant, completion, parse, prompt

CONFIG = SelectConfig(metric="bleu", delta=0.1)


def candidate(
    text: str | None, bleu: float | None, units: tuple[int, ...] = (1, 2, 3, 4), finish: str = "ok", **scores: float
) -> Candidate:
    return {
        "text": text,
        "units": list(units),
        "logprob": -1.0,
        "finish": finish,
        "back_translation": None,
        "back_translation_units": None,
        "back_translation_finish": "ok",
        "scores": {"bleu": bleu, **scores},
    }


def row(*candidates: Candidate, **changes: Any) -> Row:
    fixed = {"utt_id": "u1", "src_lang": "fr", "tgt_lang": "en", "text": "il pleut", "units": [5, 6, 7, 8]}
    return fixed | {"status": "ok", "reason": None, "candidates": list(candidates)} | changes


def select(*candidates: Candidate, variant: Variant = Variant.COM, **config: Any) -> Row:
    """Return the pair of a row with these candidates."""
    metrics = config.pop("metrics", ("bleu", "wer"))
    return make_pair(row(*candidates), replace(CONFIG, **config), variant, metrics)


def test_a_pair_holds_the_better_candidate_as_chosen_and_the_other_as_rejected() -> None:
    worse, better = candidate("it snows", 0.2, wer=0.9), candidate("it rains", 0.9, units=(9, 8, 7), wer=0.1)
    pair = select(worse | {"back_translation_finish": "unclosed"}, better)
    assert pair == {
        "pair_id": "u1-en",
        "utt_id": "u1",
        "src_lang": "fr",
        "tgt_lang": "en",
        "prompt": prompt(Variant.COM, "fr", "en", [5, 6, 7, 8]),
        "chosen": completion(Variant.COM, "it rains", [9, 8, 7]),
        "rejected": completion(Variant.COM, "it snows", [1, 2, 3, 4]),
        "chosen_text": "it rains",
        "rejected_text": "it snows",
        "chosen_scores": {"bleu": 0.9, "wer": 0.1},
        "rejected_scores": {"bleu": 0.2, "wer": 0.9},
        "chosen_back_translation_finish": "ok",
        "rejected_back_translation_finish": "unclosed",
        "metric": "bleu",
        "margin": pytest.approx(0.7),
        "status": "ok",
        "reason": None,
    }
    assert pair.keys() == set(PAIR.names)
    assert parse(Variant.COM, pair["rejected"])[:2] == ("it snows", [1, 2, 3, 4])


def test_a_pair_of_chains_of_thought_begins_with_the_source_text_of_each() -> None:
    worse = candidate("it snows", 0.2) | {"source_text": "il neige"}
    better = candidate("it rains", 0.9, units=(9, 8, 7)) | {"source_text": "il pleut"}
    pair = select(worse, better, variant=Variant.COT)
    assert pair["prompt"].startswith("<|cot|>")
    assert pair["chosen"] == "il pleut<|sep|>it rains<|sosp|><|u9|><|u8|><|u7|><|eosp|>"
    assert pair["rejected"] == "il neige<|sep|>it snows<|sosp|><|u1|><|u2|><|u3|><|u4|><|eosp|>"
    same = candidate("it rains", 0.9) | {"source_text": "il pleut"}
    other = candidate("it rains", 0.2) | {"source_text": "il neige"}
    assert select(same, other, variant=Variant.COT)["status"] == "ok", "only the source text differs"
    assert select(same, same | {"scores": other["scores"]}, variant=Variant.COT)["reason"].startswith("duplicate")


def test_a_metric_that_is_better_when_it_is_lower_is_ranked_the_other_way_round() -> None:
    worse, better = candidate("a", None, mcd=7.5), candidate("b", None, units=(9, 9, 1), mcd=5.0)
    pair = select(worse, better, metric="mcd", delta=1.0)
    assert (pair["chosen_text"], pair["rejected_text"], pair["margin"], pair["metric"]) == ("b", "a", 2.5, "mcd")


def test_of_equal_scores_the_first_is_the_better_and_the_last_the_worse() -> None:
    scores = (0.5, 0.9, 0.9, 0.5)
    pair = select(*(candidate(f"{index}", score) for index, score in enumerate(scores)))
    assert (pair["chosen_text"], pair["rejected_text"]) == ("1", "3")


def test_an_unspoken_candidate_is_in_no_pair() -> None:
    unspoken = candidate("0.95", 0.95, units=(), finish="unspoken")
    pair = select(*(candidate(str(score), score) for score in (0.5, 0.1, 0.9)), unspoken)
    assert (pair["chosen_text"], pair["rejected_text"]) == ("0.9", "0.1")
    pair = select(unspoken, candidate("a", 0.5), candidate("b", 0.9, finish="unclosed"))
    assert pair["reason"].startswith("unclosed:"), "the reason is that of a spoken candidate"


@pytest.mark.parametrize(
    ("candidates", "reason"),
    [
        ([candidate("a", 0.5), candidate("b", 0.55)], "below_delta: the gap in bleu is 0.050, more than 0.1 is needed"),
        ([candidate("a", 0.5), candidate("b", 0.5)], "tie: both candidates have the same score"),
        ([candidate("a", 0.5), candidate("a", 0.5)], "duplicate: the candidates are the same"),
        (
            [candidate("a", 0.9), candidate("b", 0.5), candidate("a", 0.1)],
            "duplicate: the two that were chosen are the same",
        ),
        ([candidate("a", 0.5)], "one_candidate: fewer than two candidates are left to compare"),
        ([candidate("a", 0.5), candidate("b", None)], "unscored: fewer than two candidates have a bleu"),
        (
            [candidate("a", 0.5), candidate("b", 0.9, finish="unclosed")],
            "unclosed: fewer than two candidates are left to compare",
        ),
    ],
)
def test_an_utterance_without_a_pair_has_a_reason(candidates: list[Candidate], reason: str) -> None:
    pair = select(*candidates)
    assert (pair["status"], pair["reason"], pair["utt_id"], pair["pair_id"]) == ("skipped", reason, "u1", "u1-en")


@pytest.mark.parametrize(
    ("rejected", "slug"),
    [
        (candidate("il pleut", 0.9), "copy"),
        (candidate("b", 0.9, units=(1,)), "too_short"),
        (candidate("b", 0.9, units=tuple(range(9))), "too_long"),
        (candidate("b", 0.9, units=(1, 2) * 4), "repetition"),
    ],
)
def test_a_candidate_that_a_filter_rejects_is_in_no_pair(rejected: Candidate, slug: str) -> None:
    assert select(candidate("a", 0.5), rejected)["reason"].startswith(f"{slug}:")
    pair = select(candidate("a", 0.5), rejected, candidate("c", 0.1))
    assert (pair["chosen_text"], pair["rejected_text"]) == ("a", "c")


def test_candidates_differ_in_their_text_or_in_their_units() -> None:
    assert select(candidate("a", 0.5), candidate("a", 0.9, units=(4, 3, 2, 1)))["status"] == "ok"
    assert select(candidate("a", 0.5), candidate("b", 0.9))["status"] == "ok"


def test_a_gap_of_delta_is_not_enough_and_what_was_compared_is_kept() -> None:
    pair = select(candidate("a", 0.25), candidate("b", 0.5), delta=0.25)
    assert pair["reason"].startswith("below_delta") and (pair["chosen_text"], pair["margin"]) == ("b", 0.25)
    assert select(candidate("a", 0.25), candidate("b", 0.5), delta=0.2499)["status"] == "ok"
    assert select(candidate("a", 0.5), candidate("b", 0.5), delta=0.0)["reason"].startswith("tie")
    assert select(candidate("a", 0.5), candidate("b", 0.5001), delta=0.0)["status"] == "ok"


def test_a_row_that_failed_before_keeps_its_reason() -> None:
    pair = make_pair(row(status="failed", reason="not_audio: noise"), CONFIG, Variant.COM, ("bleu",))
    assert (pair["status"], pair["reason"], pair["metric"]) == ("failed", "not_audio: noise", "bleu")
    assert "chosen" not in pair


def test_the_rule_of_the_recipe_chooses_the_two_and_its_reason_is_kept() -> None:
    scores = ((0.9, 0.6), (0.7, 0.1), (0.5, 0.5), (0.1, 0.4))
    candidates = [candidate(str(bleu), bleu, wer=wer) for bleu, wer in scores]
    chosen = {rule: select(*candidates, rule=rule) for rule in ("best_worst", "quantile", "pareto", "all_agree")}
    sides = {rule: (pair["chosen_text"], pair["rejected_text"]) for rule, pair in chosen.items() if "chosen" in pair}
    assert sides == {"best_worst": ("0.9", "0.1"), "quantile": ("0.7", "0.5"), "pareto": ("0.7", "0.1")}
    assert chosen["all_agree"]["reason"].startswith("disagreement: wer prefer")
    assert select(*candidates, rule="quantile", quantile=1.0)["chosen_text"] == "0.9"
    assert select(*candidates, rule="all_agree", metrics=("bleu",))["status"] == "ok", "only scored metrics object"


def test_a_policy_without_text_makes_pairs_of_speech_alone() -> None:
    candidates = [candidate(None, score, units=units) for score, units in ((0.2, (1, 2, 3)), (0.9, (9, 8, 7)))]
    pair = select(*candidates, variant=Variant.VANILLA)
    assert (pair["status"], pair["chosen_text"], pair["rejected_text"]) == ("ok", None, None)
    assert parse(Variant.VANILLA, pair["chosen"]).units == [9, 8, 7]
    assert parse(Variant.VANILLA, pair["rejected"]).units == [1, 2, 3]


def test_delta_must_be_a_number() -> None:
    with pytest.raises(ValueError, match="settle_delta replaces auto"):
        select(candidate("a", 0.2), candidate("b", 0.9), delta="auto")


def make_recipe(**select: Any) -> Recipe:
    """Return a recipe whose policy writes text alone, with CONFIG and these settings of `select`."""
    recipe = load("recipes/phrasebook.yaml")
    return replace(
        recipe,
        select=replace(CONFIG, **select),
        policy=replace(recipe.policy, variant=Variant.S2T, tasks={"s2t": 1.0}),
        scorer=replace(recipe.scorer, metrics=("bleu", "wer")),
        translator=replace(recipe.translator, back_translate="text"),
    )


def test_a_table_of_utterances_becomes_a_table_of_pairs(tmp_path: Path) -> None:
    better, worse = candidate("it rains", 0.9, wer=0.4), candidate("it snows", 0.2, wer=0.6)
    rows = [
        row(better, worse, utt_id="a"),
        row(worse, better, utt_id="b", src_lang="en", tgt_lang="fr"),
        row(better, utt_id="c"),
        row(better, worse, utt_id="d"),
    ]
    recipe = make_recipe(rule="all_agree")
    table = make_pairs(pa.Table.from_pylist(rows), recipe)
    assert table.schema == PAIR
    assert [one["status"] for one in table.to_pylist()] == ["ok", "ok", "skipped", "ok"]
    assert table["prompt"][0].as_py() == prompt(Variant.S2T, "fr", "en", [5, 6, 7, 8])
    disagreeing = [row(better, worse | {"scores": {"bleu": 0.2, "wer": 0.1}})]
    [pair] = make_pairs(pa.Table.from_pylist(disagreeing), recipe).to_pylist()
    assert pair["reason"].startswith("disagreement: wer")
    pairs = DatasetDir(str(tmp_path / "pairs"), PAIR)
    pairs.start({"stage": "toy"})
    pairs.append(table)
    pairs.publish()
    assert count_pairs(pairs) == {"fr-en": 2, "en-fr": 1}


def test_a_translation_into_a_third_language_of_the_recipe_is_in_no_pair() -> None:
    german, better = candidate("der Zug fährt um neun Uhr ab", 0.9), candidate("the train leaves at nine", 0.5)
    recipe = make_recipe()
    for languages, reason in (("fr", "en"), None), (("fr", "en", "de"), "wrong_language"):
        [pair] = make_pairs(
            pa.Table.from_pylist([row(german, better)]), replace(recipe, languages=languages)
        ).to_pylist()
        assert (pair["reason"] and pair["reason"].split(":")[0]) == reason


def test_finished_pairs_are_not_made_again_and_those_of_other_candidates_are_refused(tmp_path: Path) -> None:
    recipe = load("recipes/phrasebook.yaml")
    scored, pairs = DatasetDir(str(tmp_path / "scored"), SCORED), DatasetDir(str(tmp_path / "pairs"), PAIR)
    scored.start({"stage": "toy"})
    scored.publish()
    pairs.start(recipe.content("select", {"scored": scored.manifest().fingerprint}))
    finished, has_ray = pairs.publish(), ray.is_initialized()
    select_pairs(scored, recipe, pairs, Clock(str(tmp_path)))
    assert pairs.manifest() == finished and ray.is_initialized() == has_ray, "no plan is made"
    other = DatasetDir(str(tmp_path / "other"), SCORED)
    other.start({"stage": "other"})
    other.publish()
    with pytest.raises(FingerprintMismatch, match="inputs.scored"):
        select_pairs(other, recipe, pairs, Clock(str(tmp_path)))


def test_the_pass_writes_a_row_for_every_utterance(local_ray: None, tmp_path: Path) -> None:
    recipe = load("recipes/phrasebook.yaml")
    scores: Scores = dict.fromkeys(recipe.scorer.metrics, 0.5)
    better, worse = (candidate(text, bleu) for text, bleu in (("it rains", 0.9), ("it snows", 0.2)))
    for one in (better, worse):
        one["scores"] = scores | one["scores"]
    rows = [
        row(better, worse, utt_id="a"),
        row(better, utt_id="b"),
        row(utt_id="c", status="failed", reason="not_audio: no"),
    ]
    scored, pairs = DatasetDir(str(tmp_path / "scored"), SCORED), DatasetDir(str(tmp_path / "pairs"), PAIR)
    scored.start({"stage": "toy"})
    scored.append(pa.Table.from_pylist(rows, schema=SCORED))
    scored.publish()
    for _ in range(2):  # the second run has nothing to do
        select_pairs(scored, recipe, pairs, Clock(str(tmp_path)))
    written = {one["utt_id"]: one for one in pairs.rows().to_pylist()}
    assert {utt_id: (one["status"], (one["reason"] or "").split(":")[0]) for utt_id, one in written.items()} == {
        "a": ("ok", ""),
        "b": ("skipped", "one_candidate"),
        "c": ("failed", "not_audio"),
    }
    assert written["a"] == make_pair(scored.rows().to_pylist()[0], recipe.select, Variant.COM, recipe.scorer.metrics)
    assert pairs.manifest().content["select"]["delta"] == recipe.select.delta


def test_speech_without_text_in_the_language_of_its_source_is_in_no_pair(local_ray: None, tmp_path: Path) -> None:
    recipe = load("recipes/phrasebook_vanilla.yaml", ["select.filters.max_copy=1", "select.metric=bleu"])
    french, english = tuple(range(9)), tuple(range(20, 29))
    scores: Scores = dict.fromkeys(recipe.scorer.metrics, 0.5)
    spoken = [candidate(None, bleu, units) for units in (french, english) for bleu in (0.9, 0.2)]
    for number, one in enumerate(spoken):
        one["scores"] = scores | one["scores"]
        one["units"] = [*one["units"], number]
    rows = [
        row(*spoken[:2], utt_id="a", text=None, units=french),
        row(*spoken[2:], utt_id="b", text=None, units=french),
        row(*spoken[:2], utt_id="c", text=None, units=english, src_lang="en", tgt_lang="fr"),
    ]
    scored, pairs = DatasetDir(str(tmp_path / "scored"), SCORED), DatasetDir(str(tmp_path / "pairs"), PAIR)
    scored.start({"stage": "toy"})
    scored.append(pa.Table.from_pylist(rows, schema=SCORED))
    scored.publish()
    select_pairs(scored, recipe, pairs, Clock(str(tmp_path)))
    reasons = {one["utt_id"]: one["reason"] and one["reason"].split(":")[0] for one in pairs.rows().to_pylist()}
    assert reasons == {"a": "wrong_language", "b": None, "c": None}
