"""The plan of a round: its stages, and the files that it reads and does not find."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from factory.judges.dataset import judged_dataset
from factory.planning.places import Round, Run
from factory.planning.plan import (
    amounts_of,
    describe,
    list_missing_inputs,
    list_notes,
    paired_corpora,
    produced_rows,
    stages,
)
from factory.recipe.loading import load
from tests.toy_run import toy_run

ROOT = Path(__file__).resolve().parent.parent.parent
PAPER = ROOT / "recipes/prost_llm_3b.yaml"
PART = ROOT / "recipes/phrasebook_part.yaml"
EMBEDDED = ROOT / "recipes/phrasebook.yaml"


def rounds(numbers: list[int], uri: Path | str, changes: list[str], recipe: Path = EMBEDDED) -> list[Round]:
    loaded = load(recipe, changes)
    return [Round(Run(str(uri)), number, loaded) for number in numbers]


@pytest.mark.parametrize(
    ("number", "changes", "corpora"),
    [
        (0, [], ["paired", "dev", "test"]),
        (1, [], ["mono", "test"]),
        (1, ["corpus.source=paired"], ["paired", "test"]),
        (2, ["corpus.source=both", "select.delta=auto"], ["paired", "dev", "mono", "test"]),
    ],
)
def test_a_plan_tokenizes_what_the_round_reads(number: int, changes: list[str], corpora: list[str]) -> None:
    (round_,) = rounds([number], "runs/none", changes, PAPER)
    plan = stages(round_)
    tokenized = [stage for stage in plan if stage.name.startswith("tokenize ")]
    assert [stage.name.removeprefix("tokenize ") for stage in tokenized] == corpora
    assert all(stage.actors == ("encoder",) for stage in tokenized)
    evaluated = [stage.name for stage in plan if stage.name.startswith("evaluate")]
    assert evaluated == [f"evaluate round {policy}" for policy in range(max(0, number - 1), number + 1)]
    assert paired_corpora(round_) == [name for name in corpora if name in ("paired", "dev")]


def test_an_aligner_reads_the_paired_speech_of_a_round() -> None:
    (first,) = rounds([0], "runs/none", ["aligner={}"], PAPER)
    aligned = [stage for stage in stages(first) if stage.actors == ("aligner",)]
    assert [(stage.name, stage.out and stage.out.uri) for stage in aligned] == [
        ("align paired", "runs/none/words/paired"),
        ("align dev", "runs/none/words/dev"),
    ]
    (units,) = rounds([0], "runs/none", ["aligner={}"])  # its paired corpora hold units already
    assert not [stage for stage in stages(units) if "aligner" in stage.actors]
    (later,) = rounds([1], "runs/none", ["aligner={}"], PAPER)
    assert not [stage for stage in stages(later) if "aligner" in stage.actors]


def test_the_stages_of_a_round_are_in_order() -> None:
    first, second = (stages(round_) for round_ in rounds([0, 1], "runs/none", ["corpus.source=both"]))
    assert [stage.name for stage in first] == ["tokenize test", "sequences", "train", "toplines", "evaluate round 0"]
    names = ["tokenize mono", "utterances of paired", "tokenize test", "produce", "select", "train", "toplines"]
    assert [stage.name for stage in second] == [*names, "evaluate round 0", "evaluate round 1"]
    produce = second[3]
    assert produce.actors == ("translator", "scorer") and produce.rows == produced_rows(
        load(EMBEDDED, ["corpus.source=both"])
    )
    (spoken,) = rounds([1], "runs/none", [], PAPER)
    assert next(stage for stage in stages(spoken) if stage.name == "produce").actors == (
        "translator",
        "vocoder",
        "scorer",
    )


def test_rounds_over_continuous_speech_read_and_speak() -> None:
    first, second = rounds([0, 1], "runs/none", [], PART)
    plans = [[(stage.name, stage.rows) for stage in stages(round_)] for round_ in (first, second)]
    assert plans[0] == [
        ("read test", 200),
        ("speak paired", 3440),  # a fifth of the rows for asr, and another for s2t
        ("sequences", 8600),
        ("train", None),
        ("evaluate round 0", 200),
    ]
    assert [name for name, _ in plans[1]] == [
        *("read mono", "read test", "produce", "select", "train"),
        *("evaluate round 0", "evaluate round 1"),
    ]
    assert list_missing_inputs([first, second]) == []
    (other,) = rounds([0], "runs/none", ["vocoder.fr=no/such/folder", "corpus.dev=nowhere"], PART)
    assert [sentence.partition(" is ")[0] for sentence in list_missing_inputs([other])] == ["vocoder.fr"]


def test_rows_are_counted_or_expected() -> None:
    embedded = load(EMBEDDED)
    assert produced_rows(embedded) == 500
    assert produced_rows(load(EMBEDDED, ["corpus.limit=100"])) == 200
    assert produced_rows(load(EMBEDDED, ["corpus.limit=400"])) == 500
    assert produced_rows(load(PAPER)) == 40_000
    assert produced_rows(load(PAPER, ["corpus.limit=null"])) == 1_500_000
    assert produced_rows(load(PAPER, ["corpus.limit=null", "expected.mono=null"])) is None
    assert produced_rows(load(PAPER, ["corpus.limit=7", "expected.mono=null"])) == 14
    three = ["languages=[fr, en, de]", "vocoder.de=any"]
    assert produced_rows(load(EMBEDDED, [*three, "corpus.limit=10"])) == 60
    assert produced_rows(load(EMBEDDED, [*three, "corpus.limit=10", "directions=[fr-en, de-en]"])) == 20
    assert produced_rows(load(EMBEDDED, [*three, "corpus.limit=null"])) == 1_000, "each in two directions"
    both = load(PAPER, ["corpus.limit=null", "corpus.source=both"])
    assert produced_rows(both) == 1_500_000 + 414_748


def test_a_round_over_the_paired_corpus_tokenizes_no_monolingual_speech() -> None:
    recipe = load(PAPER)
    paired = replace(recipe, corpus=replace(recipe.corpus, source="paired"))
    run = Run("runs/none")
    assert amounts_of(Round(run, 1, recipe)) == (produced_rows(recipe), 40_000), "only what a round uses is tokenized"
    everything = replace(recipe, corpus=replace(recipe.corpus, limit=None))
    assert amounts_of(Round(run, 1, everything)).tokenized == recipe.expected.mono
    assert amounts_of(Round(run, 1, paired)).tokenized == recipe.expected.paired
    assert amounts_of(Round(run, 0, recipe)) == (recipe.expected.paired, recipe.expected.paired)


def test_a_plan_is_a_line_per_stage(tmp_path: Path) -> None:
    first, second = describe(rounds([1, 2], tmp_path / "run", [])).split("\n\n")
    lines = first.splitlines()
    assert lines[0] == f"round 1 of {tmp_path}/run; recipe phrasebook; directions fr-en, en-fr"
    assert lines[1] == "policy: assets/phrasebook/policy" or lines[1].endswith("/assets/phrasebook/policy")
    assert lines[2] == "  to do  tokenize mono, 500 rows; 1 encoder (1 CPU, 0 GPU, batches of 32)"
    assert "  to do  train; 1 trainer (2 CPU, 0 GPU, batches of 32)" in lines
    assert second.splitlines()[1] == f"policy: {tmp_path}/run/round-1/policy"
    (third,) = describe(rounds([3], tmp_path / "run", [])).split("\n\n")
    assert third.splitlines()[1].startswith("policy: missing: round 2 has no policy at ")
    (tmp_path / "run/round-1/policy").mkdir(parents=True)
    (tmp_path / "run/round-1/policy/config.json").touch()
    assert "  done   train; 1 trainer" in describe(rounds([1], tmp_path / "run", []))
    assert describe([]) == ""


def test_a_plan_says_that_a_judge_scores_candidates_first(tmp_path: Path) -> None:
    run = toy_run(tmp_path / "run")
    (round_,) = rounds([1], run.uri, ["select.metric=judge:chrf"])
    note = (
        f"  note: this command will end at select: {run.uri}/round-2/judges/chrf has no finished scores of "
        f"{run.uri}/round-2/scored: run `roundtrip judge --run {run.uri} --round 2 --judge NAME|FILE`, "
        "then this command again"
    )
    assert describe([replace(round_, number=2)]).splitlines()[-1] == note
    assert not list_notes(round_), "its pairs are finished"
    assert not list_notes(replace(round_, number=0)) and not list_notes(
        replace(round_, number=2, recipe=load(EMBEDDED))
    )
    other = replace(round_, number=2)
    other.scored.start({"stage": "toy"})
    scores = judged_dataset(other.scored, "chrf")
    scores.start({"inputs": {"scored": other.scored.publish().fingerprint}})
    assert list_notes(other)
    scores.publish()
    assert not list_notes(other)


ABSENT = (
    *("corpus.mono", "corpus.paired", "corpus.dev", "corpus.test", "corpus.text", "encoder.codebook", "encoder.model"),
    *("vocoder.fr", "recognizer.model", "policy.start", "policy.base", "evaluate.cascade.fr"),
)


def unread(numbers: list[int], folder: Path, *absent: str) -> set[str]:
    """Return the keys that rounds do not miss although their files do not exist."""
    changes = [f"{key}={folder}/no/thing" for key in absent]
    sentences = list_missing_inputs(rounds(numbers, folder / "run", changes))
    missed = {sentence.partition(" is ")[0] for sentence in sentences}
    assert missed <= set(absent)
    return set(absent) - missed


def test_a_round_misses_what_it_reads_and_nothing_else(tmp_path: Path) -> None:
    assert unread([0], tmp_path, *ABSENT) == {"corpus.mono", "policy.start"}
    first = {"corpus.paired", "corpus.dev", "corpus.text", "policy.base"}  # only round 0 learns from them
    assert unread([1], tmp_path, *ABSENT) == first
    assert unread([2], tmp_path, *ABSENT) == {*first, "policy.start"}
    assert unread([0, 1], tmp_path, *ABSENT) == {"policy.start"}  # round 0 makes it
    assert unread([1], tmp_path) == unread([0], tmp_path) == set()
    paired = ["corpus.source=paired", f"corpus.mono={tmp_path}/no/thing"]
    assert list_missing_inputs(rounds([1], tmp_path, paired)) == []
    assert list_missing_inputs([]) == []
    (tmp_path / "run/round-0/policy").mkdir(parents=True)
    (tmp_path / "run/round-0/policy/config.json").touch()
    assert unread([1], tmp_path, "policy.start") == {"policy.start"}


def test_an_unused_encoder_and_names_on_the_hub_are_not_missed(tmp_path: Path) -> None:
    changes = [f"corpus.{name}=assets/phrasebook/dev.parquet" for name in ("mono", "paired", "test")]
    changes += ["vocoder.fr=owner/voice", "policy.base=owner/model@main", "recognizer.model=owner/transcribes"]
    changes += ["evaluate.cascade={fr: owner/speaks}", f"encoder.model={tmp_path}/no/thing"]
    assert list_missing_inputs(rounds([0, 1], tmp_path, changes)) == []
