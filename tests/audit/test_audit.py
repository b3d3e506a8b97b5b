"""The whole audit, and the audit of a round."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from factory.audit.audit import audit, audit_round, explain_unmeasured_audit, find_table, read_audit
from factory.audit.comparisons import compare, group_by_delta, group_by_gap
from factory.audit.labels import explain_unmeasured
from factory.audit.transcripts import write_transcripts
from factory.planning.places import Round
from schemas.datasets import Row
from tests.audit.rows import judge, rows
from tests.toy_run import toy_recipe, toy_run


def reverse(found: Row) -> Row:
    """Return a row in the other direction."""
    return found | {"src_lang": "en", "tgt_lang": "fr", "utt_id": "reverse " + found["utt_id"]}


def test_there_is_a_table_for_each_metric_judge_direction_and_rule() -> None:
    utterances = judge([*rows(30, 6), *map(reverse, rows(10, 2))])
    result = audit(utterances, ["bleu", "wer"])
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    assert (result["utterances"], result["judges"]) == (48, ["bleu", "chrf"])
    keys = [(table["metric"], table["judge"], table["direction"], table["rule"]) for table in result["tables"]]
    assert len(keys) == len(set(keys)) == 2 * 2 * 3 * 3
    assert {key[2] for key in keys} == {"all", "fr-en", "en-fr"}
    for table in result["tables"]:
        chosen = [one for one in utterances if table["direction"] in ("all", one.direction)]
        found = compare(chosen, table["metric"], table["judge"], table["rule"])
        assert table["by_gap"] == group_by_gap(found, table["metric"])
        assert table["by_delta"] == group_by_delta(found, table["metric"])
    assert {metric: one["delta"] for metric, one in result["recommended"].items()} == {"bleu": 0.0, "wer": 0.0}
    assert [found["metrics"] for found in result["agreement"]] == [["bleu", "wer"]]


def test_the_first_judge_recommends() -> None:
    utterances = judge(
        [found | {"candidates": [c | {"text": None} for c in found["candidates"]]} for found in rows(25, 0)]
    )
    assert audit(utterances, ["bleu"])["judges"] == []
    assert audit(utterances, ["bleu"])["recommended"]["bleu"]["delta"] is None
    said = enumerate(("nine", "two"))
    texts = {(f"right{number}", "en", index): text for index, text in said for number in range(25)}
    nine = [found | {"reference": "nine"} for found in rows(25, 0)]
    heard = judge([found | {"candidates": [c | {"text": None} for c in found["candidates"]]} for found in nine], texts)
    assert audit(heard, ["bleu"])["judges"] == ["asr_bleu"]
    assert audit(heard, ["bleu"])["recommended"]["bleu"]["delta"] == 0.0


def test_one_judged_candidate_is_enough_to_name_the_judge() -> None:
    assert audit(judge(rows(1, 0), {("right0", "en", 1): "x"}), ["bleu"])["judges"] == ["bleu", "chrf", "asr_bleu"]


def test_a_table_is_found_by_its_keys() -> None:
    result = audit(judge([*rows(3, 0), *map(reverse, rows(1, 0))]), ["bleu", "wer"])
    table = find_table(result, "wer", "chrf")
    assert table
    assert (table["metric"], table["judge"], table["direction"], table["rule"]) == ("wer", "chrf", "all", "best_worst")
    other = find_table(result, "bleu", "bleu", "en-fr", "any_two")
    assert other and (other["direction"], other["rule"]) == ("en-fr", "any_two")
    assert find_table(result, "mcd", "bleu") is None
    assert find_table(result, "bleu", "bleu", "de-en") is None


def test_an_audit_explains_what_it_could_not_measure() -> None:
    assert explain_unmeasured_audit(audit([], ["bleu"])) == explain_unmeasured(0, False)
    silent = judge([found | {"candidates": []} for found in rows(1, 0)])
    assert explain_unmeasured_audit(audit(silent, ["bleu"])) == explain_unmeasured(1, False)
    assert explain_unmeasured_audit(audit(judge(rows(1, 0)), ["bleu"])) is None


@pytest.fixture
def round_(tmp_path: Path) -> Round:
    return Round(toy_run(tmp_path / "run"), 1, toy_recipe())


def test_the_audit_of_a_round_is_written_and_read(round_: Round) -> None:
    assert read_audit(round_) is None
    result = audit_round(round_)
    assert read_audit(round_) == result
    assert json.loads(Path(round_.uri, "audit/audit.json").read_text("utf-8")) == result
    assert (result["utterances"], result["select"]) == (12, {"metric": "bleu", "delta": 0.1})
    assert {table["metric"] for table in result["tables"]} == {"bleu", "chrf", "meteor", "wer", "mcd"}
    assert result["judges"] == ["bleu", "chrf"]


def test_candidates_are_transcribed_only_on_request(tmp_path: Path) -> None:
    round_ = Round(toy_run(tmp_path / "run", count=1, langs=("en",)), 1, toy_recipe())
    folder = Path(round_.uri, "audit")
    assert audit_round(round_)["judges"] == ["bleu", "chrf"]
    assert [path.name for path in folder.iterdir()] == ["audit.json"]
    assert audit_round(round_, asr=1)["judges"] == ["bleu", "chrf", "asr_bleu"]
    assert {path.name for path in folder.iterdir()} == {"audit.json", "transcripts.parquet"}


def test_the_filters_of_the_recipe_decide_which_candidates_are_compared(round_: Round) -> None:
    select = round_.recipe.select
    strict = replace(select, filters=replace(select.filters, max_length_ratio=0.9))  # every candidate is longer
    table = find_table(audit_round(round_), "bleu", "bleu")
    assert table and table["by_delta"][0]["n"] == 10
    table = find_table(audit_round(replace(round_, recipe=replace(round_.recipe, select=strict))), "bleu", "bleu")
    assert table and table["by_delta"][0]["n"] == 0


def test_transcripts_of_an_earlier_audit_are_judged(round_: Round) -> None:
    first = round_.scored.rows().to_pylist()[0]
    transcripts = {(first["utt_id"], first["tgt_lang"], index): text for index, text in enumerate("ab")}
    write_transcripts(round_.scored, f"{round_.uri}/audit", transcripts)
    assert audit_round(round_)["judges"] == ["bleu", "chrf", "asr_bleu"]
