"""The whole audit, and the audit of a round."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from factory.audit.audit import audit, audit_round, explain_unmeasured_audit, find_table, read_audit
from factory.audit.comparisons import compare, group_by_delta, group_by_gap
from factory.audit.labels import explain_unmeasured
from factory.audit.transcripts import write_transcripts
from factory.judges.dataset import JUDGED, Compare, judged_dataset
from factory.planning.places import Round
from factory.storage.dataset import DatasetDir
from schemas.datasets import Row
from tests.audit.rows import judge, rows
from tests.toy_run import toy_recipe, toy_run

NOTHING = compare([], "bleu", "bleu", "best_worst")
"""No comparisons."""


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


def write_judge(scored: DatasetDir, name: str, compare: Compare, scores: list[float]) -> None:
    """Write a judge's finished scores: the same two for each utterance."""
    out = judged_dataset(scored, name)
    out.start({"stage": "judge", "compare": compare, "inputs": {"scored": scored.manifest().fingerprint}})
    named = scored.rows(["utt_id", "src_lang", "tgt_lang"]).to_pylist()
    judged = [row | {"scores": scores, "reasons": [None, None], "status": "ok"} for row in named]
    out.append(pa.Table.from_pylist(judged, schema=JUDGED))
    out.publish()


def test_a_judge_with_references_judges_the_labels_of_all_others(round_: Round) -> None:
    for name, compare_with, scores in (("wrong", "source", [0.0, 0.75]), ("truth", "reference", [1.0, 0.0])):
        write_judge(round_.scored, name, compare_with, scores)
    result = audit_round(round_)
    assert result["judges"] == ["bleu", "chrf", "judge:truth"]
    assert list(result["recommended"]) == ["bleu", "chrf", "meteor", "wer", "mcd", "judge:wrong"]
    table, bleu = (find_table(result, metric, "judge:truth") for metric in ("judge:wrong", "bleu"))
    assert table and bleu and (table["by_delta"][0]["n"], bleu["by_delta"][0]["n"]) == (12, 10)
    assert table["by_delta"][0]["accuracy"] == 0.0 < bleu["by_delta"][0]["accuracy"]


def test_bins_and_thresholds_are_those_of_the_metric(round_: Round) -> None:
    result = audit_round(round_)
    for metric in ("bleu", "mcd"):
        table, comparisons = find_table(result, metric, "chrf"), group_by_gap(NOTHING, metric)
        assert table and [one["gap"] for one in table["by_gap"]] == [one["gap"] for one in comparisons]
        assert [one["delta"] for one in table["by_delta"]] == [one["delta"] for one in group_by_delta(NOTHING, metric)]
    assert group_by_gap(NOTHING, "bleu")[0]["gap"] != group_by_gap(NOTHING, "mcd")[0]["gap"]


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
